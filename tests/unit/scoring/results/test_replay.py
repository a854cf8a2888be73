"""Scoring again: identical, or where it differs, told without a word of a loan."""

import os
import tempfile
from pathlib import Path

import msgspec
import pytest

from scoring.errors import ModelError, ProofError
from scoring.results.receipt import Receipt
from scoring.results.replay import Replay, replay_result
from tests.unit.scoring.conftest import PlanRun, Registry, Run
from tests.unit.scoring.csv_bodies import HEADER

FIRST_LINE = (",".join(HEADER) + "\n").encode()
BODY = b"".join(b"SECRET%d,2,3,4,%s,6,CAR,8\n" % (number, b"Z" if number % 5 == 0 else b"A") for number in range(1, 31))


@pytest.fixture
def published(every_rule: Registry, plan_run: PlanRun) -> tuple[Run, Receipt]:
    """Give a published batch of three chunks."""
    run = plan_run(every_rule, FIRST_LINE + BODY, 3)
    run.score()
    return run, run.publish()


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let temporary folders be made where the tests can see them."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def replay(run: Run, receipt: Receipt, threads: int = 1) -> Replay:
    """Replay a batch; nothing may be left behind."""
    source = Path(run.batch.plan.source.path)
    try:
        return replay_result(source, receipt, run.target, Path(run.batch.models), threads=threads)
    finally:
        assert os.listdir(tempfile.gettempdir()) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_sound_result_is_identical(published: tuple[Run, Receipt], threads: int) -> None:
    """What was scored in three chunks is byte for byte what comes of scoring it again as one."""
    assert replay(*published, threads) == Replay(identical=True, differing_lines=0, first_difference="")


def test_first_difference_is_told(published: tuple[Run, Receipt]) -> None:
    """A changed probability is told by line and field, without its content."""
    run, receipt = published
    lines = run.target.predictions.read_bytes().split(b"\n")
    fields = lines[7].split(b",")
    lines[7] = b",".join([*fields[:3], b"0.25", *fields[4:]])
    lines[9] = lines[9].replace(b"SECRET", b"SECRETS")
    run.target.predictions.write_bytes(b"\n".join(lines))
    found = replay(run, receipt)
    assert (found.identical, found.differing_lines) == (False, 2)
    assert "line 8 of loans.predictions.csv: field(s) 4" in found.first_difference
    assert "SECRET" not in found.first_difference


@pytest.mark.parametrize("kind", ["predictions", "rejects"])
@pytest.mark.parametrize("change", ["cut", "longer", "altered"])
def test_every_kind_of_difference_is_found(published: tuple[Run, Receipt], kind: str, change: str) -> None:
    """Lines that are gone, added or altered in either file are differences that name the file."""
    run, receipt = published
    path: Path = getattr(run.target, kind)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {"cut": lines[:-1], "longer": [*lines, lines[-1]], "altered": [*lines[:-1], b"9" + lines[-1]]}[change]
    path.write_bytes(b"".join(changed))
    found = replay(run, receipt)
    assert not found.identical
    assert found.differing_lines == 1
    assert path.name in found.first_difference
    assert "SECRET" not in found.first_difference


def test_other_input_is_refused(published: tuple[Run, Receipt]) -> None:
    """An input that is not the receipt's, though it would score, is refused."""
    run, receipt = published
    path = Path(run.batch.plan.source.path)
    path.write_bytes(path.read_bytes().replace(b"SECRET9", b"SECRET8"))
    with pytest.raises(ProofError, match="is not the input of batch"):
        replay(run, receipt)


def test_other_model_is_refused(published: tuple[Run, Receipt]) -> None:
    """A replay scores with the very version of the receipt or not at all."""
    run, receipt = published
    pin = msgspec.structs.replace(receipt.model, manifest_sha256="0" * 64)
    with pytest.raises(ModelError, match="was altered"):
        replay(run, msgspec.structs.replace(receipt, model=pin))


def test_records_without_content_are_replayed(every_rule: Registry, plan_run: PlanRun) -> None:
    """Records without content, within the file and at its end, come out of one chunk as out of three."""
    hollow = b'\n,,,,,,,\n"",,\n'
    run = plan_run(every_rule, FIRST_LINE + BODY + hollow + BODY + hollow * 9, 3)
    run.score()
    receipt = run.publish()
    assert (receipt.rows_in, receipt.scored, receipt.rejected) == (63, 48, 15)
    assert replay(run, receipt).identical
