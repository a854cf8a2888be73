"""Going on with a run: which one, and which of its nodes are finished. Outcomes on the shared storage are the truth."""

from collections.abc import Sequence
from pathlib import Path

from scoring.errors import LoansError, StorageError
from training.records.outcome import is_finished
from training.records.request import RunRequest, read_request
from training.records.run_folder import PROMOTE, RunFolder
from training.run.nodes import Node


def find_run(training: Path, run_id: str | None) -> RunRequest:
    """Read the request of the run that was named, or of the latest. Raises LoansError when there is none."""
    runs = list_runs(training)
    if run_id is None:
        if not runs:
            raise LoansError("There is no training run to resume.", "Start one with `loans retrain`.")
        run_id = runs[-1]
    elif run_id not in runs:
        raise LoansError(
            f"There is no training run {run_id} in {training}.",
            f"The latest ones: {', '.join(runs[-3:])}." if runs else "Start one with `loans retrain`.",
        )
    request = read_request(RunFolder(training / run_id).request)
    if request.layout.root != training / run_id:
        raise StorageError(
            f"The training run in {training / run_id} belongs to {request.folder}.",
            "A run is resumed where it began: start a new one with `loans retrain`.",
        )
    return request


def list_runs(training: Path) -> list[str]:
    """Name the runs whose request was written, oldest first: their names sort by time."""
    try:
        return sorted(path.name for path in training.iterdir() if RunFolder(path).request.exists())
    except FileNotFoundError:
        return []


def is_concluded(layout: RunFolder) -> bool:
    """Tell whether a run came to its end: its last node is done."""
    return is_finished(PROMOTE, layout.outcome(PROMOTE))


def find_finished(layout: RunFolder, nodes: Sequence[Node]) -> frozenset[str]:
    """Name the nodes that need not run again: done, with every file that they wrote still as it was."""
    return frozenset(node.name for node in nodes if is_finished(node.name, layout.outcome(node.name)))
