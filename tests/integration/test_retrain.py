"""A retrain on a real pool, and what it says when something goes wrong on one."""

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dag_specs.jobs import JobState, Slot
from dag_specs.scheduler import connect
from local_pool.status import PoolStatus
from scoring.errors import LoansError
from scoring.models.model import open_model
from scoring.models.production import read_promotion
from tests.integration.trained import TrainedSite, order_retrain
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here
from tests.unit.dag_specs.in_memory_scheduler import Command, InMemoryScheduler, run_for_real
from training.history.generate import generate_loans
from training.run.progress import NodeProgress, NodeState
from training.run.retrain import RetrainResult, finish, resume, retrain, start, stop

NODES = (
    "preprocess-1",
    "preprocess-2",
    "split",
    "fit-logistic-1-1",
    "fit-logistic-1-2",
    "fit-logistic-1-3",
    "train-logistic",
    "evaluate-logistic",
    "fit-tree-1-1",
    "fit-tree-1-2",
    "fit-tree-1-3",
    "train-tree",
    "evaluate-tree",
    "promote",
)


def test_retrain_reaches_the_figures(trained: TrainedSite) -> None:
    """On the held-out fifth of the real loans both candidates reach what they must, and the better one is promoted."""
    result = trained.result
    for name, metrics in result.metrics.items():
        print(f"{name}: AUC {metrics.auc:.4f}, accuracy {metrics.accuracy:.4f}, F1 {metrics.f1:.4f}")
    assert result.metrics["logistic"].accuracy >= 0.908
    assert result.metrics["logistic"].auc >= 0.90
    assert result.metrics["tree"].auc >= 0.915
    assert result.candidate == max(result.metrics, key=lambda name: result.metrics[name].auc)
    assert result.promoted
    promotion = read_promotion(trained.models)
    assert promotion is not None
    assert promotion.pin.version == result.version
    assert result.rows_in == 46_916


def test_retrain_tells_where_its_time_went(trained: TrainedSite) -> None:
    """Every node is told with host and seconds, and the longest chain of them is part of the wall time."""
    result = trained.result
    for node in result.nodes:
        print(f"{node.node:20} {node.seconds:6.2f} s on {node.host}")
    print(
        f"wall {result.wall_seconds:.1f} s = planning {result.planning_seconds:.1f} s + longest chain of nodes "
        f"{result.critical_path_seconds:.1f} s + DAGMan and HTCondor {result.overhead_seconds:.1f} s"
    )
    assert tuple(node.node for node in result.nodes) == NODES
    assert all(node.seconds > 0 and node.host for node in result.nodes)
    assert 0 < result.critical_path_seconds <= result.wall_seconds


def test_progress_is_told_node_by_node(trained: TrainedSite) -> None:
    """Every node is told of as it waits, is queued, runs on some host, and is done, in this order."""
    for name in NODES:
        states = [told.state for told in trained.progress if told.node == name and told.auc is None]
        assert states == [NodeState.WAITING, NodeState.QUEUED, NodeState.RUNNING, NodeState.DONE]
        measured = [told.auc for told in trained.progress if told.node == name and told.auc is not None]
        assert len(measured) == (name.startswith(("fit", "train", "evaluate")))
        assert [told.host for told in trained.progress if told.node == name][-1]


def test_published_version_opens(trained: TrainedSite) -> None:
    """What was published passes its own seals and predicts probabilities."""
    model = open_model(trained.models, trained.result.version)
    pd = model.graph.predict(np.zeros((3, len(model.manifest.contract.features)), np.float32))
    assert pd.shape == (3,)
    assert ((pd >= 0) & (pd <= 1)).all()


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a small file of generated loans."""
    path = tmp_path_factory.mktemp("history") / "loans of ours.csv"
    with path.open("wb") as sink:
        generate_loans(3_000, 5, labelled=True, sink=sink)
    return path


@pytest.fixture
def broken_python(tmp_path: Path) -> Path:
    """Give an interpreter that fails as soon as a node splits."""
    path = tmp_path / "python"
    path.write_text(
        "#!/bin/sh\n"
        'case "$3" in training.nodes.split) echo "first word" >&2; echo "the disk is upside down" >&2; exit 7;; esac\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    path.chmod(0o755)
    return path


def test_failed_node_is_explained(pool: PoolStatus, tmp_path: Path, history: Path, broken_python: Path) -> None:
    """A node that fails, also when it is tried again, ends the retrain with its last words and its log's path."""
    order = order_retrain(tmp_path / "site", history, broken_python)
    told: list[NodeProgress] = []
    with pytest.raises(LoansError, match=r"Node split .* failed: the disk is upside down") as caught:
        retrain(order, connect(str(pool.condor_config)), told.append)
    assert "first word" in caught.value.way_out
    assert "split.err" in caught.value.way_out
    assert [one.attempt for one in told if one.state is NodeState.FAILED] == [1, 2]


