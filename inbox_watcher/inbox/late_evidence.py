"""What arrives when a batch is finished already: a .done file with a hash, or bytes of a writer that went on writing.

Either may contradict results that are published. The batch is then reopened as failing: its results are moved from the
outbox to failed/, with a notice.
"""

import heapq
import logging
import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.batch.claimed_file import check_unchanged
from inbox_watcher.batch.identity import checksum_mismatch, read_promised
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.workplace import describe_refusal, fail
from inbox_watcher.settings.layout import SIDECAR, Layout
from scoring.errors import FileRefusedError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger("loans.watch")

_LONGEST_GRACE = 3600.0
"""Longest wait for the file that a .done may belong to (seconds)."""

RECHECKS = (60.0, 600.0)
"""When an archived input is compared with its plan again (seconds after it was archived).

A writer on another host that pauses for longer than the daemon waits cannot be noticed earlier. Two checks of a file's
size and times cost little and find pauses of up to ten minutes.
"""


class LateEvidence:
    """Compares what arrives late with finished batches.

    All of it belongs to the thread that lists the inbox, but for `watch_archived`, which any thread may call.
    """

    def __init__(self, layout: Layout, journal: Journal, settle_seconds: float) -> None:
        """Look for batches in `journal`; a .done waits at least `settle_seconds` for a file of its own."""
        self._layout, self._journal = layout, journal
        self._grace = settle_seconds
        self._first_seen: dict[str, float] = {}
        self._due: list[tuple[float, str]] = []
        self._lock = threading.Lock()

    def take_sidecar(self, name: str, now: float) -> tuple[bool, Batch | None]:
        """Deal with a .done in the inbox whose file is not there; tell whether it belongs to a batch.

        The second value is a finished batch that its hash contradicts, reopened and journaled. A .done for a batch
        that is still open is left for the step that publishes it. `now` is a monotonic time (seconds). Raises OSError
        as the storage does, StorageError when the journal cannot be read or written.
        """
        batch = self._find_batch(name)
        if batch is None:
            return False, None
        if batch.state not in FINAL:
            return True, None
        sidecar = self._layout.inbox / f"{name}{SIDECAR}"
        promised = read_promised(sidecar)
        reopened = None
        if batch.state is State.DONE and promised and promised != batch.input_sha256:
            if now - self._first_seen.setdefault(name, now) < self._grace_for(batch):
                return True, None
            refusal = checksum_mismatch(batch.input_sha256, promised)
            reopened = self._reopen(batch, refusal)
        elif promised and batch.state is State.DONE:
            _LOG.info("%s: its .done file came late and promises the very file that was scored", batch.id)
        target = self._layout.batch(batch.id).sidecar
        if target.parent.is_dir():
            os.replace(sidecar, target)
        else:
            sidecar.unlink()
        self._first_seen.pop(name, None)
        return True, reopened

    def forget_absent(self, names: Iterable[str]) -> None:
        """Forget the .done files that are no longer alone in the inbox; `names` are those that are."""
        kept = set(names)
        self._first_seen = {name: since for name, since in self._first_seen.items() if name in kept}

    def _find_batch(self, name: str) -> Batch | None:
        """Give the newest batch of a file's name that took the file in."""
        batches = self._journal.batches_of(os.fsencode(name))
        return next((batch for batch in reversed(batches) if batch.state is not State.DONE or batch.input_sha256), None)

    def _grace_for(self, batch: Batch) -> float:
        """Give how long a .done waits for a file of its own before it is taken for that of a finished batch (seconds).

        The longer ago the batch ended, the likelier the .done announces another file of the same name.
        """
        with suppress(ValueError):
            age = (datetime.now(UTC) - datetime.fromisoformat(batch.updated)).total_seconds()
            return max(self._grace, min(age / 10, _LONGEST_GRACE))
        return self._grace

    def watch_archived(self, batches: Iterable[Batch], now: float) -> None:
        """Have the archived inputs of batches that have just ended compared again, at the times in RECHECKS."""
        ended = [batch.id for batch in batches if batch.state is State.DONE and batch.claimed is not None]
        with self._lock:
            for batch_id in ended:
                for seconds in RECHECKS:
                    heapq.heappush(self._due, (now + seconds, batch_id))

    def recheck_archived(self, now: float) -> list[Batch]:
        """Compare the archived inputs that are due with their plans; give the batches that are contradicted, reopened.

        Trouble with the storage leaves the rest for the next call.
        """
        reopened = []
        while batch_id := self._take_due(now):
            try:
                batch = self._journal.find(batch_id)
                if batch is None or batch.state is not State.DONE:
                    continue
                try:
                    self._check_archived(batch)
                except FileRefusedError as error:
                    reopened.append(self._reopen(batch, error))
            except (OSError, StorageError):
                with self._lock:
                    heapq.heappush(self._due, (now, batch_id))
                break
        return reopened

    def _take_due(self, now: float) -> str:
        """Give the id of a batch that is due; empty where none is."""
        with self._lock:
            return heapq.heappop(self._due)[1] if self._due and self._due[0][0] <= now else ""

    def _check_archived(self, batch: Batch) -> None:
        path: Path = self._layout.archived(batch.id, os.fsdecode(batch.name))
        with suppress(FileNotFoundError):  # somebody has cleared the archive
            check_unchanged(path, batch.claimed, read=False, archived=True)

    def _reopen(self, batch: Batch, error: FileRefusedError) -> Batch:
        failing = self._journal.record(fail(batch, describe_refusal(error)))
        _LOG.error("%s: %s [%s]; its results are withdrawn from the outbox", batch.id, error.what, error.code)
        return failing


def find_recent(journal: Journal, count: int = 10_000) -> list[Batch]:
    """Give the batches that ended within the time of RECHECKS, for a daemon that has just started."""
    recent = []
    for batch in journal.latest(count):
        with suppress(ValueError):
            ended = datetime.fromisoformat(batch.updated).timestamp()
            if batch.state is State.DONE and time.time() - ended < RECHECKS[-1]:
                recent.append(batch)
    return recent
