"""One contract for every scheduler: a real pool and the one in memory."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dag_specs.errors import DescriptionError, SchedulerError
from dag_specs.events import EventKind, EventLog, JobEvent, create_log
from dag_specs.jobs import JobId, JobState, Scheduler, count_places
from dag_specs.scheduler import HtcondorScheduler, connect
from dag_specs.scoring_cluster import ChunkCluster, describe_chunks, queue_items
from dag_specs.training_dag import DagNode, TrainingDag, dagman_settings, describe_dag, describe_nodes
from tests.unit.dag_specs.in_memory_scheduler import InMemoryScheduler

if TYPE_CHECKING:
    from local_pool.status import PoolStatus

# Blanks, quotes, another alphabet, what shells and the submit language take for their own.
AWKWARD = "it's a \u00e9 % ; # \\ `id` {x} (1) = @ & folder"
# The program that stands in for Python: it prints what it was given and ends with the code in a file of its folder.
PROGRAM = """\
#!/bin/sh
for word in "$@"; do printf '[%s]' "$word"; done
echo
env | sort
exec 1>&2
cat plan.txt
while [ -e wait ]; do sleep 0.05; done
exit "$(cat code.txt)"
"""


@dataclass(frozen=True)
class Site:
    """A scheduler, and folders with awkward names."""

    scheduler: Scheduler
    folder: Path
    wait: Callable[[Callable[[], bool]], None]

    def cluster(self, batch_id: str, chunks: tuple[int, ...], *, code: int = 0, largest: int = 1000) -> ChunkCluster:
        """Describe a batch whose jobs end with `code`."""
        (self.folder / "code.txt").write_text(str(code))
        (self.folder / "plan.txt").write_text("a word of complaint")
        log = self.folder / f"{batch_id}.log"
        create_log(log)
        return ChunkCluster(
            batch_id=batch_id,
            python=self.folder / "python",
            plan_path=self.folder / "plan 1.json",
            chunks=chunks,
            event_log=log,
            job_log_folder=self.folder,
            memory_mb=512,
            disk_mb=128,
            max_materialize=largest,
            max_idle=2,
        )

    def submit(self, cluster: ChunkCluster) -> int:
        """Submit a batch."""
        return self.scheduler.submit_cluster(describe_chunks(cluster), queue_items(cluster))

    def wait_for_events(self, log: Path, kind: EventKind, count: int) -> list[JobEvent]:
        """Read a log until it told `count` events of a kind."""
        reader = EventLog(log)
        events: list[JobEvent] = []

        def enough() -> bool:
            events.extend(reader.read().events)
            return sum(event.kind is kind for event in events) >= count

        self.wait(enough)
        return events

    def run(self, cluster: ChunkCluster) -> tuple[int, list[JobEvent]]:
        """Submit a batch and wait until all of its jobs ended."""
        number = self.submit(cluster)
        return number, self.wait_for_events(cluster.event_log, EventKind.TERMINATED, len(cluster.chunks))


def _wait(happened: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "the pool did not get there in 60 s"
        meanwhile()


@pytest.fixture(params=["pool", "memory"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a scheduler of each kind, and a folder that jobs can reach."""
    folder = tmp_path_factory.mktemp("scheduler") / AWKWARD
    folder.mkdir()
    program = folder / "python"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    if request.param == "pool":
        pool: PoolStatus = request.getfixturevalue("pool")
        real = connect(str(pool.condor_config))
        yield Site(real, folder, lambda happened: _wait(happened, lambda: time.sleep(0.05)))
    else:
        memory = InMemoryScheduler(lazy=True)
        yield Site(memory, folder, lambda happened: _wait(happened, memory.advance))


def test_each_chunk_is_one_job(site: Site) -> None:
    """A batch becomes one cluster whose jobs, in order, score one chunk each and tell so in events and history."""
    number, events = site.run(site.cluster("batch-1", (4, 7, 1)))
    ends = {event.proc: event.exit_code for event in events if event.kind is EventKind.TERMINATED}
    assert ends == {0: 0, 1: 0, 2: 0}
    assert {event.cluster for event in events} == {number}
    assert [event.proc for event in events if event.kind is EventKind.EXECUTING and event.host]
    site.wait(lambda: not site.scheduler.is_queued(number))
    jobs = site.scheduler.job_states([number])
    assert [(job.id.proc, job.chunk, job.state, job.in_queue) for job in jobs] == [
        (0, 4, JobState.COMPLETED, False),
        (1, 7, JobState.COMPLETED, False),
        (2, 1, JobState.COMPLETED, False),
    ]
    assert {(job.batch_id, job.exit_code, job.starts, job.memory_mb) for job in jobs} == {("batch-1", 0, 1, 512)}


