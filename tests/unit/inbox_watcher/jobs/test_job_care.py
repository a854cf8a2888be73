"""What the daemon does for jobs that are held, wait, or failed on a machine: those of one file, and those of many."""

import errno
import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest

from dag_specs.jobs import Job, JobState
from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from tests.unit.dag_specs.in_memory_scheduler import SLOT
from tests.unit.inbox_watcher.batch_steps import NAME, Drop, OpenBatch
from tests.unit.inbox_watcher.conftest import with_scoring
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess

OTHER = replace(SLOT, name="slot1@other", host="other.example.org")
OOM = "Job has gone over cgroup memory limit of 512 megabytes. Last measured usage: 540 megabytes."


@dataclass
class Run:
    """A daemon whose clock the test winds."""

    steps: Steps
    pool: PoolInProcess
    batch: Batch
    moment: list[float]

    def step(self, seconds: float = 0.0) -> Batch:
        """Let time pass and take one step."""
        self.moment[0] += seconds
        self.batch = self.steps.take(self.batch)
        return self.batch

    def until(self, happened: Callable[[], bool], seconds: float = 1.0) -> None:
        """Take steps until something happened."""
        for _ in range(500):
            if happened():
                return
            self.step(seconds)
        raise AssertionError(self.batch)

    def jobs(self) -> list[Job]:
        """Give the jobs of the present attempt."""
        return [job for job in self.pool.all_jobs() if job.id.cluster == self.batch.clusters[-1]]

    def job(self) -> Job:
        """Give the first of them."""
        return self.jobs()[0]


