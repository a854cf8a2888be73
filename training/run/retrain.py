"""A retrain from order to result: plan it, have DAGMan run it, follow its events, sum up; or go on with one.

A run that was started goes on by itself, whatever becomes of the process that started it; `resume` finds it again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dag_specs.errors import DagSpecError
from dag_specs.jobs import JobId, Scheduler
from scoring.errors import LoansError, StorageError
from training.records.auc_gap import CODE, AucGap, describe_gaps, find_gap
from training.records.findings import Comparison, Conclusion, Evaluation, Fitted, Metrics, SplitFigures, Validation
from training.records.outcome import is_finished, read_details
from training.records.request import RunRequest, read_request
from training.records.run_folder import PROMOTE, SPLIT, RunFolder, evaluate_node, train_node
from training.run.attempts import Attempt, begin_attempt, find_attempt, follow_attempt, only_one
from training.run.nodes import Node, plan_nodes
from training.run.progress import NodeBoard, NodeProgress
from training.run.retrain_outcome import NodeTime, longest_path, read_conclusion, read_times
from training.run.run_plan import RetrainOrder, check_places, plan_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that was started or resumed."""

    request: RunRequest
    """What was asked for."""
    nodes: tuple[Node, ...]
    """Its nodes, parents before children."""
    finished: frozenset[str]
    """Those that were done before it was resumed."""
    attempt: Attempt | None
    """What is in the queue; None: the run had come to its end before."""
    resumed: bool
    """Whether another command began it."""
    planning_seconds: float
    """Wall time before the DAG was submitted (seconds)."""
    begun: float
    """When this command began with it (monotonic, seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """How a candidate did."""

    parameters: Mapping[str, str]
    """Those that its folds chose, as text."""
    members: Mapping[str, float]
    """Of a blend: its candidates and their weights."""
    validation: Validation
    """What it showed out of fold, where all choices were made."""
    metrics: Metrics
    """What it showed on the held-out loans."""
    rows_per_second: float
    """CSV to CSV on one core (rows a second)."""
    gap: AucGap | None
    """How far its AUC out of fold and on the held-out loans are apart; None in a run that an older version began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something that a person should look at before relying on the version."""

    code: str
    """Names the kind of warning for programs."""
    candidates: tuple[str, ...]
    """The candidates that it concerns."""
    message: str
    """What was found, and what it may mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult:
    """How a retrain ended."""

    run_id: str
    """The run's name."""
    folder: Path
    """The run's folder."""
    resumed: bool
    """Whether another command began the run."""
    version: str
    """The version that was published."""
    candidate: str
    """The candidate that won."""
    promoted: bool
    """Whether the version is in production now."""
    why: str
    """Why, or why not."""
    comparison: Comparison | None
    """With the champion; None when there was none, or it cannot be compared."""
    candidates: Mapping[str, CandidateResult]
    """How each candidate did, in the order asked for."""
    split: SplitFigures
    """How the history was divided."""
    rows_in: int
    """Rows of the history."""
    rejected: Mapping[str, int]
    """Rows of the history that broke the contract, by rule."""
    nodes: tuple[NodeTime, ...]
    """When and where each node ran, parents before children."""
    planning_seconds: float
    """Wall time before the DAG was submitted (seconds)."""
    wall_seconds: float
    """Wall time of this command (seconds); of a run that was resumed, only since then."""
    critical_path_seconds: float
    """Run time of the longest chain of nodes that wait for each other (seconds)."""

    @property
    def metrics(self) -> Mapping[str, Metrics]:
        """Figures of each candidate on the held-out loans, in the order asked for."""
        return {name: candidate.metrics for name, candidate in self.candidates.items()}

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """What a person should look at before relying on the version."""
        gaps = {name: one.gap for name, one in self.candidates.items() if one.gap and one.gap.is_significant}
        return (Warned(code=CODE, candidates=tuple(gaps), message=describe_gaps(gaps)),) if gaps else ()

    @property
    def overhead_seconds(self) -> float:
        """Wall time between submission and end that no node of the longest chain ran: waiting for slots included."""
        return self.wall_seconds - self.planning_seconds - self.critical_path_seconds


def retrain(
    order: RetrainOrder,
    scheduler: Scheduler,
    on_progress: Callable[[NodeProgress], None] = lambda _: None,
    pause: Callable[[float], object] = time.sleep,
) -> RetrainResult:
    """Run the training DAG on the pool and return what came of it: `start`, then `finish`."""
    return finish(start(order, scheduler), scheduler, on_progress, pause)