def test_job_gets_its_words_and_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in the operator's paths, a job gets exactly its arguments, and nothing of our environment."""
    monkeypatch.setenv("LOANS_TEST_SECRET", "of the submitter")
    monkeypatch.setenv("PYTHONPATH", "/of/the/submitter")
    site.run(site.cluster("batch-2", (12,)))
    words, *variables = (site.folder / "12.out").read_text().splitlines()
    expected = ["-I", "-m", "scoring.chunk.job", "--plan", str(site.folder / "plan 1.json"), "--chunk", "12"]
    assert words == "".join(f"[{word}]" for word in expected)
    assert {"LANG=C.UTF-8", "OMP_NUM_THREADS=1", "POLARS_MAX_THREADS=1"} <= set(variables)
    assert not [line for line in variables if line.startswith(("LOANS_TEST_SECRET", "PYTHONPATH"))]
    assert (site.folder / "12.err").read_text() == "a word of complaint"


def test_batch_is_found_again(site: Site) -> None:
    """Whoever knows only a batch's id finds its clusters, in the queue and after they left it."""
    before = time.time() - 5
    cluster = site.cluster("batch-3", (1, 2))
    number = site.submit(cluster)
    assert site.scheduler.find_clusters("batch-3", left_since=before) == (number,)
    site.wait_for_events(cluster.event_log, EventKind.TERMINATED, 2)
    site.wait(lambda: not site.scheduler.is_queued(number))
    assert site.scheduler.find_clusters("batch-3", left_since=before) == (number,)
    assert [job.chunk for job in site.scheduler.find_jobs("batch-3", left_since=before)] == [1, 2]
    assert site.scheduler.find_clusters("batch-3", left_since=time.time() + 60) == ()
    assert site.scheduler.find_clusters("batch-unknown") == ()
    assert site.scheduler.job_states([]) == ()


def test_exit_code_is_told(site: Site) -> None:
    """A job that ends with another exit code than 0 leaves the queue all the same, and both tellers tell the code."""
    number, events = site.run(site.cluster("batch-4", (1,), code=3))
    assert [event.exit_code for event in events if event.kind is EventKind.TERMINATED] == [3]
    site.wait(lambda: not site.scheduler.is_queued(number))
    assert [job.exit_code for job in site.scheduler.job_states([number])] == [3]


def test_cluster_larger_than_the_queue_may_hold(site: Site) -> None:
    """Chunks beyond the limit become jobs as others end, and all of them run once."""
    number, events = site.run(site.cluster("batch-5", tuple(range(1, 13)), largest=3))
    ended = sorted(event.proc for event in events if event.kind is EventKind.TERMINATED)
    assert ended == list(range(12))
    site.wait(lambda: not site.scheduler.is_queued(number))
    assert [job.chunk for job in site.scheduler.find_jobs("batch-5")] == list(range(1, 13))


def test_hold_release_and_remove(site: Site) -> None:
    """Held jobs wait with our reason, released ones run, removed ones leave, and each is told in the event log."""
    held = site.cluster("batch-6", (1, 2))
    (site.folder / "wait").touch()
    number = site.submit(held)
    both = JobId(number)
    assert site.scheduler.hold([both], "wait a while") == 2
    jobs = site.scheduler.job_states([number])
    assert {(job.state, job.in_queue, job.hold_code) for job in jobs} == {(JobState.HELD, True, 1)}
    assert all("wait a while" in job.reason for job in jobs)
    (site.folder / "wait").unlink()
    assert site.scheduler.remove([JobId(number, 0)], "not needed") == 1
    assert site.scheduler.release([both], "go on") == 1
    events = site.wait_for_events(held.event_log, EventKind.TERMINATED, 1)
    kinds = {(event.proc, event.kind) for event in events}
    assert {(0, EventKind.ABORTED), (1, EventKind.RELEASED), (1, EventKind.TERMINATED)} <= kinds
    # A hold that meets a job as it starts is told by the queue alone: no HELD event is waited for.
    assert {event.hold_code for event in events if event.kind is EventKind.HELD} <= {1}
    assert any("not needed" in event.reason for event in events if event.kind is EventKind.ABORTED)
    assert site.scheduler.remove([both], "again") == 0
    assert site.scheduler.hold([], "nobody") == 0


