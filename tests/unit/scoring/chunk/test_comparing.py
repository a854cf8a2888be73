"""A challenger beside the champion: what is written and told of it, and that it never stands in the way."""

import csv
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scoring.chunk.challenger import Challenger
from scoring.chunk.part import name_part, read_outcome
from scoring.chunk.plan import BatchPlan, read_batch_plan
from scoring.chunk.score import score_chunk
from scoring.contract import Column, Contract, Role, Type
from scoring.contract import Policy as Answer
from scoring.errors import ProofError
from scoring.models.policy import Policy
from scoring.models.registry import Pin, read_manifest
from scoring.results.challenger_report import ChallengerReport, describe_report
from scoring.results.receipt import Receipt, publish_result, read_receipt
from scoring.results.verify import verify_result
from tests.unit.scoring.conftest import PlanRun, Registry, Run
from tests.unit.scoring.csv_bodies import CONTRACT, HEADER, mixed_body
from tests.unit.scoring.linear_model import POLICY, publish_linear

FIRST_LINE = (",".join(HEADER) + "\n").encode()
CONTENT = FIRST_LINE + mixed_body(600)
PLAIN = FIRST_LINE + b"".join(b"%d,%d,3,4,A,b1,CAR,\n" % (number, number) for number in range(1, 301))
RIVAL = "rival"
REPOSITORY = Path(__file__).parents[4]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Publish a champion with a policy."""
    models = tmp_path / "models"
    return Registry(models, publish_linear(models, CONTRACT, policy=POLICY, slope=20), CONTRACT)


def publish_rival(registry: Registry, contract: Contract = CONTRACT, policy: Policy | None = POLICY) -> Challenger:
    """Publish a challenger that tells the classes further apart."""
    pin = publish_linear(registry.models, contract, version=RIVAL, policy=policy, slope=30, promoted=False)
    return Challenger(pin.version, pin.manifest_sha256)


def against(run: Run, challenger: Challenger) -> Run:
    """Give the run with a challenger."""
    return Run(msgspec.structs.replace(run.batch, challenger=challenger), run.target)


def compared(run: Run) -> Path:
    """Name the file of both probabilities."""
    return Path(run.batch.parts).parent / "challenger.csv"


def publish(run: Run) -> Receipt:
    """Merge and publish as the daemon does."""
    manifest, _ = read_manifest(Path(run.batch.models), run.batch.model.version)
    content = msgspec.json.encode(run.batch)
    return publish_result(run.batch, content, "loans.csv", manifest, run.target, challenger=compared(run))


def finish(run: Run, *, open_once: bool = False) -> ChallengerReport:
    """Score and publish; give what the receipt says of the challenger."""
    run.score(open_once=open_once)
    report = publish(run).challenger
    assert report is not None
    return report


def rows_of(content: bytes) -> list[dict[str, str]]:
    """Read CSV with Python's own reader."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def scored_alone(
    plan_run: PlanRun, registry: Registry, pin: Pin, content: bytes, contract: Contract = CONTRACT
) -> dict[str, str]:
    """Score a file with one version alone; give its probabilities by row number."""
    predictions, _, _ = plan_run(Registry(registry.models, pin, contract), content).score_and_publish()
    return {row["row_number"]: row["pd"] for row in rows_of(predictions)}


