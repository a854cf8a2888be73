"""Points, bands and decisions in predictions and receipts, from a file to its proof."""

import csv
import io
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scoring.chunk.part import name_part, read_outcome
from scoring.contract import Column, Contract, Role, Type
from scoring.errors import ModelError
from scoring.models.policy import Band, Policy
from scoring.models.registry import sha256_of
from scoring.models.scale import Scale
from scoring.results.receipt import read_receipt
from scoring.results.replay import replay_result
from scoring.results.verify import verify_result
from tests.unit.scoring.conftest import PlanRun, Registry, Run
from tests.unit.scoring.csv_bodies import CONTRACT, HEADER, mixed_body
from tests.unit.scoring.linear_model import POLICY, publish_linear

FIRST_LINE = (",".join(HEADER) + "\n").encode()
SLOPE = 50.0
"""Spreads the hand-made model's probabilities over all bands."""
PLAIN = b"".join(b"%d,%d,3.25,4,A,b1,CAR,\n" % (number, number * 7 % 999 + 1) for number in range(400))
"""Loans without a quote."""

EVEN = msgspec.structs.replace(
    POLICY,
    bands=(Band("A", 700), Band("B", 650), Band("C", 620), Band("D", 300)),
    refer_from=0.1,
    decline_from=0.3,
)
"""Each band and decision has its share of those loans."""

ODD = msgspec.structs.replace(
    EVEN,
    bands=(Band("very good, really", 700), Band('so-called "fair"', 650), Band("=é", 620), Band("null", 300)),
)
"""Bands with names that CSV has to quote, a spreadsheet would run, and a parser might take for nothing."""


def publish(tmp_path: Path, policy: Policy | None, contract: Contract = CONTRACT) -> Registry:
    """Publish the hand-made model with a policy."""
    models = tmp_path / "models"
    return Registry(models, publish_linear(models, contract, policy=policy, slope=SLOPE), contract)


def parse(content: bytes, encoding: str = "utf-8") -> list[dict[str, str]]:
    """Read CSV with Python's own reader."""
    return list(csv.DictReader(io.StringIO(content.decode(encoding), newline=""), strict=True))


def find_problems(run: Run) -> dict[str, str]:
    """Verify a published run; give what is wrong, by what was checked."""
    receipt = read_receipt(run.target.receipt)
    checks = verify_result(Path(run.batch.plan.source.path), receipt, run.target, Path(run.batch.models))
    return {check.what: check.problem for check in checks if check.problem}


@pytest.mark.parametrize("policy", [EVEN, ODD], ids=["plain", "odd"])
@pytest.mark.parametrize("body", [PLAIN, mixed_body(800)], ids=["bare", "quoted"])
def test_what_a_probability_means_stands_beside_it(
    tmp_path: Path, plan_run: PlanRun, policy: Policy, body: bytes
) -> None:
    """Each row has the points, band and decision of its `pd`, quoted where CSV needs it; the receipt counts them."""
    run = plan_run(publish(tmp_path, policy), FIRST_LINE + body, 3)
    predictions, _, receipt = run.score_and_publish()
    rows = parse(predictions)
    assert [*rows[0]] == ["id", "branch", "row_number", "pd", "score", "band", "decision", "model_version"]
    probabilities = np.array([row["pd"] for row in rows], np.float64).astype(np.float32)
    scale = Scale(policy)
    wanted = [column.to_list() for column in scale.explain(scale.place(probabilities))]
    assert [[row[name] for row in rows] for name in ("score", "band", "decision")] == [
        [*map(str, wanted[0])],
        *wanted[1:],
    ]
    assert len({row["band"] for row in rows}) == 4
    assert len({row["decision"] for row in rows}) == 3
    assert {row["model_version"] for row in rows} == {receipt.model.version}
    assert receipt.bands == {band.name: wanted[1].count(band.name) for band in policy.bands}
    assert [*receipt.bands] == [*policy.band_names]
    assert receipt.decisions == {name: wanted[2].count(name) for name in ("accept", "refer", "decline")}
    assert sum(receipt.decisions.values()) == sum(receipt.bands.values()) == receipt.scored
    assert find_problems(run) == {}


@pytest.mark.parametrize("policy", [EVEN, ODD], ids=["plain", "odd"])
def test_number_of_chunks_does_not_show(tmp_path: Path, plan_run: PlanRun, policy: Policy) -> None:
    """Records of every kind give the same bytes and the same counts at 1, 2, 7 and 64 chunks."""
    registry = publish(tmp_path, policy)
    results = set()
    for chunks in (1, 2, 7, 64):
        run = plan_run(registry, FIRST_LINE + mixed_body(700), chunks)
        predictions, rejects, receipt = run.score_and_publish(open_once=True)
        results.add((predictions, rejects, str(receipt.bands), str(receipt.decisions)))
    assert len(results) == 1


