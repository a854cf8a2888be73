"""The daemon: list the inbox, take every batch a step further, sleep until something happens."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from dag_specs.errors import DagSpecError
from dag_specs.jobs import Scheduler
from inbox_watcher.admission import Admission
from inbox_watcher.batch import FINAL, Batch, State
from inbox_watcher.config import Site
from inbox_watcher.hints import Hints
from inbox_watcher.journal import Journal
from inbox_watcher.layout import Layout, StateLayout
from inbox_watcher.notify import tell_systemd
from inbox_watcher.steps import Steps
from scoring.atomic import remove_abandoned
from scoring.errors import LoansError, StorageError, describe_defect

_LOG = logging.getLogger("loans.watch")

_TICK = 0.2
"""How often running batches are looked at (seconds): one small read of a local file each."""

_GRACE = 5.0
"""How long steps in progress are waited for when the daemon is told to stop (seconds)."""

_LONGEST_PAUSE = 30.0
"""Longest wait before a step that failed is tried again (seconds)."""

_WORKERS = 4


class Watcher:
    """One run of the daemon for one site."""

    def __init__(self, site: Site, journal: Journal, connect: Callable[[], Scheduler]) -> None:
        """Serve `site`; `connect` reaches the pool, or raises SchedulerError."""
        self._layout = Layout(Path(site.root))
        self._state = StateLayout(Path(site.state))
        self._site = site
        self._journal = journal
        self._connect = connect
        self._pool: Scheduler | None = None
        self._pool_lock = threading.Lock()
        self._steps = Steps(site, journal, self._scheduler)
        self._admission = Admission(site, journal)
        self._listing: Future[list[Batch]] | None = None
        # The one kind of channel that a signal handler may put into at any moment.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stopping = False
        self._unclean = True
        self._active: dict[str, Batch] = {batch.id: batch for batch in journal.open_batches()}
        self._busy: dict[str, Future[Batch]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}
        self._listed = -site.inbox.rescan_seconds

    def stop(self) -> None:
        """Ask the daemon to end; safe from a signal handler."""
        self._stopping = True
        self._wake.put(None)

    def _rouse(self) -> None:
        self._wake.put(None)

    def _sleep(self, seconds: float) -> None:
        """Sleep until something happens, `seconds` at most."""
        with suppress(Empty):
            self._wake.get(timeout=seconds)
            while True:
                self._wake.get_nowait()

    def run(self) -> None:
        """Serve until `stop`. Trouble with storage or pool is waited out, never a reason to end."""
        self._state.events.mkdir(mode=0o770, parents=True, exist_ok=True)
        hints = Hints(self._layout.inbox, self._rouse, self._site.inbox.rescan_seconds)
        hints.start()
        workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="step")
        # Storage that hangs may hold up these threads for ever; the loop goes on, and they are left behind at the end.
        lister = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        _LOG.info("watching %s; %d batch(es) to go on with", self._layout.inbox, len(self._active))
        self._rouse()  # what is there already needs no hint
        tell_systemd("READY=1")
        try:
            while not self._stopping:
                idle = not self._active and not self._admission.waiting
                self._sleep(self._site.inbox.rescan_seconds if idle else _TICK)
                if self._listing is None and (hints.take_changed() or self._listing_due()):
                    self._start_listing(lister, hints.take_moved_in())
                self._take_in()
                self._collect()
                self._dispatch(workers)
        finally:
            tell_systemd("STOPPING=1")
            hints.stop()
            workers.shutdown(wait=False, cancel_futures=True)
            lister.shutdown(wait=False, cancel_futures=True)
            deadline = time.monotonic() + _GRACE
            for future in list(self._busy.values()):
                _wait_quietly(future, deadline - time.monotonic())
            _LOG.info("stopped; %d batch(es) will be gone on with", len(self._active))

    def _clean_up(self, open_batches: list[str]) -> None:
        """Remove what was left half written when a daemon was killed or storage refused; it was never published."""
        folders = [self._layout.outbox, self._layout.failed, *(self._layout.batch(name).root for name in open_batches)]
        try:
            count = sum(map(remove_abandoned, folders))
        except OSError:
            self._unclean = True  # what is wrong is told by the listing that follows
            return
        if count:
            _LOG.info("%d half-written file(s) removed", count)

    def _listing_due(self) -> bool:
        period = _TICK if self._admission.waiting else self._site.inbox.rescan_seconds
        return time.monotonic() - self._listed >= period

    def _start_listing(self, lister: ThreadPoolExecutor, moved_in: set[str]) -> None:
        self._listed = time.monotonic()
        if self._unclean:
            self._unclean = False
            lister.submit(self._clean_up, list(self._active))
        claiming = [batch.name for batch in self._active.values() if batch.state is State.CLAIMING]
        self._listing = lister.submit(self._admission.admit, moved_in, claiming)
        self._listing.add_done_callback(lambda _: self._rouse())

    def _take_in(self) -> None:
        """Take the new batches of a listing that has ended."""
        if self._listing is None or not self._listing.done():
            return
        listing, self._listing = self._listing, None
        try:
            self._active.update((batch.id, batch) for batch in listing.result())
        except Exception as error:  # noqa: BLE001 (a defect in one listing must not end the daemon)
            _LOG.error("the inbox was not taken in: %s", describe_defect(error))

    def _dispatch(self, workers: ThreadPoolExecutor) -> None:
        moment = time.monotonic()
        for batch_id, batch in self._active.items():
            if batch_id in self._busy or self._pauses.get(batch_id, (0.0, 0.0))[0] > moment:
                continue
            self._busy[batch_id] = workers.submit(self._steps.take, batch)
            if batch.state is not State.RUNNING:
                self._busy[batch_id].add_done_callback(lambda _: self._rouse())

    def _collect(self) -> None:
        for batch_id, future in list(self._busy.items()):
            if not future.done():
                continue
            del self._busy[batch_id]
            try:
                batch = future.result()
            except (OSError, DagSpecError, LoansError) as error:
                self._pause(batch_id, error, (error.strerror or "") if isinstance(error, OSError) else str(error))
                continue
            except Exception as error:  # noqa: BLE001 (a defect that one file meets must not stop the others)
                self._pause(batch_id, error, describe_defect(error))
                continue
            self._pauses.pop(batch_id, None)
            if batch.state in FINAL:
                del self._active[batch_id]
            else:
                self._active[batch_id] = batch

    def _pause(self, batch_id: str, error: Exception, reason: str) -> None:
        """Wait longer after each failure in a row; say so each time. What the journal knows by then counts."""
        pause = min(max(self._pauses.get(batch_id, (0.0, 0.0))[1] * 2, 1.0), _LONGEST_PAUSE)
        self._pauses[batch_id] = (time.monotonic() + pause, pause)
        _LOG.error("%s: %s; tried again in %.0f s", batch_id, reason, pause)
        self._unclean = True
        if isinstance(error, DagSpecError):
            self._pool = None
        with suppress(StorageError):
            self._active[batch_id] = self._journal.find(batch_id) or self._active[batch_id]

    @contextmanager
    def _scheduler(self) -> Iterator[Scheduler]:
        """Lend the pool to one step at a time: HTCondor's bindings serve one caller."""
        with self._pool_lock:
            if self._pool is None:
                self._pool = self._connect()
            yield self._pool


def _wait_quietly(future: Future[Batch], seconds: float) -> None:
    try:
        future.result(max(seconds, 0.0))
    except Exception:  # noqa: BLE001 (whatever a last step met, it is done again at the next start)
        return
