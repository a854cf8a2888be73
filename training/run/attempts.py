"""An attempt at a run: its DAG submitted, followed and taken out of the queue again.

The first attempt begins a run, each later one resumes it. Every attempt has a DAG file and event logs of its own, so
that DAGMan's rescue files, locks and logs of one never reach another: which nodes are finished is told by the nodes'
own outcomes, and the DAG file marks them DONE.
"""

import fcntl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dag_specs.errors import SchedulerError
from dag_specs.events import EventKind, EventLog, create_log
from dag_specs.jobs import JobId, JobState, Scheduler
from dag_specs.training_dag import DagNode, TrainingDag, dagman_settings, describe_dag, describe_nodes
from scoring.atomic import write_bytes
from training.records.outcome import FUTILE, is_finished
from training.records.request import RunRequest, write_request
from training.records.run_folder import PROMOTE, RunFolder
from training.run.nodes import Node, category_limits
from training.run.progress import NodeBoard, NodeProgress, NodeState
from training.run.retrain_outcome import explain_failure, read_auc

SILENCE: Final = 600.0
"""How long HTCondor may fail to answer before the run is left to itself (seconds)."""

_PAUSE = 0.1
# DAGMan's own event log tells its end; the queue is asked in case that log cannot be written.
_QUEUE_INTERVAL = 5.0
# An NFS client may go on for some seconds not seeing the outcome that another host wrote.
_PATIENCE = 10.0

