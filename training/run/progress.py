"""Where the nodes of a running DAG stand, told from its events: values and one table, no disk, no HTCondor."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from types import MappingProxyType
from typing import Final

from dag_specs.events import EventKind, JobEvent
from training.learners.blend import BLEND
from training.records.request import RunRequest
from training.records.run_folder import fit_node, preprocess_node
from training.run.nodes import plan_nodes


class NodeState(StrEnum):
    """Where a node stands."""

    WAITING = "waiting"
    """For the nodes before it."""
    QUEUED = "queued"
    """In the queue, without a slot."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Its job ended with another exit code than 0; DAGMan may try again."""
    HELD = "held"
    """HTCondor cannot run it as it is."""
    REMOVED = "removed"
    """Somebody took it out of the queue."""


TRANSITIONS: Final[Mapping[EventKind, NodeState]] = MappingProxyType(
    {
        EventKind.SUBMITTED: NodeState.QUEUED,
        EventKind.EXECUTING: NodeState.RUNNING,
        EventKind.EVICTED: NodeState.QUEUED,
        EventKind.SHADOW_EXCEPTION: NodeState.QUEUED,
        EventKind.RECONNECT_FAILED: NodeState.QUEUED,
        EventKind.TERMINATED: NodeState.DONE,
        EventKind.ABORTED: NodeState.REMOVED,
        EventKind.HELD: NodeState.HELD,
        EventKind.RELEASED: NodeState.QUEUED,
    }
)
"""Which state an event leads to, from whatever state; other events change nothing. DONE is FAILED with an exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgress:
    """Where one node stands."""

    node: str
    """Its name."""
    state: NodeState = NodeState.WAITING
    """Where it stands."""
    since: float = 0.0
    """When it entered that state, by the submit node's clock (seconds since 1970); 0 while it waits."""
    started: float = 0.0
    """When its job last began to run; 0 before (seconds since 1970)."""
    host: str = ""
    """The slot that it runs or ran on."""
    seconds: float = 0.0
    """How long its job ran, once it ended (seconds, to the precision of the event log: whole ones)."""
    attempt: int = 0
    """How many times it was submitted."""
    reason: str = ""
    """Why it is held, was removed or killed, or lost its slot."""
    auc: float | None = None
    """What it measured, once that is known: AUC on a fold, out of fold, or on the held-out loans."""


class NodeBoard:
    """Where all nodes of a DAG stand; takes events in the log's order and may take one twice."""

    def __init__(self, nodes: Iterable[str], finished: Collection[str] = ()) -> None:
        """Begin with all nodes waiting, but for those that were finished before."""
        self._standing = {
            node: NodeProgress(node=node, state=NodeState.DONE if node in finished else NodeState.WAITING)
            for node in nodes
        }
        self._clusters: dict[int, str] = {}

    @property
    def standing(self) -> tuple[NodeProgress, ...]:
        """Where each node stands, in the order given."""
        return tuple(self._standing.values())

    def take(self, event: JobEvent) -> NodeProgress | None:
        """Take an event and return where its node stands then; None when that changes nothing."""
        if event.node in self._standing:
            self._clusters[event.cluster] = event.node
        node = self._clusters.get(event.cluster)
        state = TRANSITIONS.get(event.kind)
        if node is None or state is None:
            return None
        before = self._standing[node]
        after = _follow(before, event, state)
        if after == before:
            return None
        self._standing[node] = after
        return after

    def measure(self, node: str, auc: float) -> NodeProgress:
        """Add what a node measured, and return where it stands."""
        self._standing[node] = replace(self._standing[node], auc=auc)
        return self._standing[node]


def _follow(before: NodeProgress, event: JobEvent, state: NodeState) -> NodeProgress:
    if state is NodeState.DONE and event.exit_code != 0:
        state = NodeState.FAILED
    after = replace(before, state=state, since=event.time, reason=event.reason)
    match state:
        case NodeState.QUEUED if event.kind is EventKind.SUBMITTED:
            return replace(after, attempt=before.attempt + 1, host="", started=0.0, seconds=0.0)
        case NodeState.RUNNING:
            return replace(after, started=event.time, host=event.host)
        case NodeState.DONE | NodeState.FAILED:
            killed = f"signal {event.exit_signal} ended it" if event.exit_signal else ""
            return replace(after, seconds=event.time - before.started if before.started else 0.0, reason=killed)
        case _:
            return after


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
