"""The daemon when something is wrong around it: it says so, goes on with what it can, and loses nothing."""

import errno
import itertools
import logging
import threading
import time
from functools import partial
from typing import Any

import pytest

from dag_specs.errors import SchedulerError
from dag_specs.jobs import Scheduler
from inbox_watcher import service
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout
from scoring.chunk import score as pipeline
from scoring.chunk.part import Outcome
from scoring.chunk.plan import BatchPlan
from scoring.errors import StorageError
from scoring.models.production import promote
from scoring.models.registry import Pin
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.inbox_watcher.running_daemon import Drop, Run
from tests.unit.inbox_watcher.running_daemon import quick as quick  # noqa: PLC0414 - a fixture is found by its name here
from tests.unit.inbox_watcher.running_daemon import run as run  # noqa: PLC0414
from tests.unit.inbox_watcher.waiting import SECONDS, wait_for
from tests.unit.scoring.linear_model import publish_linear


def test_without_a_model_files_wait(run: Run, drop: Drop, layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    """While no model is in production a file stays in the inbox untouched; it is scored as soon as one is."""
    caplog.set_level(logging.WARNING)
    daemon = run()
    content = drop("loans.csv", rows=10)
    daemon.wait(lambda: "no model is in production" in caplog.text, "a word on the missing model")
    wait_for(lambda: daemon.watcher._listed > 0, "a listing")
    listed = daemon.watcher._listed
    daemon.wait(lambda: daemon.watcher._listed > listed, "another listing")
    assert (layout.inbox / "loans.csv").read_bytes() == content
    assert daemon.journal.latest(1) == []
    publish_linear(layout.models)
    daemon.wait_for_outbox("loans.predictions.csv")


@pytest.mark.usefixtures("pin")
def test_a_stop_waits_for_nothing_that_hangs(
    run: Run, drop: Drop, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    """A step that hangs on storage is left behind after a short grace; its batch is gone on with at the next start."""
    monkeypatch.setattr(service, "_GRACE", 0.2)
    at_last = threading.Event()
    hanging = threading.Event()
    pool = PoolInProcess()

    def hang() -> Scheduler:
        hanging.set()
        at_last.wait(SECONDS)
        raise SchedulerError("This process is long gone.", "")

    daemon = run(connect=hang)
    drop("loans.csv", rows=10)
    daemon.wait(hanging.is_set, "the hanging step")
    begun = time.monotonic()
    daemon.stop()
    assert time.monotonic() - begun < 2
    assert [batch.state for batch in daemon.journal.open_batches()] == [State.PLANNED]
    again = run(pool)
    again.wait_for_outbox("loans.predictions.csv")
    at_last.set()
    assert len(pool.submitted) == 1
    assert len(list(layout.outbox.iterdir())) == 3


@pytest.mark.usefixtures("pin")
def test_a_pool_that_cannot_be_reached_is_waited_for(
    run: Run, drop: Drop, caplog: pytest.LogCaptureFixture, layout: Layout
) -> None:
    """While the pool cannot be reached the daemon says so, goes on listening, and submits when the pool is back."""
    pool = PoolInProcess()
    troubles = [SchedulerError("No HTCondor scheduler was found.", "Check that it runs.")]

    def connect() -> Scheduler:
        if troubles:
            raise troubles.pop(0)
        return pool

    daemon = run(connect=connect)
    drop("loans.csv", rows=10)
    daemon.wait(lambda: "No HTCondor scheduler was found" in caplog.text, "a word on the pool")
    drop("bad.csv", content=b"id\n1\n")
    daemon.wait((layout.failed / "bad.csv").exists, "the refusal of another file")
    daemon.wait_for_outbox("loans.predictions.csv")
    assert pool.submitted == [1]


@pytest.mark.usefixtures("pin")
def test_lost_answer_does_not_submit_twice(run: Run, drop: Drop) -> None:
    """When HTCondor took a cluster but its answer was lost, the cluster is found again, not submitted again."""
    pool = PoolInProcess(lazy=True)
    pool.lose_answers = 1
    daemon = run(pool)
    drop("loans.csv", rows=120)
    daemon.wait(lambda: any(batch.state is State.RUNNING for batch in daemon.journal.open_batches()), "the jobs")
    pool.run_all()
    daemon.wait_for_outbox("loans.predictions.csv")
    assert pool.submitted == [1]


@pytest.mark.usefixtures("pin")
def test_trouble_with_the_journal_does_not_end_the_daemon(
    run: Run, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk under the journal is waited out: the file stays in the inbox until it can be taken down."""
    troubles = [1, 1]
    record = Journal.record

    def refuse(journal: Journal, batch: Batch) -> Batch:
        if troubles:
            troubles.pop()
            raise StorageError("The journal cannot be written: database or disk is full.", "Check the disk of `state`.")
        return record(journal, batch)

    monkeypatch.setattr(Journal, "record", refuse)
    daemon = run()
    drop("loans.csv", rows=10)
    daemon.wait_for_outbox("loans.predictions.csv")


@pytest.mark.usefixtures("pin")
def test_an_inbox_that_cannot_be_listed_is_waited_for(
    run: Run, drop: Drop, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time that the storage is gone the daemon says so, once, and goes on when it is back."""

    def told(times: int) -> bool:
        return caplog.text.count("cannot be listed") == times

    daemon = run()
    for outage in (1, 2):
        away = layout.inbox.rename(layout.root / "away")
        daemon.wait(partial(told, outage), "a word on the storage")
        away.rename(layout.inbox)
        drop(f"{outage}.csv", rows=10)
        daemon.wait_for_outbox(f"{outage}.predictions.csv")


def test_an_unreadable_promotion_is_waited_for(
    run: Run, drop: Drop, layout: Layout, pin: Pin, caplog: pytest.LogCaptureFixture
) -> None:
    """When it cannot be told which model is in production, files wait until it can."""
    (layout.models / "production").write_text("{")
    daemon = run()
    drop("loans.csv", rows=10)
    daemon.wait(lambda: "does not tell which model is in production" in caplog.text, "a word on the model")
    assert (layout.inbox / "loans.csv").exists()
    promote(layout.models, pin, by="test", why="test")
    daemon.wait_for_outbox("loans.predictions.csv")


@pytest.mark.usefixtures("pin")
def test_jobs_that_storage_stopped_go_out_again_after_a_pause(
    run: Run, drop: Drop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Trouble that only jobs meet is told, and their file waits longer each time before it is submitted again."""
    monkeypatch.setattr(service, "pause_after", lambda setbacks: 0.05 * setbacks)
    real, submitted = pipeline.score_chunk, []

    def score_chunk(plan: BatchPlan, chunk: int, **options: Any) -> Outcome:
        submitted.append(time.monotonic())
        if len(submitted) < 4:
            raise OSError(errno.ESTALE, "Stale file handle", plan.parts)
        return real(plan, chunk, **options)

    monkeypatch.setattr(pipeline, "score_chunk", score_chunk)
    daemon = run()
    drop("loans.csv", rows=10)
    daemon.wait_for_outbox("loans.predictions.csv")
    (batch,) = daemon.wait_until_all_done(1)
    assert (batch.setbacks, batch.tries) == (3, 1)
    waits = [later - earlier for earlier, later in itertools.pairwise(submitted)]
    assert all(wait >= 0.05 * number for number, wait in enumerate(waits, start=1))
    assert caplog.text.count("not counted as an attempt") == 3


@pytest.mark.usefixtures("pin")
def test_trouble_is_told_with_the_file_and_to_whoever_asks(
    run: Run, drop: Drop, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """Log and journal say what the storage minds, at which file and for which batch, until it is over."""
    daemon = run()

    def troubled() -> str:
        return next((batch.trouble for batch in daemon.journal.open_batches() if batch.trouble), "")

    layout.failed.rmdir()
    layout.failed.touch()  # nothing can be set aside
    drop("loans.csv", content=b"no,loans\n1,2\n")
    daemon.wait(lambda: bool(troubled()), "a word in the journal")
    assert troubled().startswith(f"Not a directory: '{layout.failed}/loans.csv")
    (batch,) = daemon.journal.open_batches()
    assert any(f"{batch.id}: {batch.trouble}; tried again" in record.message for record in caplog.records)
    layout.failed.unlink()
    layout.failed.mkdir()
    (done,) = daemon.wait_until_all_done(1)
    assert (done.state, done.trouble) == (State.FAILED, "")
    assert (layout.failed / "loans.csv").exists()
