"""A retrain from order to result: plan, write the run folder, have DAGMan run it, follow its events, sum up."""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dag_specs.errors import DagSpecError
from dag_specs.event_log import EventLog, create_log
from dag_specs.events import EventKind
from dag_specs.jobs import JobId, Scheduler, Slot, count_places
from dag_specs.training_dag import DagNode, TrainingDag, dagman_settings, describe_dag, describe_nodes
from scoring.atomic import write_bytes
from scoring.contract import Contract
from scoring.errors import LoansError
from training.findings import Conclusion, Metrics
from training.nodes import Node, plan_nodes
from training.progress import NodeBoard, NodeProgress, NodeState
from training.request import FORMAT, PromoteMode, RunRequest, write_request
from training.retrain_outcome import NodeTime, explain_failure, longest_path, read_conclusion, read_times
from training.run_folder import RunFolder
from training.shards import SHARDS, plan_shards

CANDIDATES = ("logistic", "tree")
"""The candidates of a run that names none."""

# A node takes longer to start than 100,000 loans take to read.
_MOST_SHARDS = 8
_PAUSE = 0.1
# DAGMan's own event log tells its end; the queue is asked in case that log cannot be written.
_QUEUE_INTERVAL = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainOrder:
    """What a retrain is to do, with every path absolute."""

    training: Path
    """The site's folder of training runs on the shared storage."""
    models: Path
    """The registry on the shared storage."""
    history: tuple[Path, ...]
    """Labelled files on the shared storage."""
    contract: Contract
    """How they are read."""
    python: Path
    """The interpreter as every execute node sees it."""
    local_logs: Path
    """Folder on this machine's local disk for HTCondor's event logs."""
    candidates: tuple[str, ...] = CANDIDATES
    """Which candidates are trained."""
    seed: int = 0
    """Of the split and of whatever a candidate draws."""
    promote: PromoteMode = PromoteMode.AUTO
    """What becomes of the best."""
    threads: int = 1
    """Cores for each node, and threads that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult:
    """How a retrain ended."""

    run_id: str
    """The run's name."""
    folder: Path
    """The run's folder."""
    version: str
    """The version that was published."""
    candidate: str
    """The candidate that won."""
    promoted: bool
    """Whether the version is in production now."""
    why: str
    """Why, or why not."""
    metrics: Mapping[str, Metrics]
    """Figures of each candidate on the held-out loans, in the order asked for."""
    rows_in: int
    """Rows of the history."""
    rejected: Mapping[str, int]
    """Rows of the history that broke the contract, by rule."""
    nodes: tuple[NodeTime, ...]
    """When and where each node ran, parents before children."""
    planning_seconds: float
    """Wall time before the DAG was submitted (seconds)."""
    wall_seconds: float
    """Wall time of all (seconds)."""
    critical_path_seconds: float
    """Run time of the longest chain of nodes that wait for each other (seconds)."""

    @property
    def overhead_seconds(self) -> float:
        """Wall time between submission and end that no node of the longest chain ran: DAGMan's and HTCondor's own."""
        return self.wall_seconds - self.planning_seconds - self.critical_path_seconds


def retrain(
    order: RetrainOrder,
    scheduler: Scheduler,
    on_progress: Callable[[NodeProgress], None] = lambda _: None,
    pause: Callable[[float], object] = time.sleep,
) -> RetrainResult:
    """Run the training DAG on the pool and return what came of it.

    `on_progress` is called in this thread: once for each node as it waits, then at each change; `pause` (seconds)
    between two looks at the events. When anything raises in here (Ctrl-C and `on_progress` included) the DAG is taken
    out of the queue. Raises LoansError when the order cannot be carried out, HTCondor refuses, or a node fails: with
    the node's own last words and the path of its log.
    """
    begun = time.monotonic()
    try:
        slots = scheduler.slots()
        request = plan_run(order, slots)
        nodes = plan_nodes(request)
        _check_places(nodes, slots)
        logs = _write_run(order, request, nodes)
        submitted = time.monotonic()
        _run_dag(scheduler, request.layout, nodes, logs, on_progress, pause)
    except DagSpecError as error:
        raise LoansError(error.what, error.way_out) from error
    conclusion = read_conclusion(request.layout)
    ended = time.monotonic()
    return _sum_up(request, nodes, conclusion, planning=submitted - begun, wall=ended - begun)


def plan_run(order: RetrainOrder, slots: tuple[Slot, ...]) -> RunRequest:
    """Plan the shards and name the run. Raises FileRefusedError when a history file cannot be read."""
    run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    if not order.history:
        raise LoansError(
            "There is no history to learn from.",
            "Put labelled CSV files into the site's history folder, or name them with --history.",
        )
    places = count_places(slots, cpus=order.threads, memory_mb=1, disk_mb=1)
    return RunRequest(
        format=FORMAT,
        run_id=run_id,
        folder=str(order.training / run_id),
        models=str(order.models),
        contract=order.contract,
        history=tuple(map(str, order.history)),
        shards=plan_shards(order.history, order.contract, max(SHARDS, min(places, _MOST_SHARDS))),
        candidates=order.candidates,
        promote=order.promote,
        seed=order.seed,
        threads=order.threads,
    )


