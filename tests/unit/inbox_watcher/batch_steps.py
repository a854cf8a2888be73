"""What the tests of single steps share: a batch, a journal that dies, and a daemon that remembers nothing."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Protocol

import pytest

from dag_specs.jobs import Scheduler
from inbox_watcher.batch.batch import FINAL, Batch
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps

ID = "20261122-150801-3f9a2c"


NAME = "Mai crédits.csv"


Drop = Callable[..., bytes]


class OpenBatch(Protocol):
    """How a test turns a file in the inbox into a batch."""

    def __call__(self, name: str = NAME, batch_id: str = ID, output: str | None = None) -> Batch:
        """Write a batch that is about to be claimed into the journal."""


class KilledError(BaseException):
    """Stands for `kill -9`: nothing catches it."""


class DyingJournal(Journal):
    """A journal whose process is killed at one of its entries, just before or just after it is on disk."""

    def __init__(self, path: Path, entry: int, *, written: bool) -> None:
        """Die at the `entry`-th write (1-based), be it of one batch or of many."""
        super().__init__(path)
        self.left, self._written = entry, written

    def record_many(self, batches: Sequence[Batch]) -> list[Batch]:
        """Write, and die when it is time."""
        self.left -= 1
        if self.left == 0 and not self._written:
            raise KilledError
        written = super().record_many(batches)
        if self.left == 0:
            raise KilledError
        return written


def kill_and_go_on(path: Path, entry: int, serve: Callable[[Journal], object], *, written: bool) -> list[Batch]:
    """Have a daemon killed at its `entry`-th journal entry, let another one go on; give what the journal knows then."""
    with closing(DyingJournal(path, entry, written=written)) as dying, pytest.raises(KilledError):
        serve(dying)
    with closing(Journal(path)) as again:
        if again.open_batches():
            serve(again)
        assert not again.open_batches()
        return again.latest(99)


def check_entries(path: Path, entries: int, serve: Callable[[Journal], object]) -> None:
    """Prove that a daemon makes no more than so many entries until everything is done, and no fewer."""
    with closing(DyingJournal(path, entries + 1, written=False)) as journal:
        serve(journal)
        assert not journal.open_batches()
        assert journal.left == 1


def go_on(site: Site, journal: Journal, pool: Scheduler, *, clock: Callable[[], float] | None = None) -> Batch:
    """Take every open batch to its end, each step with a daemon that remembers nothing; give the last one."""
    batch = None
    for _ in range(40):
        still_open = journal.open_batches()
        if not still_open:
            break
        steps = Steps(site, journal, lambda: nullcontext(pool), *([clock] if clock else []))
        batch = steps.take(still_open[0])
    assert batch is not None
    assert batch.state in FINAL, batch
    return batch


def outcome_of(layout: Layout) -> dict[str, str]:
    """Tell what stands where people look, by content; receipts by what does not depend on time and batch id."""
    found = {}
    for folder in (layout.inbox, layout.outbox, layout.failed, layout.archive):
        for path in sorted(folder.rglob("*")):
            if path.is_dir():
                continue
            content = path.read_bytes()
            if path.name.endswith(".receipt.json"):
                receipt = json.loads(content)
                kept = ("name", "input", "rows_in", "scored", "rejected", "predictions", "rejects")
                content = json.dumps([receipt["model"]["version"], *(receipt[name] for name in kept)]).encode()
            found[path.relative_to(layout.root).as_posix()] = hashlib.sha256(content).hexdigest()
    return found
