"""Following jobs: attempts, holds, lost events, and a pool that is away."""

import errno
import itertools
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dag_specs.errors import SchedulerError
from dag_specs.jobs import Job, JobId, JobState
from inbox_watcher.batch.batch import FINAL, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.jobs.job_watch import RECONCILE_SECONDS, JobWatch
from inbox_watcher.settings.layout import BatchLayout, Layout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from scoring.chunk import score as pipeline
from scoring.chunk.part import Outcome
from scoring.chunk.plan import BatchPlan
from tests.unit.inbox_watcher.batch_steps import ID, NAME, Drop, OpenBatch, go_on
from tests.unit.inbox_watcher.conftest import with_scoring
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess


def test_a_chunk_that_fails_is_tried_again_alone(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A job that fails once costs one more job for its chunk; the other chunks are not scored again."""
    scheduler.failures[1] = 1
    drop(NAME)
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert (batch.state, batch.attempt, batch.clusters, batch.retried) == (State.DONE, 2, (1, 2), (1,))
    assert scheduler.runs == {chunk: 1 + (chunk == 1) for chunk in range(batch.chunks)}
    assert len((layout.outbox / "Mai crédits.predictions.csv").read_text().splitlines()) == 121


def test_chunk_that_succeeds_in_its_last_attempt(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A chunk that fails in every attempt but the last is scored, and the file published."""
    scheduler.failures[1] = site.scoring.attempts - 1
    drop(NAME)
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert batch.state is State.DONE, batch.reason
    assert scheduler.runs[1] == site.scoring.attempts
    assert (layout.outbox / "Mai crédits.predictions.csv").exists()


def test_a_chunk_that_fails_three_times_fails_its_file(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """After three attempts the file is set aside with the last words of the job itself."""
    scheduler.failures[2] = 3
    content = drop(NAME)
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert batch.state is State.FAILED
    text = (layout.failed / f"{NAME}.error.txt").read_text()
    assert "chunk 2: Chunk 2 failed on memory: the machine is on fire" in text
    assert "3 attempts" in text
    assert (layout.failed / NAME).read_bytes() == content
    assert not list(layout.outbox.iterdir())
    assert scheduler.runs[2] == 3
    assert scheduler.runs[0] == 1


def test_a_job_that_says_nothing_is_told_by_its_signal(
    site: Site, layout: Layout, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> None:
    """A job that was killed before it could say why fails its file with what HTCondor knows of it."""
    scheduler = PoolInProcess()
    scheduler.killed = True
    drop(NAME)
    open_batch()
    assert go_on(site, journal, scheduler).state is State.FAILED
    text = (layout.failed / f"{NAME}.error.txt").read_text()
    assert "signal 9" in text


def test_held_jobs_are_released_and_given_up_at_last(
    site: Site, layout: Layout, journal: Journal, open_batch: OpenBatch, drop: Drop, caplog: pytest.LogCaptureFixture
) -> None:
    """A held job would wait for ever: it is released three times, and at last fails the file with HTCondor's reason."""
    scheduler = PoolInProcess(lazy=True)
    moment = itertools.count(0, 30.0)
    drop(NAME)
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler), lambda: next(moment))
    for _ in range(400):
        batch = steps.take(batch)
        if batch.state in FINAL:
            break
        for job in scheduler.all_jobs():
            if job.state is JobState.IDLE and job.id.proc == 0:
                scheduler.hold_by_system(job.id, 12, 2, "the disk of node 7 is full")
            elif job.state is JobState.IDLE:
                scheduler.advance_one(job.id)
    assert batch.state is State.FAILED
    assert batch.attempt == site.scoring.attempts
    text = (layout.failed / f"{NAME}.error.txt").read_text()
    assert "held again after 3 releases: the disk of node 7 is full" in text
    assert caplog.text.count("and is released") == 3 * site.scoring.attempts
    # Only the chunk whose job was held is tried again.
    assert scheduler.runs == dict.fromkeys(range(1, batch.chunks), 1)
    assert not any(job.in_queue for job in scheduler.all_jobs())


def test_a_deleted_event_log_is_made_good_by_the_queue(
    site: Site, layout: Layout, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> None:
    """Events that were never told are found by asking queue and history, and the file is published."""
    scheduler = PoolInProcess(lazy=True)
    drop(NAME)
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler))
    while batch.state is not State.RUNNING:
        batch = steps.take(batch)
    assert steps.take(batch).state is State.RUNNING
    (Path(site.state) / "events" / f"{ID}.log").unlink()
    assert steps.take(batch).state is State.RUNNING
    scheduler.run_all()
    (Path(site.state) / "events" / f"{ID}.log").unlink()
    for _ in range(10):
        batch = steps.take(batch)
        if batch.state in FINAL:
            break
    assert batch.state is State.DONE
    assert (layout.outbox / "Mai crédits.predictions.csv").exists()