def test_both_probabilities_stand_side_by_side(registry: Registry, plan_run: PlanRun) -> None:
    """The file holds each row's probabilities and decisions as either version gives them alone; the receipt sums up."""
    rival = publish_rival(registry)
    run = against(plan_run(registry, CONTENT, 3), rival)
    report = finish(run)
    rows = rows_of(compared(run).read_bytes())
    assert [*rows[0]] == ["row_number", "pd", "challenger_pd", "decision", "challenger_decision"]
    assert {row["row_number"]: row["pd"] for row in rows} == scored_alone(plan_run, registry, registry.pin, CONTENT)
    theirs = scored_alone(plan_run, registry, rival.pin, CONTENT)
    assert {row["row_number"]: row["challenger_pd"] for row in rows} == theirs
    told = report.summary
    assert told is not None
    assert (report.model, report.chunks, report.problems) == (rival.pin, 3, ())
    assert (told.rows, told.champion_only, told.challenger_only) == (len(rows), 0, 0)
    shift = [float(row["challenger_pd"]) - float(row["pd"]) for row in rows]
    assert told.mean_shift == pytest.approx(np.mean(shift), abs=1e-7)
    swaps = {mine: dict.fromkeys(("accept", "refer", "decline"), 0) for mine in ("accept", "refer", "decline")}
    for row in rows:
        swaps[row["decision"]][row["challenger_decision"]] += 1
    assert told.swaps == swaps
    assert swaps["refer"]["accept"] > 0
    assert told.psi > 0
    words = describe_report(report)
    assert f"{told.rows} rows" in words
    assert "other decisions" in words


def test_number_of_chunks_does_not_show(registry: Registry, plan_run: PlanRun) -> None:
    """At 1, 2, 7 and 64 chunks the file of both and the summary are the same."""
    rival = publish_rival(registry)
    results = []
    for chunks in (1, 2, 7, 64):
        run = against(plan_run(registry, CONTENT, chunks), rival)
        report = finish(run, open_once=True)
        results.append((compared(run).read_bytes(), report.summary, report.file))
    assert all(result == results[0] for result in results)


def test_the_champion_is_as_without_a_challenger(registry: Registry, plan_run: PlanRun) -> None:
    """Predictions and rejects are byte for byte those of a run without a challenger, which leaves no trace of one."""
    alone = plan_run(registry, CONTENT, 4)
    alone.score()
    receipt = publish(alone)
    assert receipt.challenger is None
    assert not compared(alone).exists()
    assert not list(Path(alone.batch.parts).glob("*.challenger.csv"))
    run = against(plan_run(registry, CONTENT, 4), publish_rival(registry))
    finish(run)
    for one, other in ((run.target.predictions, alone.target.predictions), (run.target.rejects, alone.target.rejects)):
        assert one.read_bytes() == other.read_bytes()
    assert not list(Path(run.batch.parts).glob("*.comparing"))


def test_without_two_policies_there_is_no_swap_set(registry: Registry, plan_run: PlanRun) -> None:
    """A challenger without a policy is compared by its probabilities alone."""
    run = against(plan_run(registry, PLAIN, 2), publish_rival(registry, policy=None))
    told = finish(run).summary
    assert told is not None
    assert (told.rows, told.swaps) == (300, {})
    assert compared(run).read_bytes().startswith(b"row_number,pd,challenger_pd\n1,")


OTHER = Contract(
    format=1,
    name="other rules",
    columns=(
        Column("id", Role.ID),
        Column("purpose", Role.FEATURE, Type.CATEGORY, categories=("HOME", "CAR", "BOAT"), unknown=Answer.REJECT),
        Column("amount", Role.FEATURE, Type.NUMBER, minimum=100, maximum=2000),
    ),
)
"""A contract with other features, in another order, with other categories and ranges."""


@pytest.mark.parametrize("chunks", [1, 5])
def test_a_challenger_is_judged_by_its_own_contract(registry: Registry, plan_run: PlanRun, chunks: int) -> None:
    """With another contract, it scores what it accepts as it would alone; rows that only one accepts are counted."""
    rival = publish_rival(registry, OTHER)
    run = against(plan_run(registry, CONTENT, chunks), rival)
    told = finish(run).summary
    assert told is not None
    mine = scored_alone(plan_run, registry, registry.pin, CONTENT)
    theirs = scored_alone(plan_run, registry, rival.pin, CONTENT, OTHER)
    both = mine.keys() & theirs.keys()
    rows = rows_of(compared(run).read_bytes())
    assert {row["row_number"]: row["challenger_pd"] for row in rows} == {number: theirs[number] for number in both}
    assert {row["row_number"]: row["pd"] for row in rows} == {number: mine[number] for number in both}
    assert [int(row["row_number"]) for row in rows] == sorted(map(int, both))
    assert (told.champion_only, told.challenger_only) == (len(mine.keys() - both), len(theirs.keys() - both))
    assert min(told.rows, told.champion_only, told.challenger_only) > 0


