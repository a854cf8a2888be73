"""What arrives when a batch is finished: the right answers, at the right time, and after any crash."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.inbox.late_evidence import RECHECKS, LateEvidence, find_recent
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from tests.unit.inbox_watcher.batch_steps import ID, NAME, Drop, OpenBatch, go_on
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess

WRONG = "7" * 64
OTHER = "20261122-150802-aaaaaa"

Send = Callable[[str], Path]


@pytest.fixture
def done(site: Site, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop) -> Batch:
    """Publish a file."""
    drop(NAME)
    open_batch()
    return go_on(site, journal, scheduler)


@pytest.fixture
def late(layout: Layout, journal: Journal) -> LateEvidence:
    """Give what compares, for a site whose files settle within 2 s."""
    return LateEvidence(layout, journal, 2.0)


@pytest.fixture
def send(layout: Layout) -> Send:
    """Give a function that puts a .done with some text into the inbox."""

    def send(text: str) -> Path:
        sidecar = layout.inbox / f"{NAME}.done"
        sidecar.write_text(text)
        return sidecar

    return send


def test_a_wrong_hash_waits_for_a_file_of_its_own(done: Batch, late: LateEvidence, send: Send, layout: Layout) -> None:
    """A .done that comes before the next file of its name is not taken for that of the last one at once."""
    sidecar = send(WRONG)
    assert late.take_sidecar(NAME, 100.0) == (True, None)
    assert late.take_sidecar(NAME, 101.9) == (True, None)
    # The file that it belongs to arrives: the sidecar is no longer alone.
    late.forget_absent([])
    assert late.take_sidecar(NAME, 200.0) == (True, None)
    assert sidecar.exists()
    known, reopened = late.take_sidecar(NAME, 202.0)
    assert known
    assert reopened is not None
    assert (reopened.id, reopened.state) == (done.id, State.FAILING)
    assert layout.batch(done.id).sidecar.read_text() == WRONG


def test_the_older_the_results_the_longer_a_hash_waits(
    done: Batch, late: LateEvidence, send: Send, journal: Journal
) -> None:
    """The .done of a monthly file does not withdraw the results of last month while the file is being sent."""
    ended = datetime.now(UTC) - timedelta(days=30)
    journal.record(msgspec.structs.replace(done, updated=ended.strftime("%Y-%m-%dT%H:%M:%SZ")))
    send(WRONG)
    assert late.take_sidecar(NAME, 100.0) == (True, None)
    assert late.take_sidecar(NAME, 3600.0) == (True, None)
    assert late.take_sidecar(NAME, 3701.0)[1] is not None


def test_a_second_hash_counts_as_well(done: Batch, late: LateEvidence, send: Send, layout: Layout) -> None:
    """A right .done is kept beside the batch, and a wrong one that follows contradicts it all the same."""
    send(done.input_sha256)
    assert late.take_sidecar(NAME, 100.0) == (True, None)
    assert layout.batch(done.id).sidecar.read_text() == done.input_sha256
    send(WRONG)
    late.take_sidecar(NAME, 200.0)
    assert late.take_sidecar(NAME, 202.0)[1] is not None


@pytest.mark.parametrize("text", ["", "complete"])
def test_a_sidecar_without_a_hash_is_kept(
    done: Batch, late: LateEvidence, send: Send, layout: Layout, text: str
) -> None:
    """A .done that promises nothing contradicts nothing."""
    sidecar = send(text)
    assert late.take_sidecar(NAME, 100.0) == (True, None)
    assert not sidecar.exists()
    assert layout.batch(done.id).sidecar.read_text() == text


def test_a_batch_that_is_open_takes_its_sidecar_itself(
    open_batch: OpenBatch, late: LateEvidence, send: Send, drop: Drop
) -> None:
    """A .done for a batch that is not published yet is left for the step that publishes it."""
    drop(NAME)
    open_batch()
    sidecar = send(WRONG)
    assert late.take_sidecar(NAME, 100.0) == (True, None)
    assert late.take_sidecar("other.csv", 100.0) == (False, None)
    assert sidecar.exists()


def test_a_file_that_was_taken_back_has_no_say(
    done: Batch, late: LateEvidence, send: Send, journal: Journal, layout: Layout
) -> None:
    """A batch whose file was gone before it was claimed does not stand for the one that was scored."""
    journal.record(msgspec.structs.replace(done, id=OTHER, input_sha256="", claimed=None, chunks=0))
    send(done.input_sha256)
    assert late.take_sidecar(NAME, 100.0) == (True, None)
    assert layout.batch(done.id).sidecar.exists()


def test_what_was_withdrawn_can_be_sent_again(
    done: Batch,
    late: LateEvidence,
    send: Send,
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    drop: Drop,
    open_batch: OpenBatch,
) -> None:
    """The same bytes, dropped once more, are scored: the withdrawn results answer nothing."""
    published = layout.results(done.output).predictions.read_bytes()
    send(WRONG)
    late.take_sidecar(NAME, 100.0)
    late.take_sidecar(NAME, 200.0)
    assert go_on(site, journal, scheduler).state is State.FAILED
    assert (layout.failed / "Mai crédits.predictions.csv").read_bytes() == published
    assert list(layout.outbox.iterdir()) == []
    drop(NAME)
    open_batch(NAME, OTHER, "again")
    assert go_on(site, journal, scheduler).output == "again"
    assert layout.results("again").predictions.read_bytes() == published


def test_the_results_of_an_earlier_batch_stay(
    done: Batch,
    late: LateEvidence,
    send: Send,
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    drop: Drop,
    open_batch: OpenBatch,
) -> None:
    """A wrong hash for a duplicate fails the duplicate; the results that it was answered with are not its own."""
    drop(NAME)
    open_batch(NAME, OTHER, "again")
    assert go_on(site, journal, scheduler).output == done.output
    send(WRONG)
    late.take_sidecar(NAME, 100.0)
    late.take_sidecar(NAME, 200.0)
    assert go_on(site, journal, scheduler).state is State.FAILED
    assert layout.results(done.output).predictions.exists()
    assert (layout.failed / NAME).exists()


@pytest.mark.parametrize("moment", RECHECKS)
def test_rows_that_come_after_the_end_withdraw_the_results(
    done: Batch,
    late: LateEvidence,
    layout: Layout,
    site: Site,
    journal: Journal,
    scheduler: PoolInProcess,
    moment: float,
) -> None:
    """A writer on another host that pauses for a minute, or for ten, is found out by the archived file."""
    late.watch_archived([done], 1000.0)
    assert late.recheck_archived(1000.0 + RECHECKS[0] - 1) == []
    if moment > RECHECKS[0]:
        assert late.recheck_archived(1000.0 + RECHECKS[0]) == []
    with layout.archived(done.id, NAME).open("ab") as writer:
        writer.write(b"late,rows\n")
    (reopened,) = late.recheck_archived(1000.0 + moment)
    assert (reopened.state, reopened.reason.partition("[")[2][:19]) == (State.FAILING, "written_after_claim")
    ended = go_on(site, journal, scheduler)
    assert ended.state is State.FAILED
    assert list(layout.outbox.iterdir()) == []
    assert (layout.failed / NAME).read_bytes().endswith(b"late,rows\n")
    assert late.recheck_archived(10_000.0) == []


def test_an_archive_that_was_cleared_is_no_evidence(done: Batch, late: LateEvidence, layout: Layout) -> None:
    """A file that nobody has written to, or that somebody removed, contradicts nothing."""
    late.watch_archived([done], 1000.0)
    assert late.recheck_archived(1000.0 + RECHECKS[0]) == []
    layout.archived(done.id, NAME).unlink()
    assert late.recheck_archived(1000.0 + RECHECKS[1]) == []


def test_storage_that_fails_puts_a_check_off(done: Batch, late: LateEvidence, layout: Layout) -> None:
    """A check that the storage refuses is not forgotten."""
    late.watch_archived([done], 1000.0)
    folder = layout.archived(done.id, NAME).parent
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    folder.write_text("")  # ENOTDIR
    assert late.recheck_archived(1000.0 + RECHECKS[0]) == []
    folder.unlink()
    elsewhere.rename(folder)
    with layout.archived(done.id, NAME).open("ab") as writer:
        writer.write(b"late,rows\n")
    assert len(late.recheck_archived(1000.0 + RECHECKS[0])) == 1


def test_a_daemon_that_starts_checks_what_has_just_ended(done: Batch, journal: Journal) -> None:
    """Batches that ended shortly before a restart are checked; older ones are not."""
    assert [batch.id for batch in find_recent(journal)] == [done.id]
    ended = datetime.now(UTC) - timedelta(seconds=RECHECKS[-1] + 60)
    journal.record(msgspec.structs.replace(done, updated=ended.strftime("%Y-%m-%dT%H:%M:%SZ")))
    assert find_recent(journal) == []


def test_a_write_before_the_archive_withdraws_the_results(
    site: Site, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop, layout: Layout
) -> None:
    """A file that is written to between publication and archive fails, and its results leave the outbox."""
    from contextlib import nullcontext

    from inbox_watcher.steps import Steps

    drop(NAME)
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler))
    while batch.state is not State.PUBLISHED:
        batch = steps.take(batch)
    assert layout.results(batch.output).predictions.exists()
    with layout.batch(ID).input.open("ab") as writer:
        writer.write(b"late,rows\n")
    batch = go_on(site, journal, scheduler)
    assert batch.state is State.FAILED
    assert "[written_after_claim]" in batch.reason
    assert list(layout.outbox.iterdir()) == []
    names = {"Mai crédits.predictions.csv", "Mai crédits.rejects.csv", "Mai crédits.receipt.json"}
    assert names | {NAME, f"{NAME}.error.txt"} == {path.name for path in layout.failed.iterdir()}
    assert os.listdir(layout.archive) == []