def test_the_queue_is_asked_once_a_minute_not_always(
    site: Site, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> None:
    """Events tell what happens; the queue is asked once a minute, also while the event log is gone."""
    scheduler = PoolInProcess(lazy=True)
    moment = [0.0]
    drop(NAME)
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler), lambda: moment[0])
    while batch.state is not State.RUNNING:
        batch = steps.take(batch)
    for _ in range(100):
        batch = steps.take(batch)
        moment[0] += 0.2
    assert scheduler.asked == 0
    moment[0] += RECONCILE_SECONDS
    batch = steps.take(batch)
    assert scheduler.asked == 2  # the jobs, and whether the cluster is queued
    (Path(site.state) / "events" / f"{ID}.log").unlink()
    for _ in range(100):
        batch = steps.take(batch)
        moment[0] += 0.2
    assert 4 <= scheduler.asked <= 12, "the queue is asked at every look while the event log is gone"


@pytest.mark.parametrize("log", ["heard", "deleted"])
def test_what_storage_did_to_a_job_is_not_counted(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    log: str,
) -> None:
    """Jobs that end for the storage's trouble are submitted again, more often than attempts are had, with an alarm."""
    real, left = pipeline.score_chunk, [7]

    def score_chunk(plan: BatchPlan, chunk: int, **options: Any) -> Outcome:
        if chunk == 2 and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error", plan.parts)
        return real(plan, chunk, **options)

    monkeypatch.setattr(pipeline, "score_chunk", score_chunk)
    drop(NAME)
    batch = open_batch()
    moment = itertools.count(0.0, RECONCILE_SECONDS)
    steps = Steps(site, journal, lambda: nullcontext(scheduler), lambda: next(moment))
    while batch.state not in FINAL:
        batch = steps.take(batch)
        if batch.state is State.RUNNING and log == "deleted":
            (Path(site.state) / "events" / f"{ID}.log").unlink(missing_ok=True)
    assert (batch.state, batch.setbacks, batch.tries) == (State.DONE, 7, 1)
    assert scheduler.runs == {chunk: 8 if chunk == 2 else 1 for chunk in range(batch.chunks)}
    assert caplog.text.count("chunk 2: Chunk 2 failed on") == 7
    assert caplog.text.count("Input/output error") == 7
    assert (layout.outbox / "Mai crédits.predictions.csv").read_bytes().count(b"\n") == 121


def test_a_model_that_is_gone_is_no_trouble_of_the_storage(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """What waiting does not mend fails the file after its attempts, with the way out."""
    drop(NAME)
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler))
    while batch.state is not State.PLANNED:
        batch = steps.take(batch)
    assert batch.model is not None
    shutil.rmtree(layout.models / "versions" / batch.model.version)
    batch = go_on(site, journal, scheduler)
    assert (batch.state, batch.setbacks) == (State.FAILED, 0)
    assert "in 3 attempts" in batch.reason