def test_memory_of_a_held_job_is_raised(site: Site) -> None:
    """A held job is given another memory request, alone, and runs with it once it is released."""
    held = site.cluster("batch-9", (1, 2))
    (site.folder / "wait").touch()
    number = site.submit(held)
    assert site.scheduler.hold([JobId(number)], "wait") == 2
    assert site.scheduler.edit_memory([JobId(number, 1)], 1024) == 1
    assert [job.memory_mb for job in site.scheduler.job_states([number])] == [512, 1024]
    assert site.scheduler.edit_memory([JobId(number)], 1024) == 2
    assert site.scheduler.edit_memory([], 1024) == 0
    with pytest.raises(DescriptionError):
        site.scheduler.edit_memory([JobId(number)], 0)
    (site.folder / "wait").unlink()
    assert site.scheduler.release([JobId(number)], "go on") == 2
    site.wait_for_events(held.event_log, EventKind.TERMINATED, 2)
    site.wait(lambda: not site.scheduler.is_queued(number))
    assert {(job.memory_mb, job.exit_code) for job in site.scheduler.job_states([number])} == {(1024, 0)}
    assert site.scheduler.edit_memory([JobId(number)], 2048) == 0


def test_jobs_keep_away_from_machines(site: Site) -> None:
    """A machine that is avoided is one that jobs run on otherwise; avoiding another one keeps nothing from running."""
    elsewhere = dataclasses.replace(site.cluster("batch-10", (1,)), avoid_hosts=("nowhere.example.org",))
    number, events = site.run(elsewhere)
    assert [event.exit_code for event in events if event.kind is EventKind.TERMINATED] == [0]
    hosts = tuple({slot.host for slot in site.scheduler.slots()})
    nowhere = dataclasses.replace(site.cluster("batch-11", (1,)), avoid_hosts=hosts)
    number = site.submit(nowhere)
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline and isinstance(site.scheduler, HtcondorScheduler):
        assert {job.starts for job in site.scheduler.job_states([number])} == {0}
        time.sleep(0.5)
    assert site.scheduler.remove([JobId(number)], "enough") == 1


@pytest.mark.parametrize("value", ["", "1\nexecutable = /bin/false", "$(Process)", "1 2", '"', "1,2", "1\x1f2"])
def test_queue_items_cannot_break_out(site: Site, value: str) -> None:
    """An item that is more than a word is refused before anything is sent."""
    description = describe_chunks(site.cluster("batch-7", (1,)))
    with pytest.raises(DescriptionError):
        site.scheduler.submit_cluster(description, [{"chunk": value}])
    assert site.scheduler.find_clusters("batch-7") == ()


def test_cluster_without_jobs_is_refused(site: Site) -> None:
    """A cluster has at least one job."""
    with pytest.raises(DescriptionError):
        site.scheduler.submit_cluster(describe_chunks(site.cluster("batch-8", (1,))), [])


def test_slots_are_known(site: Site) -> None:
    """The pool tells its slots, so that a job that fits none is known before it is submitted."""
    slots = site.scheduler.slots()
    assert slots
    assert all(slot.cpus >= 1 and slot.memory_mb > 0 and slot.disk_mb > 0 and slot.host for slot in slots)
    assert count_places(slots, cpus=1, memory_mb=512, disk_mb=1) == 2
    assert count_places(slots, cpus=1, memory_mb=10_000_000, disk_mb=1) == 0


def _dag(site: Site, *, code: int = 0) -> TrainingDag:
    (site.folder / "code.txt").write_text(str(code))
    (site.folder / "plan.txt").write_text("a word of complaint")

    def node(name: str, *parents: str) -> DagNode:
        return DagNode(
            name=name,
            arguments=(f"{site.folder}/{name}", "", "it's \\ here", "back\\slash"),
            parents=parents,
            category="work",
            cpus=1,
            memory_mb=512,
            disk_mb=128,
            output=site.folder / f"{name}.out",
            error=site.folder / f"{name}.err",
        )

    return TrainingDag(
        run_id="run-1",
        python=site.folder / "python",
        folder=site.folder,
        # A backslash in the submit file's own name is refused, so it lies beside the awkward folder.
        submit_file=site.folder.parent / "node's own.sub",
        nodes=(
            node("first"),
            node("second", "first"),
            dataclasses.replace(node("third", "first"), priority=7),
            node("last", "second", "third"),
        ),
        category_limits=(("work", 1),),
    )