def _check_places(nodes: tuple[Node, ...], slots: tuple[Slot, ...]) -> None:
    """Refuse a node that no slot could ever run: it would wait for ever and say nothing."""
    for node in nodes:
        if not count_places(slots, cpus=node.cpus, memory_mb=node.memory_mb, disk_mb=node.disk_mb):
            largest = max((slot.memory_mb for slot in slots), default=0)
            raise LoansError(
                f"No slot of the pool can run node {node.name}: it needs {node.cpus} CPUs, {node.memory_mb:,} MB of "
                f"memory and {node.disk_mb:,} MB of disk. There are {len(slots)} slots; the largest has {largest:,} MB "
                "of memory.",
                "Check `condor_status`, give the pool larger slots, or train on fewer loans.",
            )


@dataclass(frozen=True, slots=True)
class _Logs:
    nodes: Path
    dagman: Path


def _write_run(order: RetrainOrder, request: RunRequest, nodes: tuple[Node, ...]) -> _Logs:
    """Write everything that the run needs, before anything of it starts."""
    layout = request.layout
    dag = TrainingDag(
        run_id=request.run_id,
        python=order.python,
        folder=layout.root,
        submit_file=layout.submit,
        nodes=tuple(_dag_node(layout, node) for node in nodes),
    )
    # The texts first: a path that cannot be told to HTCondor leaves nothing behind.
    dag_text, submit_text = describe_dag(dag), describe_nodes(dag)
    write_request(request)
    write_bytes(layout.submit, submit_text.encode())
    write_bytes(layout.dag, dag_text.encode())
    logs = _Logs(order.local_logs / f"{request.run_id}.nodes.log", order.local_logs / f"{request.run_id}.dagman.log")
    create_log(logs.nodes)
    create_log(logs.dagman)
    return logs


def _dag_node(layout: RunFolder, node: Node) -> DagNode:
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
    )


def _run_dag(
    scheduler: Scheduler,
    layout: RunFolder,
    nodes: tuple[Node, ...],
    logs: _Logs,
    on_progress: Callable[[NodeProgress], None],
    pause: Callable[[float], object],
) -> None:
    board = NodeBoard(node.name for node in nodes)
    for progress in board.standing:
        on_progress(progress)
    cluster = scheduler.submit_dag(layout.dag, dagman_settings(logs.nodes), logs.dagman)
    try:
        code = _follow(scheduler, cluster, board, logs, on_progress, pause)
    except BaseException:
        # Whoever waits for the result is gone: nobody would look at what the DAG does from here on.
        with suppress(DagSpecError):
            scheduler.remove([JobId(cluster)], "the retrain command was stopped")
        raise
    if code != 0:
        raise explain_failure(layout, board.standing, logs.dagman)


def _follow(
    scheduler: Scheduler,
    cluster: int,
    board: NodeBoard,
    logs: _Logs,
    on_progress: Callable[[NodeProgress], None],
    pause: Callable[[float], object],
) -> int | None:
    """Follow the DAG to its end; return DAGMan's exit code, None when it did not end by itself or told none."""
    node_events, dagman_events = EventLog(logs.nodes), EventLog(logs.dagman)
    asked = time.monotonic()
    while True:
        # DAGMan's log is read first: what the nodes told before its end is then read in the same round.
        ends = [event for event in dagman_events.read().events if event.kind in _DAGMAN_ENDS]
        gone = False
        if not ends and time.monotonic() - asked > _QUEUE_INTERVAL:
            gone = not scheduler.is_queued(cluster)
            asked = time.monotonic()
        for event in node_events.read().events:
            if progress := board.take(event):
                on_progress(progress)
        if any(node.state is NodeState.HELD for node in board.standing):
            # Nothing releases it: the run would wait for ever.
            scheduler.remove([JobId(cluster)], "a node was held")
            return None
        if ends:
            return ends[-1].exit_code
        if gone:
            return 0 if all(node.state is NodeState.DONE for node in board.standing) else None
        pause(_PAUSE)


_DAGMAN_ENDS = {EventKind.TERMINATED, EventKind.ABORTED, EventKind.HELD}


def _sum_up(
    request: RunRequest, nodes: tuple[Node, ...], conclusion: Conclusion, *, planning: float, wall: float
) -> RetrainResult:
    times = read_times(request.layout, tuple(node.name for node in nodes))
    seconds = {one.node: one.seconds for one in times}
    return RetrainResult(
        run_id=request.run_id,
        folder=request.layout.root,
        version=conclusion.version,
        candidate=conclusion.candidate,
        promoted=conclusion.promoted,
        why=conclusion.why,
        metrics=conclusion.candidates,
        rows_in=conclusion.rows_in,
        rejected=conclusion.rejected,
        nodes=times,
        planning_seconds=planning,
        wall_seconds=wall,
        critical_path_seconds=longest_path({node.name: node.parents for node in nodes}, seconds),
    )