def damage_model(registry: Registry) -> None:
    """Alter the last byte of the challenger's graph."""
    path = registry.models / "versions" / RIVAL / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def remove_version(registry: Registry) -> None:
    """Take the challenger out of the registry."""
    os.rename(registry.models / "versions" / RIVAL, registry.models / "gone")


def alter_manifest(registry: Registry) -> None:
    """Alter the challenger's manifest."""
    path = registry.models / "versions" / RIVAL / "manifest.json"
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    ("harm", "words"),
    [(damage_model, "altered"), (remove_version, "cannot be read"), (alter_manifest, "altered")],
)
def test_a_damaged_challenger_harms_nothing(registry: Registry, plan_run: PlanRun, harm: object, words: str) -> None:
    """A challenger that was altered or is gone is left out: all rows are published, and the receipt says why."""
    rival = publish_rival(registry)
    assert callable(harm)
    harm(registry)
    run = against(plan_run(registry, PLAIN, 3), rival)
    report = finish(run)
    assert (report.chunks, report.summary, report.file) == (0, None, None)
    assert len(report.problems) == 1
    assert words in report.problems[0]
    assert words in describe_report(report)
    assert read_receipt(run.target.receipt).scored == 300
    assert not compared(run).exists()
    assert sorted(path.suffix for path in Path(run.batch.parts).iterdir()) == [".csv"] * 6 + [".json"] * 3


def lacking_column() -> Contract:
    """Give a contract with a feature that the file lacks."""
    return msgspec.structs.replace(OTHER, columns=(*OTHER.columns, Column("salary", Role.FEATURE, Type.NUMBER)))


@pytest.mark.parametrize(
    ("contract", "words"),
    [(lacking_column(), "salary"), (msgspec.structs.replace(OTHER, encoding="latin-1"), "latin-1")],
)
def test_a_challenger_that_cannot_read_the_file_is_left_out(
    registry: Registry, plan_run: PlanRun, contract: Contract, words: str
) -> None:
    """One that needs a column that the file lacks, or another encoding, is left out with the reason."""
    report = finish(against(plan_run(registry, PLAIN), publish_rival(registry, contract)))
    assert report.summary is None
    assert words in report.problems[0]


