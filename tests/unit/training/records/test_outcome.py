"""How a node ends: one readable file, always; one line on stderr when it failed; never a loan's content."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scoring.errors import LoansError, StorageError
from training.records.findings import Part
from training.records.outcome import (
    DONE,
    FAILED,
    FUTILE,
    is_finished,
    process_started,
    read_details,
    read_outcome,
    run_node,
)


def _raise(error: BaseException) -> Callable[[], Part]:
    def work() -> Part:
        raise error

    return work


def test_done_keeps_the_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node that is done leaves what it found out, how long it took and where, and says nothing."""
    path = tmp_path / "outcome.json"
    assert run_node("split", path, lambda: Part(5, 1, "00")) == 0
    outcome = read_outcome(path, Part)
    assert (outcome.node, outcome.state, outcome.details) == ("split", DONE, Part(5, 1, "00"))
    assert outcome.seconds > 0
    assert outcome.host
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (LoansError("The file is empty.", "Send another."), "The file is empty.", FUTILE),
        (StorageError("The file is away.", "Wait."), "The file is away.", 1),
        (FileNotFoundError(2, "No such file or directory", "/shared/x.npz"), "/shared/x.npz: No such file", 1),
        (MemoryError(), "not enough memory", 1),
        (
            ValueError("could not convert 'Jane Doe' to float"),
            "An internal error: ValueError at training/records/outcome.py",
            1,
        ),
    ],
    ids=["for people", "storage in words", "storage", "memory", "fault"],
)
def test_failure_is_one_line(
    error: Exception, words: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever goes wrong, an exit code, a sentence in the file, the same on one line of stderr, and no value quoted.

    The exit code tells what a second attempt may mend from what it cannot.
    """
    path = tmp_path / "outcome.json"
    assert run_node("train-tree", path, _raise(error)) == code
    outcome = read_outcome(path, Part)
    complaint = capsys.readouterr().err
    assert outcome.state == FAILED
    assert words in outcome.what
    assert outcome.way_out
    assert complaint == f"train-tree: {outcome.what}\n"
    assert "Jane" not in path.read_text() + complaint
    with pytest.raises(LoansError, match="train-tree is not done"):
        read_details(path, Part)


def _writing(path: Path, content: bytes) -> Callable[[], Part]:
    def work() -> Part:
        path.write_bytes(content)
        return Part(5, 1, "00")

    return work


def test_finished_node_does_nothing_again(tmp_path: Path) -> None:
    """Run once more, a node that is done keeps its outcome and what it wrote."""
    path, written = tmp_path / "outcome.json", tmp_path / "train.npz"
    assert run_node("split", path, _writing(written, b"loans"), (written,)) == 0
    before = path.read_bytes()
    assert is_finished("split", path)
    assert run_node("split", path, _raise(AssertionError("not again")), (written,)) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["altered", "gone", "no outcome", "failed", "of another node"])
def test_unfinished_node_works_again(damage: str, tmp_path: Path) -> None:
    """What a node wrote must still be what it wrote, and its own outcome say so; else it works again."""
    path, written = tmp_path / "outcome.json", tmp_path / "train.npz"
    assert (
        run_node("train" if damage == "of another node" else "split", path, _writing(written, b"old"), (written,)) == 0
    )
    match damage:
        case "altered":
            written.write_bytes(b"odd")
        case "gone":
            written.unlink()
        case "no outcome":
            path.unlink()
        case "failed":
            path.write_text(path.read_text().replace('"done"', '"failed"'))
    assert not is_finished("split", path)
    assert run_node("split", path, _writing(written, b"new"), (written,)) == 0
    assert written.read_bytes() == b"new"
    assert is_finished("split", path)


def test_lost_outcome_fails_the_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node whose outcome cannot be written has failed, whatever it did."""
    assert run_node("split", tmp_path / "absent" / "outcome.json", lambda: Part(5, 1, "00")) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_time_counts_from_the_start_of_the_process() -> None:
    """The process began before this test, and not long ago."""
    assert 0 < time.time() - process_started() < 3_600


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 2}', b'{"format": 9, "node": "a"}'])
def test_damaged_outcome_is_told(content: bytes, tmp_path: Path) -> None:
    """An outcome that does not read is told in words."""
    path = tmp_path / "outcome.json"
    path.write_bytes(content)
    with pytest.raises(LoansError, match="does not read"):
        read_outcome(path, Part)