@pytest.fixture(params=[120, 5], ids=["chunks of a file", "small files that share a job"])
def start(
    request: pytest.FixtureRequest, site: Site, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> Callable[..., Run]:
    """Give a function that drops a file, of several chunks or so small that it shares a job, and has it submitted."""

    def start(pool: PoolInProcess | None = None, **scoring: object) -> Run:
        pool = pool or PoolInProcess(lazy=True)
        drop(NAME, rows=request.param)
        moment = [0.0]
        steps = Steps(with_scoring(site, **scoring), journal, lambda: nullcontext(pool), lambda: moment[0])
        run = Run(steps, pool, open_batch(), moment)
        run.until(lambda: run.batch.state is State.RUNNING or run.batch.state in FINAL)
        return run

    return start


def test_memory_is_raised_up_to_the_limit(start: Callable[..., Run]) -> None:
    """A job that ran out of memory gets twice as much each time, up to the largest slot; then its chunk has failed."""
    run = start(attempts=1)
    for wanted in (1024, 2048, 4096):
        run.pool.hold_by_system(run.job().id, 34, 102, OOM)
        run.until(lambda: run.job().state is JobState.IDLE)
        assert run.job().memory_mb == wanted
        assert {job.memory_mb for job in run.jobs() if job.id != run.job().id} <= {512}
    assert run.moment[0] < 60
    run.pool.hold_by_system(run.job().id, 34, 102, OOM)
    run.until(lambda: run.job().state is JobState.REMOVED)
    run.pool.run_all()
    run.until(lambda: run.batch.state is State.FAILED)
    assert "no more may be asked for" in run.batch.reason


def test_the_site_limits_memory(start: Callable[..., Run]) -> None:
    """The site's own limit counts where it is smaller than the largest slot."""
    run = start(memory_limit_mb=700)
    run.pool.hold_by_system(run.job().id, 34, 102, OOM)
    run.until(lambda: run.job().state is JobState.IDLE)
    assert run.job().memory_mb == 700


def test_pauses_grow(start: Callable[..., Run]) -> None:
    """Trouble with storage is waited out for longer each time."""
    run = start()
    waits = []
    for _ in range(3):
        run.pool.hold_by_system(run.job().id, 13, 2, "missing")
        begun = run.moment[0]
        run.until(lambda: run.job().state is JobState.IDLE)
        waits.append(run.moment[0] - begun)
    assert waits == pytest.approx([10, 60, 300], abs=7)


def test_a_daemon_that_starts_again_counts_on(start: Callable[..., Run], site: Site, journal: Journal) -> None:
    """How often a job was released is told by the event log: another daemon does not begin anew."""
    run = start(attempts=1)
    for _ in range(3):
        run.pool.hold_by_system(run.job().id, 13, 2, "missing")
        run.until(lambda: run.job().state is JobState.IDLE, 20)
        run.steps = Steps(with_scoring(site, attempts=1), journal, lambda: nullcontext(run.pool), lambda: run.moment[0])
    run.pool.hold_by_system(run.job().id, 13, 2, "missing")
    run.until(lambda: run.job().state is JobState.REMOVED)


def test_what_a_person_holds_is_left_alone(start: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    """A job that somebody holds stays held, told once; when it is released the batch goes on."""
    run = start()
    assert run.pool.hold([run.job().id], "lunch") == 1
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            run.step(60)
    assert run.job().state is JobState.HELD
    assert caplog.text.count("held by a person") == 1
    run.pool.release([run.job().id], "back")
    run.pool.run_all()
    run.until(lambda: run.batch.state is State.DONE)


def test_a_machine_where_chunks_failed_is_avoided(start: Callable[..., Run]) -> None:
    """The retry of a chunk keeps away from the machine that it failed on, unless that leaves no machine."""
    pool = PoolInProcess()
    pool.failures[0] = 1
    pool._slots = (SLOT, OTHER)
    run = start(pool)
    run.until(lambda: run.batch.state is State.DONE)
    first, second = pool.descriptions
    assert "requirements" not in first
    assert f'requirements = (TARGET.Machine =!= "{SLOT.host}")' in second


def test_where_every_machine_failed_none_is_avoided(start: Callable[..., Run]) -> None:
    """A pool of one machine tries again on that machine."""
    pool = PoolInProcess()
    pool.failures[0] = 2
    run = start(pool)
    run.until(lambda: run.batch.state is State.DONE)
    assert len(pool.descriptions) == 3
    assert not any("requirements" in text for text in pool.descriptions)


def test_a_request_that_fits_no_slot_is_shrunk_or_refused(
    start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    """A generous memory default is shrunk to the largest slot with a warning; a file for no slot is refused at once."""
    with caplog.at_level(logging.WARNING):
        run = start(memory_mb=9000)
    assert run.job().memory_mb == 4096
    assert "4 GB instead of" in caplog.text


def test_a_request_for_no_slot_fails_the_file(start: Callable[..., Run]) -> None:
    """Jobs that no slot could ever run are not left to wait for ever: the file is refused with the reason."""
    run = start(cpus=3)
    run.until(lambda: run.batch.state is State.FAILED)
    assert "the largest has 2 CPUs" in run.batch.reason
    assert run.pool.all_jobs() == ()


def test_an_empty_pool_is_waited_for(start: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    """A pool without slots takes the jobs; the log says that they wait, and after the site's time once why."""
    pool = PoolInProcess(lazy=True)
    pool._slots = ()
    with caplog.at_level(logging.WARNING):
        run = start(pool, idle_alarm_seconds=600)
        assert "the pool has no slots" in caplog.text
        caplog.clear()
        for _ in range(9):
            run.step(60)
        assert "nothing of it has run" not in caplog.text
        for _ in range(60):
            run.step(60)
        assert caplog.text.count("nothing of it has run for 10 minutes") == 1
        assert caplog.text.count("the pool has no slots") == 1
        pool._slots = (replace(SLOT, free_cpus=0),)
        for _ in range(60):
            run.step(60)
        assert caplog.text.count("is busy") == 1
    run.pool.run_all()
    run.until(lambda: run.batch.state is State.DONE)


@pytest.mark.parametrize("name", ["EIO", "ESTALE"])
def test_storage_holds_are_not_counted(start: Callable[..., Run], caplog: pytest.LogCaptureFixture, name: str) -> None:
    """A job whose files the storage refuses is released and submitted anew, however often, and no attempt counted."""
    run = start(attempts=1)
    submitted: list[int] = []
    while len(submitted) < 5:
        job = run.job()
        submitted.append(job.id.cluster)
        for _ in range(3):
            run.pool.hold_by_system(job.id, 7, getattr(errno, name), "cannot open its output")
            run.until(lambda: run.job().state is JobState.IDLE)
        run.pool.hold_by_system(job.id, 7, getattr(errno, name), "cannot open its output")
        run.until(lambda: run.job().state is JobState.REMOVED)
        run.pool.run_all()
        run.until(lambda: run.batch.state is not State.RUNNING)
        run.until(lambda: run.batch.state is State.RUNNING)
    assert len(set(submitted)) == 5
    assert (run.batch.setbacks, run.batch.tries) == (5, 1)
    assert caplog.text.count("not counted as an attempt") == 5
    run.pool.run_all()
    run.until(lambda: run.batch.state is State.DONE)


def test_a_daemon_that_starts_again_knows_of_storage_holds(
    start: Callable[..., Run], site: Site, journal: Journal
) -> None:
    """Killed after it gave a held job up, before it heard of its end, the daemon still knows that storage was it."""
    run = start(attempts=1)
    for _ in range(3):
        run.pool.hold_by_system(run.job().id, 7, errno.EIO, "cannot open its output")
        run.until(lambda: run.job().state is JobState.IDLE)
    run.pool.hold_by_system(run.job().id, 7, errno.EIO, "cannot open its output")
    run.pool.remove([run.job().id], "as the daemon does")
    run.pool.run_all()
    run.steps = Steps(with_scoring(site, attempts=1), journal, lambda: nullcontext(run.pool), lambda: run.moment[0])
    run.until(lambda: run.batch.state is State.PLANNED)
    assert run.batch.setbacks == 1