def test_interrupted_retrain_goes_on_until_it_is_stopped(pool: PoolStatus, tmp_path: Path, history: Path) -> None:
    """Ctrl-C leaves the DAG in the queue; `stop` takes it and its nodes out."""

    def interrupt(progress: NodeProgress) -> None:
        if progress.state is NodeState.RUNNING:
            raise KeyboardInterrupt

    scheduler = connect(str(pool.condor_config))
    run = start(order_retrain(tmp_path / "site", history), scheduler)
    with pytest.raises(KeyboardInterrupt):
        finish(run, scheduler, interrupt)
    assert run.attempt is not None
    assert scheduler.find_dag(run.request.run_id) == run.attempt.cluster
    stop(run, scheduler)
    deadline = time.monotonic() + 20
    while any(scheduler.is_queued(run.attempt.cluster + further) for further in range(3)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


# The rest needs no pool: a scheduler in memory runs the same nodes, and troubles are made at will.


def _retrain(root: Path, history: Path, scheduler: InMemoryScheduler) -> RetrainResult:
    return retrain(order_retrain(root, history), scheduler, pause=lambda _: scheduler.advance())


def test_retrain_without_a_pool(tmp_path: Path, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same driver runs the same nodes on any scheduler; one that is away while it is started again ends nothing."""
    monkeypatch.setattr("training.run.attempts._QUEUE_INTERVAL", 0.0)
    scheduler = InMemoryScheduler()
    away = iter([True] * 3)

    def pause(_: float) -> None:
        scheduler.down = next(away, False)
        if not scheduler.down:
            scheduler.advance()

    result = retrain(order_retrain(tmp_path / "site", history), scheduler, pause=pause)
    assert set(result.metrics) == {"logistic", "tree"}
    assert open_model(tmp_path / "site" / "models", result.version)
    assert next(away, None) is None


def test_failed_run_is_resumed_once_the_cause_is_mended(tmp_path: Path, history: Path, broken_python: Path) -> None:
    """A run whose node failed for good goes on from there: what is finished is not submitted again."""
    scheduler = InMemoryScheduler()
    order = order_retrain(tmp_path / "site", history, broken_python)
    with pytest.raises(LoansError, match="split") as caught:
        retrain(order, scheduler, pause=lambda _: scheduler.advance())
    (folder,) = order.training.iterdir()
    assert f"loans retrain --resume {folder.name}" in caught.value.way_out
    run = resume(order.training, None, scheduler, python=Path(sys.executable), local_logs=order.local_logs)
    assert run.finished == {"preprocess-1", "preprocess-2"}
    result = finish(run, scheduler, pause=lambda _: scheduler.advance())
    assert result.resumed
    again = resume(order.training, result.run_id, scheduler, python=Path(sys.executable), local_logs=order.local_logs)
    assert again.attempt is None
    assert finish(again, scheduler).version == result.version


def test_data_that_fail_are_not_tried_again(tmp_path: Path, history: Path) -> None:
    """What a second attempt cannot mend - too few defaults - is tried once."""
    small = tmp_path / "small.csv"
    small.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:60]))
    told: list[NodeProgress] = []
    scheduler = InMemoryScheduler()
    with pytest.raises(LoansError, match="at least 20 are needed"):
        retrain(order_retrain(tmp_path / "site", small), scheduler, told.append, lambda _: scheduler.advance())
    assert [one.node for one in told if one.state is NodeState.FAILED] == ["split"]


def test_a_pool_that_is_away_for_long_is_told(tmp_path: Path, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that does not answer for long is told of; the run is left as it is."""
    monkeypatch.setattr("training.run.attempts._QUEUE_INTERVAL", 0.0)
    monkeypatch.setattr("training.run.attempts.SILENCE", 0.0)
    scheduler = InMemoryScheduler()
    run = start(order_retrain(tmp_path / "site", history), scheduler)
    scheduler.down = True
    with pytest.raises(LoansError, match="The scheduler is down"):
        finish(run, scheduler, pause=lambda _: None)
    scheduler.down = False
    assert scheduler.find_dag(run.request.run_id) is not None


def test_killed_node_is_explained(tmp_path: Path, history: Path) -> None:
    """A node that a signal ended left no word: the signal is told."""
    with pytest.raises(LoansError, match="Node preprocess-1 of the training run failed: signal 9 ended it"):
        _retrain(tmp_path, history, InMemoryScheduler(lambda _: -9))


def test_held_node_ends_the_run(tmp_path: Path, history: Path) -> None:
    """A node that HTCondor holds would wait for ever: the run is removed and the reason told."""
    scheduler = InMemoryScheduler()

    def hold(command: Command) -> int:
        if "training.nodes.split" in command.words:
            running = next(job.id for job in scheduler.all_jobs() if job.state is JobState.RUNNING)
            scheduler.hold_by_system(running, 34, 0, "Error from slot1: memory usage exceeded request_memory")
        return run_for_real(command)

    scheduler.run = hold
    with pytest.raises(LoansError, match=r"node split .*memory usage exceeded"):
        _retrain(tmp_path, history, scheduler)
    assert not any(job.in_queue for job in scheduler.all_jobs())


def test_node_that_fits_no_slot_is_refused(tmp_path: Path, history: Path) -> None:
    """A pool whose slots are all too small is told before anything is submitted, with both sizes."""
    small = Slot(
        name="slot1@small",
        host="small",
        cpus=1,
        memory_mb=256,
        disk_mb=4096,
        free_cpus=1,
        free_memory_mb=256,
        partitionable=False,
    )
    with pytest.raises(LoansError, match=r"No slot of the pool can run node preprocess-1.*its roomiest 256 MB"):
        _retrain(tmp_path, history, InMemoryScheduler(slots=(small,)))
    assert not list((tmp_path / "training").iterdir())


def test_dag_that_vanishes_is_explained(tmp_path: Path, history: Path) -> None:
    """When somebody removes the DAG the retrain says so instead of waiting for ever."""
    scheduler = InMemoryScheduler()

    def remove(command: Command) -> int:
        if "training.nodes.split" in command.words:
            scheduler.remove([job.id for job in scheduler.all_jobs()], "an operator's wish")
        return run_for_real(command)

    scheduler.run = remove
    with pytest.raises(LoansError, match="removed from the queue: an operator's wish"):
        _retrain(tmp_path, history, scheduler)


def test_pool_that_is_down_is_told(tmp_path: Path, history: Path) -> None:
    """A scheduler that cannot be reached is an error for people."""
    scheduler = InMemoryScheduler()
    scheduler.down = True
    with pytest.raises(LoansError, match="The scheduler is down"):
        _retrain(tmp_path, history, scheduler)


@pytest.mark.parametrize("name", ["a $(HOME) folder", 'a "quoted" folder', "a line\nend"])
def test_folder_that_htcondor_cannot_be_told(tmp_path: Path, history: Path, name: str) -> None:
    """A root whose name would break out of a description is refused before anything is written into it."""
    with pytest.raises(LoansError, match="cannot be told to HTCondor"):
        _retrain(tmp_path / name, history, InMemoryScheduler())
    assert not list((tmp_path / name / "training").iterdir())


def test_no_history_is_told(tmp_path: Path, history: Path) -> None:
    """Without any loans there is nothing to learn from."""
    order = dataclasses.replace(order_retrain(tmp_path, history), history=())
    with pytest.raises(LoansError, match="no history to learn from"):
        retrain(order, InMemoryScheduler())