class HalfMaterialized(PoolInProcess):
    """A pool that holds only some jobs of a cluster at a time, as HTCondor does with `max_materialize`."""

    def __init__(self, largest: int) -> None:
        """Show `largest` jobs of a cluster."""
        super().__init__(lazy=True)
        self._largest = largest

    def job_states(self, clusters: object, *, left_since: float | None = None) -> tuple[Job, ...]:
        """Tell the jobs that ended, and the first of those that did not."""
        jobs = super().job_states(clusters, left_since=left_since)  # type: ignore[arg-type]
        queued = [job for job in jobs if job.in_queue]
        return tuple(job for job in jobs if not job.in_queue or job in queued[: self._largest])


def test_jobs_that_have_not_materialized_yet(site: Site, journal: Journal, open_batch: OpenBatch, drop: Drop) -> None:
    """Chunks of a huge batch whose jobs HTCondor has yet to make are waited for, never submitted a second time."""
    scheduler = HalfMaterialized(2)
    drop(NAME)
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler))
    while batch.state is not State.RUNNING:
        batch = steps.take(batch)
    for _ in range(100):
        batch = steps.take(batch)
        if batch.state in FINAL:
            break
        scheduler.advance()
    assert batch.state is State.DONE
    assert (scheduler.submitted, batch.attempt) == ([1], 1)


def test_a_pool_that_is_down_is_waited_for(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """While the pool is down the batch stays where it is, and goes on when the pool is back: one cluster."""
    drop(NAME)
    open_batch()
    scheduler.down = True
    with pytest.raises(SchedulerError):
        go_on(site, journal, scheduler)
    waiting = journal.find(ID)
    assert waiting is not None
    assert waiting.state is State.PLANNED
    with pytest.raises(SchedulerError):
        go_on(site, journal, scheduler)
    scheduler.down = False
    assert go_on(site, journal, scheduler).state is State.DONE
    assert scheduler.submitted == [1]
    assert (layout.outbox / "Mai crédits.predictions.csv").exists()


def test_a_watch_of_jobs_ignores_what_is_not_its_own(tmp_path: Path) -> None:
    """Events and jobs of another cluster, or of no chunk of this attempt, change nothing."""
    folder = BatchLayout(tmp_path)
    folder.parts.mkdir()
    log = tmp_path / "events.log"
    log.write_text(
        "005 (006.000.000) 2026-11-22 15:08:01 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n"
        "005 (007.009.000) 2026-11-22 15:08:01 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n"
        "035 (007.-01.000) 2026-11-22 15:08:01 Cluster submitted from host: <127.0.0.1:1>\n...\n"
    )
    watch = JobWatch(folder, log, 7, (0, 4), 6)
    assert watch.hear()
    assert watch.facts.still_queued == {0, 4}
    assert watch.facts.parts_there == {1, 2, 3, 5}
    log.write_text(
        log.read_text()
        + "005 (007.001.000) 2026-11-22 15:08:02 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n"
    )
    assert watch.hear()
    assert watch.facts.still_queued == {0}
    assert JobId(7, 0) != JobId(6, 0)


def test_only_jobs_that_start_before_it_keep_a_batch_here(
    site: Site, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> None:
    """While too many jobs are idle a batch of about as many or more waits here; smaller ones go at once."""
    scheduler = PoolInProcess(lazy=True)
    steps = Steps(with_scoring(site, max_idle_jobs=4), journal, lambda: nullcontext(scheduler))
    drop(NAME)
    batch = open_batch()
    while batch.state is not State.RUNNING:
        assert steps.may_submit(batch)
        batch = steps.take(batch)
    assert batch.chunks == 4
    assert not steps.may_submit(batch)
    assert not steps.may_submit(msgspec.structs.replace(batch, chunks=10_000))
    assert steps.may_submit(msgspec.structs.replace(batch, chunks=2))
    assert steps.may_submit(msgspec.structs.replace(batch, chunks=1))
    scheduler.run_all()
    steps.take(batch)
    assert steps.may_submit(batch)