def test_a_replay_is_identical(tmp_path: Path, plan_run: PlanRun) -> None:
    """Scored again a year later, as one chunk, every byte is as it was published."""
    run = plan_run(publish(tmp_path, ODD), FIRST_LINE + mixed_body(300), 5)
    _, _, receipt = run.score_and_publish()
    found = replay_result(Path(run.batch.plan.source.path), receipt, run.target, Path(run.batch.models), threads=1)
    assert found.identical


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decisions": {"accept": 0, "refer": 0, "decline": 400}}, "decision"),
        ({"decisions": {}}, "decision"),
        ({"bands": {"A": 400}}, "band"),
    ],
)
def test_false_counts_are_found(
    tmp_path: Path, plan_run: PlanRun, changes: dict[str, dict[str, int]], words: str
) -> None:
    """A receipt that counts other bands or decisions than stand in the predictions is found out."""
    run = plan_run(publish(tmp_path, EVEN), FIRST_LINE + PLAIN)
    _, _, receipt = run.score_and_publish()
    run.target.receipt.write_bytes(msgspec.json.encode(msgspec.structs.replace(receipt, **changes)))
    problems = find_problems(run)
    assert problems.keys() == {"rows by band and decision"}
    assert words in problems["rows by band and decision"]


def test_without_a_policy_nothing_is_said(tmp_path: Path, plan_run: PlanRun) -> None:
    """A version without a policy has no such columns, not even empty ones, and no counts; `band` is the input's."""
    registry = publish(tmp_path, None)
    run = plan_run(registry, FIRST_LINE.replace(b"remark", b"band") + PLAIN)
    run = Run(msgspec.structs.replace(run.batch, echo=("band",)), run.target)
    predictions, _, receipt = run.score_and_publish()
    assert predictions.splitlines()[0] == b"id,branch,row_number,pd,model_version,band"
    assert (receipt.decisions, receipt.bands) == ({}, {})
    assert find_problems(run) == {}


def test_an_echoed_band_is_told_from_ours(tmp_path: Path, plan_run: PlanRun) -> None:
    """A column of the input that is called like one of ours says so; formulas are neutralised in it, not in ours."""
    run = plan_run(
        publish(tmp_path, ODD), FIRST_LINE.replace(b"remark", b"band") + PLAIN.replace(b"CAR,\n", b"CAR,=1\n")
    )
    run = Run(msgspec.structs.replace(run.batch, echo=("band",), neutralise=True), run.target)
    predictions, _, _ = run.score_and_publish()
    rows = parse(predictions)
    assert {row["band (input)"] for row in rows} == {"'=1"}
    assert "=é" in {row["band"] for row in rows}


def test_a_header_alone_counts_nothing(tmp_path: Path, plan_run: PlanRun) -> None:
    """A file without loans publishes the header with all columns, and zero of each decision."""
    predictions, _, receipt = plan_run(publish(tmp_path, EVEN), FIRST_LINE).score_and_publish()
    assert predictions == b"id,branch,row_number,pd,score,band,decision,model_version\n"
    assert receipt.decisions == {"accept": 0, "refer": 0, "decline": 0}


def test_bands_are_written_in_the_encoding_of_the_file(tmp_path: Path, plan_run: PlanRun) -> None:
    """Names of bands come out in the contract's encoding; ones that it does not have cannot be published."""
    contract = Contract(
        1, "made up", (Column("id", Role.ID), Column("n", Role.FEATURE, Type.NUMBER)), encoding="latin-1"
    )
    registry = publish(tmp_path, ODD, contract)
    content = b"id,n\n" + b"\n".join(b"\xe9%d,%d" % (number, number) for number in range(0, 1000, 50))
    predictions, _, receipt = plan_run(registry, content).score_and_publish()
    rows = parse(predictions, "latin-1")
    assert Counter(row["band"] for row in rows) == {name: rows for name, rows in receipt.bands.items() if rows}
    greek = msgspec.structs.replace(EVEN, bands=(Band("\N{GREEK SMALL LETTER ALPHA}", 300),))
    with pytest.raises(ModelError, match="cannot be written in latin-1"):
        publish_linear(tmp_path / "greek", contract, policy=greek)


def test_a_sealed_policy_that_cannot_be_used_is_refused(tmp_path: Path, plan_run: PlanRun) -> None:
    """A manifest that another program wrote, with bands that make no sense, is refused before anything is scored."""
    registry = publish(tmp_path, EVEN)
    path = registry.models / "versions" / registry.pin.version / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"refer_from": 0.1', b'"refer_from": 0.95'))
    run = plan_run(registry, FIRST_LINE + PLAIN)
    altered = msgspec.structs.replace(registry.pin, manifest_sha256=sha256_of(path))
    run = Run(msgspec.structs.replace(run.batch, model=altered), run.target)
    with pytest.raises(ModelError, match="refer_from"):
        run.score()


def test_older_outcomes_and_receipts_still_read(every_rule: Registry, plan_run: PlanRun) -> None:
    """What was written before there were policies and challengers reads, and proves, as it did."""
    run = plan_run(every_rule, FIRST_LINE + PLAIN)
    run.score()
    later = ("decisions", "bands", "challenger")
    files = name_part(Path(run.batch.parts), 0)
    for path, publishes in ((files.outcome, False), (run.target.receipt, True)):
        if publishes:
            run.publish()
        written = msgspec.json.decode(path.read_bytes())
        path.write_bytes(msgspec.json.encode({name: value for name, value in written.items() if name not in later}))
    outcome = read_outcome(files.outcome)
    assert outcome is not None
    assert (outcome.decisions, outcome.bands, outcome.challenger) == ({}, {}, None)
    assert find_problems(run) == {}
