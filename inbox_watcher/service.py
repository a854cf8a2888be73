"""The daemon: list the inbox, take every batch a step further, sleep until something happens."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from dag_specs.errors import DagSpecError
from dag_specs.jobs import Scheduler
from inbox_watcher.arrivals import Arrivals, Sighting, is_wanted, list_inbox
from inbox_watcher.batch import FINAL, Batch, State
from inbox_watcher.claim import new_batch_id
from inbox_watcher.config import Site
from inbox_watcher.hints import Hints
from inbox_watcher.journal import Journal
from inbox_watcher.layout import LONGEST_NAME, Layout, StateLayout, output_stem, revision, show_name
from inbox_watcher.notify import tell_systemd
from inbox_watcher.steps import Steps
from scoring.errors import LoansError, ModelError, StorageError, describe_defect
from scoring.registry import Pin, now, read_promotion

_LOG = logging.getLogger("loans.watch")

_TICK = 0.2
"""How often running batches are looked at (seconds): one small read of a local file each."""

_GRACE = 5.0
"""How long steps in progress are waited for when the daemon is told to stop (seconds)."""

_LONGEST_PAUSE = 60.0
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
        self._arrivals = Arrivals(site.inbox.settle_seconds)
        # The one kind of channel that a signal handler may put into at any moment.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stopping = False
        self._active: dict[str, Batch] = {batch.id: batch for batch in journal.open_batches()}
        self._busy: dict[str, Future[Batch]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}
        self._listed = -site.inbox.rescan_seconds
        self._told = _Told()

    def stop(self) -> None:
        """Ask the daemon to end; safe from a signal handler."""
        self._stopping = True
        self._wake.put(None)

    def _rouse(self) -> None:
        self._wake.put(None)

    def _sleep(self, seconds: float) -> bool:
        """Sleep until something happens, `seconds` at most; tell whether something did."""
        try:
            self._wake.get(timeout=seconds)
        except Empty:
            return False
        with suppress(Empty):
            while True:
                self._wake.get_nowait()
        return True

    def run(self) -> None:
        """Serve until `stop`. Trouble with storage or pool is waited out, never a reason to end."""
        self._state.events.mkdir(mode=0o770, parents=True, exist_ok=True)
        hints = Hints(self._layout.inbox, self._rouse, self._site.inbox.rescan_seconds)
        hints.start()
        workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="step")
        _LOG.info("watching %s; %d batch(es) to go on with", self._layout.inbox, len(self._active))
        self._rouse()  # what is there already needs no hint
        tell_systemd("READY=1")
        try:
            while not self._stopping:
                idle = not self._active and not self._arrivals.waiting
                hinted = self._sleep(self._site.inbox.rescan_seconds if idle else _TICK)
                if hinted or self._arrivals.waiting or self._listing_due():
                    self._admit(hints.take_moved_in())
                self._collect()
                self._dispatch(workers)
        finally:
            tell_systemd("STOPPING=1")
            hints.stop()
            workers.shutdown(wait=False, cancel_futures=True)
            deadline = time.monotonic() + _GRACE
            for future in list(self._busy.values()):
                _wait_quietly(future, deadline - time.monotonic())
            _LOG.info("stopped; %d batch(es) will be gone on with", len(self._active))

    def _listing_due(self) -> bool:
        return time.monotonic() - self._listed >= self._site.inbox.rescan_seconds

    def _admit(self, moved_in: set[str]) -> None:
        """Turn files that are complete into batches."""
        self._listed = time.monotonic()
        try:
            listing = list_inbox(str(self._layout.inbox))
        except OSError as error:
            self._told.tell("inbox", f"the inbox cannot be listed: {error.strerror}")
            return
        self._told.settle("inbox")
        self._told.forget_absent({show_name(sighting.name) for sighting in listing})
        claimed = {os.fsdecode(batch.name) for batch in self._active.values() if batch.state is State.CLAIMING}
        wanted = [sighting for sighting in listing if sighting.name not in claimed and self._is_sound(sighting)]
        ready = self._arrivals.take_ready(wanted, self._listed, moved_in)
        if not ready:
            return
        try:
            promotion = read_promotion(self._layout.models)
        except ModelError as error:
            self._told.tell("model", error.what)
            return
        if promotion is None:
            self._told.tell("model", f"{len(ready)} file(s) wait: no model is in production; `loans retrain` makes one")
            return
        self._told.settle("model")
        for sighting in ready:
            try:
                self._open(sighting.name, promotion.pin)
                self._told.settle("journal")
            except (OSError, StorageError) as error:
                self._told.tell("journal", f"a file cannot be taken in: {error}")
                return  # it is still in the inbox, and is seen again at the next listing

    def _is_sound(self, sighting: Sighting) -> bool:
        shown = show_name(sighting.name)
        if not sighting.regular:
            self._told.tell(shown, f"{shown!r} in the inbox is no plain file with one name; it is left alone")
            return False
        if not is_wanted(sighting.name):
            self._told.tell(shown, f"{shown!r} in the inbox is neither .csv nor .csv.gz; it is left alone")
            return False
        return True

    def _open(self, name: str, pin: Pin) -> None:
        when = now()
        batch = Batch(
            id=new_batch_id(),
            name=os.fsencode(name),
            state=State.CLAIMING,
            created=when,
            updated=when,
            output=self._choose_output(name),
            model=pin,
        )
        self._active[batch.id] = self._journal.record(batch)
        _LOG.info("%s: a file arrived", batch.id)

    def _choose_output(self, name: str) -> str:
        stem = output_stem(name)
        number = 1
        while self._is_taken(revision(stem, number)):
            number += 1
        return revision(stem, number)

    def _is_taken(self, output: str) -> bool:
        published = self._layout.result(output, "predictions.csv")
        return self._journal.has_output(output) or (
            len(os.fsencode(published.name)) <= LONGEST_NAME and os.path.lexists(published)
        )

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


class _Told:
    """Says a trouble once, and again only when it comes back after it was over."""

    def __init__(self) -> None:
        self._standing: dict[str, str] = {}

    def tell(self, subject: str, message: str) -> None:
        """Say what is wrong with a subject, unless just that was said last."""
        if self._standing.get(subject) != message:
            self._standing[subject] = message
            _LOG.warning("%s", message)

    def settle(self, subject: str) -> None:
        """Take note that nothing is wrong with a subject any more."""
        self._standing.pop(subject, None)

    def forget_absent(self, names: set[str]) -> None:
        """Forget the files of the inbox that are gone."""
        for subject in set(self._standing) - names - {"inbox", "model", "journal"}:
            del self._standing[subject]


def _wait_quietly(future: Future[Batch], seconds: float) -> None:
    try:
        future.result(max(seconds, 0.0))
    except Exception:  # noqa: BLE001 (whatever a last step met, it is done again at the next start)
        return
