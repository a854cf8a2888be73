"""The journal is lost: what was claimed is gone on with, from what stands on the shared storage."""

import logging
import os
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from inbox_watcher.agenda import Task
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.recovery import adopt_orphans
from inbox_watcher.daemon import serve
from inbox_watcher.service import Watcher
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from scoring.errors import StorageError
from scoring.results.receipt import read_receipt
from tests.unit.inbox_watcher.batch_steps import ID, NAME, Drop, DyingJournal, KilledError, OpenBatch, go_on, outcome_of
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess


def lose(journal_path: Path) -> None:
    """Remove a journal, as somebody does who clears a disk."""
    for path in journal_path.parent.glob("journal.sqlite*"):
        path.unlink()


@pytest.mark.parametrize("kind", ["scored", "refused"])
@pytest.mark.parametrize("rows", [20, 60], ids=["small", "chunks"])
@pytest.mark.parametrize("entry", range(1, 8))
def test_a_lost_journal_loses_no_file(
    site: Site,
    layout: Layout,
    journal_path: Path,
    open_batch: OpenBatch,
    drop: Drop,
    scheduler: PoolInProcess,
    entry: int,
    rows: int,
    kind: str,
) -> None:
    """Killed anywhere, and the journal gone: the file still ends in outbox or failed, once, with nothing left."""
    content = drop(NAME, rows=rows) if kind == "scored" else drop(NAME, content=b"no,loans\n1,2\n")
    open_batch()
    with closing(DyingJournal(journal_path, entry, written=False)) as dying:
        try:
            go_on(site, dying, scheduler)
        except KilledError:
            pass
        else:
            assert not dying.open_batches()
    lose(journal_path)
    with closing(Journal(journal_path)) as journal:
        adopted = adopt_orphans(layout, journal)
        assert adopted == journal.open_batches()
        assert adopt_orphans(layout, journal) == []
        if adopted:
            batch = go_on(site, journal, scheduler)
            assert (batch.id, batch.name) == (ID, os.fsencode(NAME))
    found = outcome_of(layout)
    if kind == "scored":
        receipt = read_receipt(layout.results("Mai crédits").receipt)
        assert (receipt.rows_in, receipt.scored, receipt.rejected) == (rows, rows, 0)
        assert sorted(found) == sorted(
            [f"outbox/Mai crédits.{kind}" for kind in ("predictions.csv", "receipt.json", "rejects.csv")]
            + [f"archive/{ID}/{NAME}"]
        )
        assert layout.archived(ID, NAME).read_bytes() == content
        assert sum(scheduler.runs.values()) == len(receipt.parts)
    else:
        assert sorted(found) == [f"failed/{NAME}", f"failed/{NAME}.error.txt"]


def test_what_the_journal_knows_is_left_to_it(
    site: Site, layout: Layout, journal: Journal, open_batch: OpenBatch, drop: Drop, scheduler: PoolInProcess
) -> None:
    """Batches that are journaled, finished ones and folders of groups are nobody's orphans."""
    drop(NAME, rows=20)
    open_batch()
    go_on(site, journal, scheduler)
    layout.group("group-x").logs.mkdir(parents=True)
    assert adopt_orphans(layout, journal) == []
    drop("second.csv", rows=20)
    open_batch("second.csv", "20261122-150802-aaaaaa")
    assert adopt_orphans(layout, journal) == []
    assert layout.group("group-x").logs.is_dir()


def test_groups_that_nobody_knows_are_cleared_away(layout: Layout, journal: Journal) -> None:
    """Where the journal is a new one, the folders of earlier groups are of no use to anybody."""
    layout.group("group-x").logs.mkdir(parents=True)
    assert adopt_orphans(layout, journal) == []
    assert list(layout.batches.iterdir()) == []


@pytest.mark.parametrize("manifest", [None, b"", b"{}", b'{"id": "\xff"}'], ids=["none", "empty", "other", "no text"])
def test_a_folder_that_tells_nothing_is_told_and_left(
    layout: Layout, journal: Journal, caplog: pytest.LogCaptureFixture, manifest: bytes | None
) -> None:
    """A claimed file of which nobody can tell what it was called stays where it is, and the log says where."""
    folder = layout.batch(ID)
    folder.root.mkdir()
    folder.input.write_bytes(b"id\n")
    if manifest is not None:
        folder.manifest.write_bytes(manifest)
    caplog.set_level(logging.ERROR)
    assert adopt_orphans(layout, journal) == []
    assert str(folder.root) in caplog.text
    assert folder.input.read_bytes() == b"id\n"


def test_a_daemon_whose_journal_is_removed_ends_and_the_next_goes_on(
    site: Site,
    layout: Layout,
    journal_path: Path,
    drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
    pin: object,
) -> None:
    """It could write nothing down any more: it says so and ends; the next one goes on, with the same jobs."""
    assert pin
    pool = PoolInProcess(lazy=True)

    class Careless(Watcher):
        def _take_on(self, task: Task, batches: list[Batch]) -> None:
            super()._take_on(task, batches)
            if any(batch.state is State.RUNNING for batch in batches):
                lose(journal_path)

    monkeypatch.setattr("inbox_watcher.daemon.Watcher", Careless)
    monkeypatch.setattr("inbox_watcher.daemon.signal.signal", lambda *_: None)
    drop(NAME, rows=60)
    with pytest.raises(StorageError, match=r"journal .* was removed while the daemon ran") as told:
        serve(site, lambda: pool)
    assert "Start it again" in told.value.way_out
    with closing(Journal(journal_path)) as journal:
        (batch,) = adopt_orphans(layout, journal)
        found = Steps(site, journal, lambda: nullcontext(pool)).take(batch)
        assert (found.state, list(found.clusters)) == (State.RUNNING, pool.submitted)
        pool.run_all()
        assert go_on(site, journal, pool).state is State.DONE
    assert len(pool.submitted) == 1