def start(order: RetrainOrder, scheduler: Scheduler) -> Run:
    """Plan a run and submit it. Raises LoansError when the order cannot be carried out or HTCondor refuses."""
    begun = time.monotonic()
    with _in_words():
        slots = scheduler.slots()
        request = plan_run(order, slots)
        nodes = plan_nodes(request)
        check_places(nodes, slots)
        with only_one(order.local_logs, request.run_id):
            attempt = begin_attempt(request, nodes, (), scheduler, python=order.python, local_logs=order.local_logs)
    return Run(
        request=request,
        nodes=nodes,
        finished=frozenset(),
        attempt=attempt,
        resumed=False,
        planning_seconds=time.monotonic() - begun,
        begun=begun,
    )


def resume(training: Path, run_id: str | None, scheduler: Scheduler, *, python: Path, local_logs: Path) -> Run:
    """Go on with a run of the folder `training`: the one named, else the latest.

    One that is in the queue still is followed; else a DAG without the nodes that are finished is submitted. Raises
    LoansError when there is no such run, its request does not read, or HTCondor refuses.
    """
    begun = time.monotonic()
    request = find_run(training, run_id)
    nodes = plan_nodes(request)
    with _in_words(), only_one(local_logs, request.run_id):
        # The queue first: a run that ends in between is then found concluded.
        attempt = find_attempt(request, scheduler, local_logs)
        finished = find_finished(request.layout, nodes)
        if attempt is None and not is_concluded(request.layout):
            check_places(tuple(node for node in nodes if node.name not in finished), scheduler.slots())
            attempt = begin_attempt(request, nodes, finished, scheduler, python=python, local_logs=local_logs)
    return Run(
        request=request,
        nodes=nodes,
        finished=finished,
        attempt=attempt,
        resumed=True,
        planning_seconds=time.monotonic() - begun,
        begun=begun,
    )


def finish(
    run: Run,
    scheduler: Scheduler,
    on_progress: Callable[[NodeProgress], None] = lambda _: None,
    pause: Callable[[float], object] = time.sleep,
) -> RetrainResult:
    """Follow a run to its end and return what came of it.

    `on_progress` is called in this thread: once for each node as it stands, then at each change; `pause` (seconds)
    between two looks at the events. Whatever raises in here (Ctrl-C and `on_progress` included) leaves the run in the
    queue: `stop` takes it out, `resume` comes back to it. Raises LoansError when a node fails - with the node's own
    last words and the path of its log - or the run was removed.
    """
    layout = run.request.layout
    if run.attempt is not None:
        board = NodeBoard((node.name for node in run.nodes), run.finished)
        with _in_words():
            follow_attempt(run.attempt, layout, board, scheduler, on_progress, pause)
    return _sum_up(run, read_conclusion(layout), wall=time.monotonic() - run.begun)


def stop(run: Run, scheduler: Scheduler) -> None:
    """Take a run's DAG and its nodes out of the queue; it can be resumed. Raises LoansError when HTCondor refuses."""
    if run.attempt is not None:
        with _in_words():
            scheduler.remove([JobId(run.attempt.cluster)], "the retrain command was stopped")


@contextmanager
def _in_words() -> Iterator[None]:
    """Tell what HTCondor refused as an error of ours."""
    try:
        yield
    except DagSpecError as error:
        raise LoansError(error.what, error.way_out) from error


def _sum_up(run: Run, conclusion: Conclusion, *, wall: float) -> RetrainResult:
    layout = run.request.layout
    # Waits until the outcomes are to be seen here.
    times = read_times(layout, tuple(node.name for node in run.nodes))
    seconds = {one.node: one.seconds for one in times}
    return RetrainResult(
        run_id=run.request.run_id,
        folder=layout.root,
        resumed=run.resumed,
        version=conclusion.version,
        candidate=conclusion.candidate,
        promoted=conclusion.promoted,
        why=conclusion.why,
        comparison=conclusion.comparison,
        candidates={name: _candidate(run.request, name) for name in run.request.candidates},
        split=read_details(layout.outcome(SPLIT), SplitFigures),
        rows_in=conclusion.rows_in,
        rejected=conclusion.rejected,
        nodes=times,
        planning_seconds=run.planning_seconds,
        wall_seconds=wall,
        critical_path_seconds=longest_path({node.name: node.parents for node in run.nodes}, seconds),
    )


def _candidate(request: RunRequest, name: str) -> CandidateResult:
    fitted = read_details(request.layout.outcome(train_node(name)), Fitted)
    evaluation = read_details(request.layout.outcome(evaluate_node(name)), Evaluation)
    return CandidateResult(
        parameters=fitted.parameters,
        members=fitted.members,
        validation=fitted.validation,
        metrics=evaluation.metrics,
        rows_per_second=evaluation.rows_per_second,
        gap=find_gap(fitted.validation, evaluation),
    )


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
