"""What a training run left behind: times, the conclusion, the last words of a failure."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

from dag_specs.training_dag import dagman_output
from scoring.errors import LoansError, StorageError
from training.records.findings import Conclusion
from training.records.outcome import read_details, read_outcome
from training.records.run_folder import PROMOTE, RunFolder
from training.run.progress import NodeProgress, NodeState

_LINES = 15
_BYTES = 8192
# An NFS client may go on for some seconds not seeing a file that another host wrote.
_PATIENCE = 10.0

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """When and where a node ran, by its own account."""

    node: str
    """Its name."""
    host: str
    """The machine."""
    started: float
    """When its process began, by the clock of that machine (seconds since 1970)."""
    seconds: float
    """Wall time of the process, imports included (seconds)."""


def read_conclusion(layout: RunFolder) -> Conclusion:
    """Read how a run that is done ended. Raises StorageError or ModelError when that does not read."""
    return _patiently(layout.outcomes, lambda: read_details(layout.outcome(PROMOTE), Conclusion))


def read_times(layout: RunFolder, nodes: Sequence[str]) -> tuple[NodeTime, ...]:
    """Read when and where each node of a run that is done ran. Raises StorageError or ModelError."""
    times = []
    for node in nodes:
        outcome = _patiently(layout.outcomes, lambda node=node: read_outcome(layout.outcome(node), Any))  # type: ignore[misc]
        times.append(NodeTime(node=node, host=outcome.host, started=outcome.started, seconds=outcome.seconds))
    return tuple(times)


def _patiently(folder: Path, read: Callable[[], Value]) -> Value:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return read()
        except StorageError:
            if time.monotonic() > deadline:
                raise
        # Listing the folder makes an NFS client look again.
        list(folder.iterdir())
        time.sleep(0.1)


def read_auc(path: Path) -> float | None:
    """Read what a node measured: AUC on a fold, out of fold or on the held-out loans; None when there is none (yet)."""
    details: Any
    try:
        details = read_outcome(path, Any).details
    except StorageError:
        return None
    parts = (details, details.get("validation"), details.get("metrics")) if isinstance(details, dict) else ()
    return next((float(part["auc"]) for part in parts if isinstance(part, dict) and "auc" in part), None)


def longest_path(parents: Mapping[str, Sequence[str]], seconds: Mapping[str, float]) -> float:
    """Return the run time of the longest chain of nodes that wait for each other (seconds)."""
    ends: dict[str, float] = {}
    for node in TopologicalSorter(parents).static_order():
        before = max((ends[parent] for parent in parents.get(node, ())), default=0.0)
        ends[node] = before + seconds[node]
    return max(ends.values(), default=0.0)


def explain_failure(
    layout: RunFolder, standing: Sequence[NodeProgress], dag_file: Path, dagman_log: Path
) -> LoansError:
    """Return the error for a DAG that did not end well: which node, its last words, where its log is, how to go on."""
    for state, explain in _EXPLANATIONS:
        for node in standing:
            if node.state is state:
                return explain(layout, node)
    output = dagman_output(dag_file)
    told = _tail(output, only="ERROR")
    return LoansError(
        "DAGMan ended before the training run was done.",
        "\n".join([*told, f"Its logs are {output} and {dagman_log}.", _go_on(layout)]),
    )


def _failed(layout: RunFolder, node: NodeProgress) -> LoansError:
    log = layout.complained(node.node)
    lines = _tail(log)
    what = way_out = ""
    futile = False
    with suppress(LoansError):
        outcome = read_outcome(layout.outcome(node.node), Any)
        what, way_out, futile = outcome.what, outcome.way_out, outcome.futile
    # What the outcome tells is the log's last line as well.
    lines = [line for line in lines if line != f"{node.node}: {what}"]
    what = what or node.reason or (lines[-1] if lines else "it left no word")
    then = "Then start anew with `loans retrain`: this run would read what it was planned with." if futile else ""
    return LoansError(
        f"Node {node.node} of the training run failed: {what}",
        "\n".join(part for part in (way_out, *lines, f"Its log is {log}.", then or _go_on(layout)) if part),
    )


def _held(layout: RunFolder, node: NodeProgress) -> LoansError:
    return LoansError(
        f"HTCondor cannot run node {node.node} of the training run and held it: {node.reason or 'no reason was told'}.",
        f"The run was removed from the queue. {_go_on(layout)}",
    )


def _removed(layout: RunFolder, node: NodeProgress) -> LoansError:
    return LoansError(
        f"Node {node.node} of the training run was removed from the queue: {node.reason or 'no reason was told'}.",
        _go_on(layout),
    )


def _go_on(layout: RunFolder) -> str:
    return f"When the cause is mended, `loans retrain --resume {layout.root.name}` goes on from here."


_EXPLANATIONS = ((NodeState.FAILED, _failed), (NodeState.HELD, _held), (NodeState.REMOVED, _removed))


def _tail(path: Path, only: str = "") -> list[str]:
    """Return the last lines of a log that hold a word; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip() and only in line][-_LINES:]