def _run_dag(site: Site, dag: TrainingDag) -> tuple[int, list[JobEvent], list[JobEvent]]:
    dag_file = site.folder.parent / "run's own.dag"
    dag_file.write_text(describe_dag(dag))
    dag.submit_file.write_text(describe_nodes(dag))
    nodes_log, dagman_log = site.folder.parent / "nodes of it.log", site.folder.parent / "dagman of it.log"
    create_log(nodes_log)
    create_log(dagman_log)
    number = site.scheduler.submit_dag(dag_file, dagman_settings(nodes_log), dagman_log, dag.run_id)
    assert site.scheduler.is_queued(number)
    assert site.scheduler.find_dag(dag.run_id) == number
    assert site.scheduler.find_dag("run-2") is None
    ends = site.wait_for_events(dagman_log, EventKind.TERMINATED, 1)
    site.wait(lambda: not site.scheduler.is_queued(number))
    assert site.scheduler.find_dag(dag.run_id) is None
    return number, list(EventLog(nodes_log).read().events), ends


def test_dag_runs_in_order(site: Site) -> None:
    """DAGMan runs parents before children, throttled by category, with each node's own arguments and files."""
    _, events, ends = _run_dag(site, _dag(site))
    assert ends[-1].exit_code == 0
    names = {event.cluster: event.node for event in events if event.kind is EventKind.SUBMITTED}
    order = [names[event.cluster] for event in events if event.kind is EventKind.TERMINATED]
    # Of two that could begin, the one with the higher priority.
    assert order == ["first", "third", "second", "last"]
    words = (site.folder / "third.out").read_text().splitlines()[0]
    assert words == f"[{site.folder}/third][][it's \\ here][back\\slash]"
    # Never more than one of them at a time.
    begun = [event.kind for event in events if event.kind in {EventKind.EXECUTING, EventKind.TERMINATED}]
    assert begun == [EventKind.EXECUTING, EventKind.TERMINATED] * 4


def test_failed_node_is_tried_again_and_ends_the_dag(site: Site) -> None:
    """A node that fails is run once more; then DAGMan ends with an exit code, and nothing after the node ran."""
    _, events, ends = _run_dag(site, _dag(site, code=4))
    assert ends[-1].exit_code != 0
    assert [event.exit_code for event in events if event.kind is EventKind.TERMINATED] == [4, 4]
    assert {event.node for event in events if event.kind is EventKind.SUBMITTED} == {"first"}


def test_node_that_would_fail_again_is_not_tried_again(site: Site) -> None:
    """A node that ends with the exit code that says so runs once."""
    _, events, ends = _run_dag(site, dataclasses.replace(_dag(site, code=4), futile_exit=4))
    assert ends[-1].exit_code != 0
    assert [event.exit_code for event in events if event.kind is EventKind.TERMINATED] == [4]


def test_nodes_that_are_done_are_not_run(site: Site) -> None:
    """A node that the DAG file marks as done is not submitted, and those that wait for it run."""
    dag = _dag(site)
    done = {"first", "third"}
    nodes = tuple(dataclasses.replace(node, done=node.name in done) for node in dag.nodes)
    _, events, ends = _run_dag(site, dataclasses.replace(dag, nodes=nodes))
    assert ends[-1].exit_code == 0
    assert [event.node for event in events if event.kind is EventKind.SUBMITTED] == ["second", "last"]


def test_missing_configuration_is_told(tmp_path: Path) -> None:
    """A configuration file that is not there is named, with the way out."""
    with pytest.raises(SchedulerError, match="does not exist") as caught:
        connect(str(tmp_path / "condor_config"))
    assert "loans pool up" in caught.value.way_out


_CONNECT = """
import sys
from dag_specs.errors import SchedulerError
from dag_specs.scheduler import connect
try:
    connect(sys.argv[1])
except SchedulerError as error:
    print(error.what)
"""


def test_pool_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """A configuration whose pool is down ends in a sentence, not in a traceback of the bindings."""
    import subprocess

    config = tmp_path / "condor_config"
    config.write_text("COLLECTOR_HOST = 127.0.0.1:9\nLOCAL_CONFIG_FILE =\nUSE_SHARED_PORT = TRUE\n")
    done = subprocess.run(
        [sys.executable, "-c", _CONNECT, str(config)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.startswith("No HTCondor scheduler was found"), done
