"""Cut off anywhere, and with parts damaged: the same file comes out, once."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from inbox_watcher.batch.batch import FINAL, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from tests.unit.inbox_watcher.batch_steps import (
    ID,
    NAME,
    Drop,
    OpenBatch,
    check_entries,
    go_on,
    kill_and_go_on,
    outcome_of,
)
from tests.unit.inbox_watcher.conftest import loans
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess

_WANTED: dict[str, str] = {}


@pytest.fixture
def wanted(site: Site, layout: Layout, journal_path: Path, open_batch: OpenBatch, drop: Drop) -> dict[str, str]:
    """Score the file in peace, once for all tests, and tell what came out; everything is put back."""
    if not _WANTED:
        journal = Journal(journal_path)
        drop(NAME, rows=60)
        open_batch()
        go_on(site, journal, PoolInProcess())
        _WANTED.update(outcome_of(layout))
        journal.close()
        _clear(layout, journal_path)
    return _WANTED


def _clear(layout: Layout, journal_path: Path) -> None:
    import shutil

    for folder in (layout.outbox, layout.failed, layout.archive, layout.batches, layout.inbox):
        shutil.rmtree(folder)
        folder.mkdir()
    for path in journal_path.parent.glob("journal.sqlite*"):
        path.unlink()


# Entries of one batch: claimed, planned, an attempt, running, merging, published, done.
ENTRIES = 7


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("entry", range(1, ENTRIES + 1))
def test_a_kill_at_any_entry_changes_nothing(
    site: Site,
    layout: Layout,
    journal_path: Path,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    wanted: dict[str, str],
    entry: int,
    *,
    written: bool,
) -> None:
    """Killed between an act and its entry, or just after, the file is published once, the same, from one cluster."""
    drop(NAME, rows=60)
    open_batch()
    (last,) = kill_and_go_on(journal_path, entry, lambda journal: go_on(site, journal, scheduler), written=written)
    assert last.state is State.DONE
    assert outcome_of(layout) == wanted
    assert len(scheduler.submitted) == 1
    assert set(scheduler.runs.values()) == {1}


def test_every_entry_of_a_batch_is_tried(
    site: Site, journal_path: Path, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """The test above kills at every entry that there is: one more would never be reached."""
    drop(NAME)
    open_batch()
    check_entries(journal_path, ENTRIES, lambda journal: go_on(site, journal, scheduler))


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("entry", [1, 2, 3])
def test_a_kill_while_a_file_is_refused_changes_nothing(
    site: Site,
    layout: Layout,
    journal_path: Path,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    entry: int,
    *,
    written: bool,
) -> None:
    """Killed anywhere on its way to failed/, a bad file ends there once, with its reason, its bytes unchanged."""
    content = drop("bad.csv", content=b"id,person_age\n1,30\n")
    open_batch("bad.csv")
    (last,) = kill_and_go_on(journal_path, entry, lambda journal: go_on(site, journal, scheduler), written=written)
    assert last.state is State.FAILED
    assert sorted(os.listdir(layout.failed)) == ["bad.csv", "bad.csv.error.txt"]
    assert (layout.failed / "bad.csv").read_bytes() == content
    assert not list(layout.outbox.iterdir())
    assert not list(layout.inbox.iterdir())


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("entry", [4, 5, 6, 7])
def test_a_kill_while_rejects_are_told_loses_none(
    site: Site,
    layout: Layout,
    journal_path: Path,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    entry: int,
    *,
    written: bool,
) -> None:
    """Killed anywhere on the way to failed/, a file with too many rejects ends there with all of them told."""
    lines = loans(40).splitlines(keepends=True)
    drop(NAME, content=lines[0] + b"broken\n" * 40)
    open_batch()
    (last,) = kill_and_go_on(journal_path, entry, lambda journal: go_on(site, journal, scheduler), written=written)
    assert last.state is State.FAILED
    assert (layout.failed / "Mai crédits.rejects.csv").read_bytes().count(b"\n") == 41


def test_name_dropped_again_before_the_restart(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """Killed after the claim's rename, and the name dropped again before the restart: the first is gone on with."""
    first = drop(NAME, seed=1)
    open_batch()
    folder = layout.batch(ID)
    folder.root.mkdir()
    (layout.inbox / NAME).rename(folder.input)
    second = drop(NAME, seed=2)
    assert go_on(site, journal, scheduler).state is State.DONE
    assert (layout.archive / ID / NAME).read_bytes() == first
    assert (layout.inbox / NAME).read_bytes() == second


@pytest.mark.parametrize("damaged", ["000001.predictions.csv", "000001.rejects.csv", "000001.outcome.json"])
@pytest.mark.parametrize("loss", ["altered", "cut", "gone"])
@pytest.mark.parametrize("when", [State.RUNNING, State.MERGING])
def test_a_damaged_part_is_never_published(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    when: State,
    loss: str,
    damaged: str,
) -> None:
    """A part that is lost or is not what was sealed is scored again, and what is published is what was scored."""
    drop(NAME, content=with_one_broken(loans(120)))
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler))
    while batch.state is not when:
        batch = steps.take(batch)
    part = layout.batch(ID).parts / damaged
    content = part.read_bytes()
    if loss == "gone":
        part.unlink()
    else:
        part.write_bytes(content[:-1] if loss == "cut" else content[:-3] + b"#" + content[-2:])
    assert go_on(site, journal, scheduler).state is State.DONE
    lines = (layout.outbox / "Mai crédits.predictions.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == [str(row) for row in range(1, 122) if row != 50]
    assert "#" not in "".join(lines)
    assert (layout.outbox / "Mai crédits.rejects.csv").read_bytes().count(b"\n") == 2
    assert scheduler.runs[0] == 1
    assert scheduler.runs[1] == 2


def with_one_broken(content: bytes) -> bytes:
    """Put a record that cannot be read before the 50th loan, which lies in the second chunk."""
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[:50], b"broken\n", *lines[50:]])


def test_a_part_that_is_damaged_every_time_fails_its_file(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """Storage that damages a part in every attempt fails the file in words; the batch does not go round for ever."""
    drop(NAME)
    batch = open_batch()
    steps = Steps(site, journal, lambda: nullcontext(scheduler))
    for _ in range(60):
        if batch.state in FINAL:
            break
        if batch.state in (State.RUNNING, State.MERGING, State.FAILING):
            (layout.batch(ID).parts / "000001.outcome.json").write_bytes(b'{"format": 1, ')
        batch = steps.take(batch)
    assert batch.state is State.FAILED
    assert batch.attempt == site.scoring.attempts
    assert "chunk" in (layout.failed / f"{NAME}.error.txt").read_text()
    assert not list(layout.outbox.iterdir())
