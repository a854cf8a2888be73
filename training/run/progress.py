"""Where the nodes of a running DAG stand, told from its events: values and one table, no disk, no HTCondor."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from dag_specs.events import EventKind, JobEvent


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
