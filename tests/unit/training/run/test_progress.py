"""Where nodes stand, told from events."""

import pytest

from dag_specs.events import EventKind, JobEvent
from training.run.progress import NodeBoard, NodeProgress, NodeState
from training.run.retrain_outcome import longest_path


def _event(kind: EventKind, at: float, cluster: int = 5, **more: object) -> JobEvent:
    return JobEvent(kind=kind, number=0, cluster=cluster, proc=0, time=at, **more)  # type: ignore[arg-type]


def _tell(board: NodeBoard, *events: JobEvent) -> list[NodeProgress]:
    return [told for event in events if (told := board.take(event))]


SUBMITTED = _event(EventKind.SUBMITTED, 10, node="split")
EXECUTING = _event(EventKind.EXECUTING, 12, host="slot1@node1")


def test_node_that_goes_well() -> None:
    """A node is queued, runs on its host, and is done after the seconds that it ran."""
    board = NodeBoard(["split", "promote"])
    told = _tell(board, SUBMITTED, EXECUTING, _event(EventKind.TERMINATED, 17, exit_code=0))
    assert [one.state for one in told] == [NodeState.QUEUED, NodeState.RUNNING, NodeState.DONE]
    assert (told[-1].host, told[-1].seconds, told[-1].attempt) == ("slot1@node1", 5, 1)
    assert [one.state for one in board.standing] == [NodeState.DONE, NodeState.WAITING]


def test_node_that_is_tried_again() -> None:
    """A node that failed begins anew when DAGMan submits it again, under another cluster."""
    board = NodeBoard(["split"])
    failed = _event(EventKind.TERMINATED, 13, exit_code=1)
    told = _tell(board, SUBMITTED, EXECUTING, failed, _event(EventKind.SUBMITTED, 15, 6, node="split"))
    assert [one.state for one in told][2:] == [NodeState.FAILED, NodeState.QUEUED]
    assert (told[-1].attempt, told[-1].host, told[-1].seconds) == (2, "", 0.0)


@pytest.mark.parametrize(
    ("event", "state", "reason"),
    [
        (_event(EventKind.TERMINATED, 13, exit_signal=9), NodeState.FAILED, "signal 9 ended it"),
        (_event(EventKind.HELD, 13, reason="too much memory"), NodeState.HELD, "too much memory"),
        (_event(EventKind.ABORTED, 13, reason="by hand"), NodeState.REMOVED, "by hand"),
        (_event(EventKind.EVICTED, 13), NodeState.QUEUED, ""),
        (_event(EventKind.SHADOW_EXCEPTION, 13, reason="lost"), NodeState.QUEUED, "lost"),
        (_event(EventKind.RECONNECT_FAILED, 13, reason="too long"), NodeState.QUEUED, "too long"),
    ],
)
def test_what_can_happen_to_a_running_node(event: JobEvent, state: NodeState, reason: str) -> None:
    """Each turn leads to one state, with its reason."""
    board = NodeBoard(["split"])
    (*_, last) = _tell(board, SUBMITTED, EXECUTING, event)
    assert (last.state, last.reason, last.attempt) == (state, reason, 1)


def test_events_that_change_nothing() -> None:
    """Events of other jobs, of no interest, or told twice change nothing."""
    board = NodeBoard(["split"])
    _tell(board, SUBMITTED, EXECUTING)
    assert not _tell(
        board,
        EXECUTING,
        _event(EventKind.IMAGE_SIZE, 13, memory_mb=80),
        _event(EventKind.TERMINATED, 13, 99, exit_code=0),
        _event(EventKind.SUBMITTED, 13, 98, node="unknown"),
    )


def test_nodes_that_were_finished_before() -> None:
    """In a run that is resumed, what is finished stands as done from the start."""
    board = NodeBoard(["split", "promote"], {"split"})
    assert [one.state for one in board.standing] == [NodeState.DONE, NodeState.WAITING]


def test_what_a_node_measured_stays() -> None:
    """A figure is added to where its node stands, and later events keep it."""
    board = NodeBoard(["split"])
    _tell(board, SUBMITTED, EXECUTING)
    assert board.measure("split", 0.9).state is NodeState.RUNNING
    (told,) = _tell(board, _event(EventKind.TERMINATED, 17, exit_code=0))
    assert (told.state, told.auc) == (NodeState.DONE, 0.9)


def test_longest_path() -> None:
    """The longest chain counts, not the sum."""
    parents = {"a": (), "b": (), "c": ("a", "b"), "d": ("c",), "e": ("a",)}
    seconds = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 0.5, "e": 4.0}
    assert longest_path(parents, seconds) == 5.5
    assert longest_path({}, {}) == 0.0
