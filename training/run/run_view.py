"""What a person sees of a running DAG: one row for nodes that belong together, failed ones on their own. No disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from training.learning.blend import BLEND
from training.records.request import RunRequest
from training.records.run_folder import fit_node, preprocess_node
from training.run.nodes import plan_nodes
from training.run.progress import NodeProgress, NodeState

MOST_SETS: Final = 8
"""Parameter sets of a candidate that get a row each; more share one."""

TROUBLE: Final = frozenset({NodeState.FAILED, NodeState.HELD, NodeState.REMOVED})

# What a row says when its nodes differ: the first of these that one of them is in.
_FOREMOST = (NodeState.RUNNING, NodeState.QUEUED, NodeState.WAITING, NodeState.DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table."""

    title: str
    """What runs."""
    state: NodeState
    """Where the foremost of its nodes stands."""
    done: int
    """Nodes that are done."""
    nodes: int
    """Nodes in all."""
    host: str
    """Where it runs or ran, when that is one place."""
    seconds: float
    """Run time so far, of all its nodes (seconds)."""
    auc: float | None
    """Mean of what its nodes measured so far."""
    reason: str = ""
    """Why it is in trouble, where HTCondor tells."""


def title_nodes(request: RunRequest) -> dict[str, str]:
    """Give the title of the row that each node belongs to, in the order of the DAG."""
    titles = {node.name: node.name for node in plan_nodes(request)}
    for shard in request.shards:
        titles[preprocess_node(shard.number)] = "preprocess"
    for candidate in request.candidates:
        if candidate == BLEND:
            continue
        sets = request.parameter_sets[candidate]
        for number, parameters in enumerate(sets):
            title = f"fit {candidate}"
            if len(sets) > MOST_SETS:
                title += f" ({len(sets)} sets)"
            elif len(sets) > 1:
                title += "".join(f" {name}={parameters[name]:g}" for name in _varying(sets))
            for fold in range(request.folds):
                titles[fit_node(candidate, number, fold)] = title
    return titles


def _varying(sets: Sequence[Mapping[str, float]]) -> list[str]:
    return [name for name in sets[0] if len({parameters[name] for parameters in sets}) > 1]


def sum_up(standing: Sequence[NodeProgress], titles: Mapping[str, str], now: float) -> tuple[Row, ...]:
    """Sum up where nodes stand, row by row; `now` is the submit node's clock (seconds since 1970).

    A node in trouble has a row of its own as well, behind that of its group.
    """
    groups: dict[str, list[NodeProgress]] = {}
    for node in standing:
        groups.setdefault(titles[node.node], []).append(node)
    rows = []
    for title, nodes in groups.items():
        troubled = [node for node in nodes if node.state in TROUBLE]
        if len(nodes) > 1 or not troubled:
            rows.append(_row(title, nodes, now))
        rows += [_row(node.node, [node], now) for node in troubled]
    return tuple(rows)


def _row(title: str, nodes: Sequence[NodeProgress], now: float) -> Row:
    states = {node.state for node in nodes}
    hosts = {node.host for node in nodes if node.host and (node.state is NodeState.RUNNING or len(nodes) == 1)}
    measured = [node.auc for node in nodes if node.auc is not None]
    return Row(
        title=title,
        state=next((state for state in _FOREMOST if state in states), nodes[0].state),
        done=sum(node.state is NodeState.DONE for node in nodes),
        nodes=len(nodes),
        host=hosts.pop() if len(hosts) == 1 else f"{len(hosts)} slots" if hosts else "",
        seconds=sum(_seconds(node, now) for node in nodes),
        auc=fmean(measured) if measured else None,
        reason=nodes[0].reason if len(nodes) == 1 else "",
    )


def _seconds(node: NodeProgress, now: float) -> float:
    return max(0.0, now - node.started) if node.state is NodeState.RUNNING and node.started else node.seconds