Told = Callable[[NodeProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One submission of a run's DAG."""

    number: int
    """1-based."""
    cluster: int
    """DAGMan's job."""
    dag_file: Path
    """What DAGMan runs."""
    nodes_log: Path
    """Events of the nodes' jobs."""
    dagman_log: Path
    """Events of DAGMan's job."""


@contextmanager
def only_one(local_logs: Path, run_id: str) -> Iterator[None]:
    """Let one process of this machine at a time look for a run's DAG and submit it."""
    local_logs.mkdir(mode=0o770, parents=True, exist_ok=True)
    with (local_logs / f"{run_id}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def count_attempts(layout: RunFolder) -> int:
    """Count the attempts that were written."""
    number = 0
    while layout.dag(number + 1).exists():
        number += 1
    return number


def begin_attempt(
    request: RunRequest,
    nodes: tuple[Node, ...],
    finished: Collection[str],
    scheduler: Scheduler,
    *,
    python: Path,
    local_logs: Path,
) -> Attempt:
    """Write everything that the next attempt needs, then submit it; nodes in `finished` are not run.

    Raises DescriptionError, before anything is written, for a path that HTCondor cannot be told, SchedulerError when
    HTCondor refuses, LoansError for a request that cannot be carried out.
    """
    layout = request.layout
    dag = TrainingDag(
        run_id=request.run_id,
        python=python,
        folder=layout.root,
        submit_file=layout.submit,
        nodes=tuple(_dag_node(layout, node, done=node.name in finished) for node in nodes),
        category_limits=category_limits(request),
        futile_exit=FUTILE,
    )
    dag_text, submit_text = describe_dag(dag), describe_nodes(dag)
    number = count_attempts(layout) + 1
    if number == 1:
        write_request(request)
    write_bytes(layout.submit, submit_text.encode())
    write_bytes(layout.dag(number), dag_text.encode())
    nodes_log, dagman_log = _logs(local_logs, request.run_id, number)
    create_log(nodes_log)
    create_log(dagman_log)
    cluster = scheduler.submit_dag(layout.dag(number), dagman_settings(nodes_log), dagman_log, request.run_id)
    return Attempt(
        number=number, cluster=cluster, dag_file=layout.dag(number), nodes_log=nodes_log, dagman_log=dagman_log
    )


def find_attempt(request: RunRequest, scheduler: Scheduler, local_logs: Path) -> Attempt | None:
    """Find the attempt at a run that is in the queue; None when there is none. One that is held is released.

    Raises SchedulerError when HTCondor does not answer.
    """
    cluster = scheduler.find_dag(request.run_id)
    if cluster is None:
        return None
    if any(
        job.in_queue and job.state is JobState.HELD for job in scheduler.job_states([cluster], left_since=time.time())
    ):
        scheduler.release([JobId(cluster)], "the training run was resumed")
    number = count_attempts(request.layout)
    nodes_log, dagman_log = _logs(local_logs, request.run_id, number)
    return Attempt(
        number=number,
        cluster=cluster,
        dag_file=request.layout.dag(number),
        nodes_log=nodes_log,
        dagman_log=dagman_log,
    )


def _logs(local_logs: Path, run_id: str, number: int) -> tuple[Path, Path]:
    return local_logs / f"{run_id}-{number}.nodes.log", local_logs / f"{run_id}-{number}.dagman.log"


def _dag_node(layout: RunFolder, node: Node, *, done: bool) -> DagNode:
    return DagNode(
        name=node.name,
        # -I: neither the job's folder nor PYTHON* variables nor the account's own packages have a say.
        arguments=("-I", "-m", node.module, *node.arguments),
        parents=node.parents,
        category=node.category,
        cpus=node.cpus,
        memory_mb=node.memory_mb,
        disk_mb=node.disk_mb,
        output=layout.printed(node.name),
        error=layout.complained(node.name),
        priority=node.priority,
        done=done,
    )


def follow_attempt(
    attempt: Attempt,
    layout: RunFolder,
    board: NodeBoard,
    scheduler: Scheduler,
    on_progress: Told,
    pause: Callable[[float], object],
) -> None:
    """Follow an attempt to its end, telling each change. Whatever raises in here leaves the DAG in the queue.

    Raises LoansError when a node failed or the DAG was removed, SchedulerError when HTCondor did not answer for long.
    """
    for progress in board.standing:
        on_progress(progress)
    code = _follow(attempt, layout, board, scheduler, on_progress, pause)
    if code != 0:
        raise explain_failure(layout, board.standing, attempt.dag_file, attempt.dagman_log)


def _follow(
    attempt: Attempt,
    layout: RunFolder,
    board: NodeBoard,
    scheduler: Scheduler,
    on_progress: Told,
    pause: Callable[[float], object],
) -> int | None:
    """Return DAGMan's exit code, None when it did not end by itself or told none."""
    node_events, dagman_events = EventLog(attempt.nodes_log), EventLog(attempt.dagman_log)
    figures = _Figures(layout, board, on_progress)
    queue = _Queue(scheduler, attempt.cluster)
    for standing in board.standing:
        figures.expect(standing)
    turn: EventKind | None = None
    code: int | None = None
    while True:
        # DAGMan's log is read first: what the nodes told before its end is then read in the same round.
        for event in dagman_events.read().events:
            if event.kind in _DAGMAN_TURNS:
                turn, code = event.kind, event.exit_code
        ended = turn in _DAGMAN_ENDS
        gone = not ended and queue.is_left()
        for event in node_events.read().events:
            if progress := board.take(event):
                on_progress(progress)
                figures.expect(progress)
        figures.read()
        if any(node.state is NodeState.HELD for node in board.standing):
            # Nothing releases it: the run would wait for ever.
            scheduler.remove([JobId(attempt.cluster)], "a node was held")
            return None
        if ended:
            return code
        if gone:
            return 0 if is_finished(PROMOTE, layout.outcome(PROMOTE)) else None
        pause(_PAUSE)


_DAGMAN_ENDS = {EventKind.TERMINATED, EventKind.ABORTED, EventKind.HELD}
_DAGMAN_TURNS = {*_DAGMAN_ENDS, EventKind.RELEASED, EventKind.EXECUTING}


class _Queue:
    """Asks now and then whether DAGMan's job is still there; a schedd that is started again is waited for."""

    def __init__(self, scheduler: Scheduler, cluster: int) -> None:
        self._scheduler, self._cluster = scheduler, cluster
        self._asked = self._answered = time.monotonic()

    def is_left(self) -> bool:
        now = time.monotonic()
        if now - self._asked <= _QUEUE_INTERVAL:
            return False
        self._asked = now
        try:
            gone = not self._scheduler.is_queued(self._cluster)
        except SchedulerError:
            if now - self._answered > SILENCE:
                raise
            return False
        self._answered = now
        return gone


class _Figures:
    """Reads what nodes measured as they end."""

    def __init__(self, layout: RunFolder, board: NodeBoard, on_progress: Told) -> None:
        self._layout, self._board, self._on_progress = layout, board, on_progress
        self._expected: dict[str, float] = {}

    def expect(self, progress: NodeProgress) -> None:
        if progress.state is NodeState.DONE and progress.auc is None:
            self._expected[progress.node] = time.monotonic() + _PATIENCE

    def read(self) -> None:
        for node, until in list(self._expected.items()):
            path = self._layout.outcome(node)
            auc = read_auc(path)
            if auc is not None:
                self._on_progress(self._board.measure(node, auc))
            if auc is not None or path.exists() or time.monotonic() > until:
                del self._expected[node]
