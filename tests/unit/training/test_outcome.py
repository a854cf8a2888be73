"""How a node ends: one readable file, always; one line on stderr when it failed; never a loan's content."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scoring.errors import LoansError
from training.findings import Part
from training.outcome import DONE, FAILED, process_started, read_details, read_outcome, run_node


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
    ("error", "words"),
    [
        (LoansError("The file is empty.", "Send another."), "The file is empty."),
        (FileNotFoundError(2, "No such file or directory", "/shared/x.npz"), "/shared/x.npz: No such file"),
        (MemoryError(), "not enough memory"),
        (ValueError("could not convert 'Jane Doe' to float"), "An internal error: ValueError at training/outcome.py"),
    ],
    ids=["for people", "storage", "memory", "fault"],
)
def test_failure_is_one_line(error: Exception, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever goes wrong, exit code 1, a sentence in the file, the same on one line of stderr, and no value quoted."""
    path = tmp_path / "outcome.json"
    assert run_node("train-tree", path, _raise(error)) == 1
    outcome = read_outcome(path, Part)
    complaint = capsys.readouterr().err
    assert outcome.state == FAILED
    assert words in outcome.what
    assert outcome.way_out
    assert complaint == f"train-tree: {outcome.what}\n"
    assert "Jane" not in path.read_text() + complaint
    with pytest.raises(LoansError, match="train-tree is not done"):
        read_details(path, Part)


def test_lost_outcome_fails_the_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node whose outcome cannot be written has failed, whatever it did."""
    assert run_node("split", tmp_path / "absent" / "outcome.json", lambda: Part(5, 1, "00")) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_time_counts_from_the_start_of_the_process() -> None:
    """The process began before this test, and not long ago."""
    assert 0 < time.time() - process_started() < 3_600


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1}', b'{"format": 9, "node": "a"}'])
def test_damaged_outcome_is_told(content: bytes, tmp_path: Path) -> None:
    """An outcome that does not read is told in words."""
    path = tmp_path / "outcome.json"
    path.write_bytes(content)
    with pytest.raises(LoansError, match="does not read"):
        read_outcome(path, Part)
