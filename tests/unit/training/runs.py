"""Further runs in the registry of a first one, for the tests of what is published and promoted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from training.records.findings import Conclusion
from training.records.outcome import read_details
from training.records.request import RunRequest, write_request
from training.run.nodes import plan_nodes

RunHere = Callable[..., dict[str, int]]
MakeRequest = Callable[..., RunRequest]


def another_run(request: RunRequest, run_id: str, **changed: Any) -> RunRequest:
    """Ask for a further run like this one, with some things changed, in the same registry."""
    folder = str(Path(request.folder).with_name(run_id))
    again = msgspec.structs.replace(request, run_id=run_id, folder=folder, **changed)
    write_request(again)
    return again


def read_conclusion(request: RunRequest) -> Conclusion:
    """Read how a run ended."""
    return read_details(request.layout.outcome("promote"), Conclusion)


def conclude_here(request: RunRequest, run_here: RunHere) -> Conclusion:
    """Run all nodes of a run and read how it ended."""
    assert set(run_here(request).values()) == {0}
    return read_conclusion(request)


def nodes_until(request: RunRequest, *last: str) -> list[str]:
    """Name nodes and all that they wait for, in order."""
    nodes = {node.name: node for node in plan_nodes(request)}
    wanted: set[str] = set()
    waiting = list(last)
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting += nodes[name].parents
    return [name for name in nodes if name in wanted]


def spoil_labels(history: Path, share: float, spoiled: Path) -> Path:
    """Copy a labelled file with the labels of a share of its rows shuffled among them."""
    head, *lines = history.read_text().splitlines()
    rows, labels = (list(part) for part in zip(*(line.rpartition(",")[::2] for line in lines), strict=True))
    stream = np.random.default_rng(1)
    chosen = stream.permutation(len(lines))[: round(share * len(lines))]
    for place, label in zip(chosen, [labels[at] for at in stream.permutation(chosen)], strict=True):
        labels[place] = label
    mixed = [f"{row},{label}" for row, label in zip(rows, labels, strict=True)]
    spoiled.write_text("\n".join([head, *mixed]) + "\n")
    return spoiled