def test_a_problem_found_before_is_told(registry: Registry, plan_run: PlanRun) -> None:
    """A challenger that could not be pinned is not looked for by any job; the receipt repeats why, once."""
    report = finish(against(plan_run(registry, PLAIN, 3), Challenger("missing", problem="There is no such version.")))
    assert (report.model.version, report.problems) == ("missing", ("There is no such version.",))


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOSPC, "No space left on device"), ValueError("SECRET 7")]
)
def test_whatever_the_challenger_throws_stays_there(
    registry: Registry, plan_run: PlanRun, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An error in the middle of the comparison ends it for that chunk, quotes nothing, and leaves no half file."""
    run = against(plan_run(registry, PLAIN, 2), publish_rival(registry))

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("scoring.chunk.comparing.tally_rows", fail)
    score_chunk(run.batch, 0, threads=1)
    monkeypatch.undo()
    score_chunk(run.batch, 1, threads=1)
    outcome = read_outcome(name_part(Path(run.batch.parts), 0).outcome)
    assert outcome is not None
    assert outcome.challenger is not None
    assert type(error).__name__ in outcome.challenger.problem
    assert "SECRET" not in outcome.challenger.problem
    assert sorted(path.name for path in Path(run.batch.parts).glob("*challenger*")) == ["000001.challenger.csv"]
    assert not list(Path(run.batch.parts).glob(".*.tmp"))
    report = publish(run).challenger
    assert report is not None
    assert report.summary is not None
    assert report.chunks == 1
    assert 0 < report.summary.rows < 300
    assert len(report.problems) == 1


def test_a_challenger_that_ends_the_process_does_so_once(registry: Registry, plan_run: PlanRun) -> None:
    """A process that dies while the challenger runs is followed by one that leaves the challenger out."""
    run = against(plan_run(registry, PLAIN), publish_rival(registry))
    plan = Path(run.batch.parts).parent / "plan.json"
    plan.write_bytes(msgspec.json.encode(run.batch))

    script = (
        "import os, sys; from pathlib import Path; from scoring.chunk import score\n"
        "from scoring.chunk.plan import read_batch_plan; from scoring.models.model import open_model\n"
        "def dying(models, version, pinned, threads):\n"
        f"    return os._exit(9) if version == {RIVAL!r} else open_model(models, version, pinned, threads)\n"
        "score.score_chunk(read_batch_plan(Path(sys.argv[1])), 0, threads=1, opener=dying)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, plan], cwd=REPOSITORY, check=False, timeout=60)
    assert ended.returncode == 9
    report = finish(run)
    assert "ended without a word" in report.problems[0]
    assert read_receipt(run.target.receipt).scored == 300


def test_an_error_of_the_champion_leaves_nothing(registry: Registry, plan_run: PlanRun) -> None:
    """When the chunk itself fails, nothing of the comparison stays, and the next try compares again."""
    run = against(plan_run(registry, PLAIN), publish_rival(registry))
    path = Path(run.batch.plan.source.path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"300,300,3", b"300,301,3"))
    with pytest.raises(ProofError, match="other bytes"):
        run.score()
    assert list(Path(run.batch.parts).iterdir()) == []
    path.write_bytes(content)
    assert finish(run).problems == ()


@pytest.mark.parametrize("harm", ["altered", "missing"])
def test_a_damaged_file_of_both_is_left_out(registry: Registry, plan_run: PlanRun, harm: str) -> None:
    """A side file that is not what was sealed, or is gone, costs only itself: counts stand, the reason is told."""
    run = against(plan_run(registry, PLAIN, 2), publish_rival(registry))
    run.score()
    path = name_part(Path(run.batch.parts), 1).challenger
    if harm == "altered":
        path.write_bytes(path.read_bytes().replace(b"300,", b"301,"))
    else:
        path.unlink()
    report = publish(run).challenger
    assert report is not None
    assert report.file is None
    assert report.summary is not None
    assert report.summary.rows == 300
    assert "not written" in report.problems[0]
    assert not compared(run).exists()


def test_the_file_of_both_is_verified_where_it_is_kept(registry: Registry, plan_run: PlanRun) -> None:
    """Verifying names an altered file; one that was cleared away is not missed."""
    run = against(plan_run(registry, PLAIN, 2), publish_rival(registry))
    finish(run)
    receipt = read_receipt(run.target.receipt)

    def problems() -> dict[str, str]:
        source = Path(run.batch.plan.source.path)
        checks = verify_result(source, receipt, run.target, Path(run.batch.models), compared(run))
        return {check.what: check.problem for check in checks}

    assert problems()["challenger"] == ""
    compared(run).write_bytes(compared(run).read_bytes().replace(b"\n7,", b"\n8,"))
    assert "challenger.csv is not what the receipt says" in problems()["challenger"]
    compared(run).unlink()
    assert "challenger" not in problems()


def test_older_plans_still_read(registry: Registry, plan_run: PlanRun, tmp_path: Path) -> None:
    """A plan that was written before there were challengers has none."""
    written = msgspec.json.decode(msgspec.json.encode(plan_run(registry, PLAIN).batch))
    del written["challenger"]
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(written))
    plan: BatchPlan = read_batch_plan(path)
    assert plan.challenger is None
