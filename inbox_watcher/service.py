"""The daemon: list the inbox, take every batch a step further, sleep until something happens."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec

from dag_specs.errors import DagSpecError
from dag_specs.jobs import Scheduler
from inbox_watcher.agenda import Agenda, Task, TaskKind
from inbox_watcher.batch.batch import Batch, State, pause_after
from inbox_watcher.batch.identity import OnItsWayError
from inbox_watcher.batch.journal import Journal
from inbox_watcher.inbox.admission import Admission
from inbox_watcher.inbox.hints import Hints
from inbox_watcher.notify import Heartbeat, tell_systemd
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from scoring.atomic import remove_abandoned
from scoring.errors import LoansError, StorageError, describe_defect

_LOG = logging.getLogger("loans.watch")

_TICK = 0.1
"""How often jobs are looked at (seconds): one small read of a local file for each cluster."""

_GRACE = 5.0
"""How long steps in progress are waited for when the daemon is told to stop (seconds)."""

_SHORTEST_PAUSE = 1.0
"""Wait before a step that failed for the first time is tried again (seconds)."""

_LONGEST_PAUSE = 30.0
"""Longest wait before a step that failed is tried again (seconds)."""

_WORKERS = 4
"""Steps at a time: two cores' worth, and as many that wait for storage."""


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
        self._agenda = Agenda(journal.open_batches())
        self._busy: dict[Future[list[Batch]], Task] = {}
        self._ended: SimpleQueue[Future[list[Batch]]] = SimpleQueue()
        self._pauses: dict[str, float] = {}
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
        """Serve until `stop`. Trouble with storage or pool is waited out, never a reason to end.

        Raises StorageError when somebody removes the journal meanwhile: what is done could not be written down.
        """
        self._state.events.mkdir(mode=0o770, parents=True, exist_ok=True)
        hints = Hints(self._layout.inbox, self._rouse, self._site.inbox.rescan_seconds)
        hints.start()
        workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="step")
        # Looks at jobs are many and short; they do not stand in line behind files.
        followers = ThreadPoolExecutor(2, thread_name_prefix="jobs")
        # Storage that hangs may hold up these threads for ever; the loop goes on, and they are left behind at the end.
        lister = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        _LOG.info("watching %s; %d batch(es) to go on with", self._layout.inbox, len(self._agenda))
        with suppress(OSError):
            workers.submit(self._steps.clear_away, self._steps.find_leftovers(self._journal.open_batches()))
        self._rouse()  # what is there already needs no hint
        tell_systemd("READY=1")
        heartbeat = Heartbeat()
        try:
            while not self._stopping:
                idle = not len(self._agenda) and not self._admission.waiting
                self._sleep(min(self._site.inbox.rescan_seconds if idle else _TICK, heartbeat.period / 2))
                heartbeat.beat()
                if self._listing is None and (hints.take_changed() or self._listing_due()):
                    self._start_listing(lister, hints.take_moved_in())
                self._take_in()
                self._collect()
                self._dispatch(workers, followers)
                if not self._journal.is_in_place():
                    raise StorageError(
                        f"The journal {self._state.journal} was removed while the daemon ran; the daemon ends.",
                        "Start it again: it makes a new one and goes on with every unfinished file in ROOT/batches.",
                    )
        finally:
            tell_systemd("STOPPING=1")
            hints.stop()
            workers.shutdown(wait=False, cancel_futures=True)
            followers.shutdown(wait=False, cancel_futures=True)
            lister.shutdown(wait=False, cancel_futures=True)
            deadline = time.monotonic() + _GRACE
            for future in list(self._busy):
                _wait_quietly(future, deadline - time.monotonic())
            _LOG.info("stopped; %d batch(es) will be gone on with", len(self._agenda))

    def _clean_up(self, open_batches: list[str]) -> None:
        """Remove what was left half written when a daemon was killed or storage refused; it was never published."""
        folders = [self._layout.outbox, self._layout.failed, *(self._layout.batch(name).root for name in open_batches)]
        try:
            count = sum(map(remove_abandoned, folders))
        except OSError:
            self._unclean = True  # what is wrong is told by the listing that follows
            return
        if not self._steps.clear_away():
            self._unclean = True
        if count:
            _LOG.info("%d half-written file(s) removed", count)

    def _listing_due(self) -> bool:
        period = _TICK if self._admission.waiting else self._site.inbox.rescan_seconds
        return time.monotonic() - self._listed >= period

    def _start_listing(self, lister: ThreadPoolExecutor, moved_in: set[str]) -> None:
        self._listed = time.monotonic()
        if self._unclean:
            self._unclean = False
            lister.submit(self._clean_up, self._agenda.open_ids)
        self._listing = lister.submit(self._admission.admit, moved_in, self._agenda.names_being_claimed())
        self._listing.add_done_callback(lambda _: self._rouse())

    def _take_in(self) -> None:
        """Take the new batches of a listing that has ended."""
        if self._listing is None or not self._listing.done():
            return
        listing, self._listing = self._listing, None
        try:
            for batch in listing.result():
                self._agenda.put(batch, time.monotonic())
        except Exception as error:  # noqa: BLE001 (a defect in one listing must not end the daemon)
            _LOG.error("the inbox was not taken in: %s", describe_defect(error))

    def _dispatch(self, workers: ThreadPoolExecutor, followers: ThreadPoolExecutor) -> None:
        """Start what is due: looks at jobs, jobs for small files, and steps for as many workers as are free."""
        moment = time.monotonic()
        self._agenda.wake(moment)
        for task in self._agenda.take_looks(moment, _TICK):
            self._start(followers, task)
        for task in self._agenda.take_groups(self._steps.places, self._site.scoring.attempts, moment):
            self._start(workers, task)
        while sum(task.in_line for task in self._busy.values()) < _WORKERS:
            step = self._agenda.take_step(self._steps.may_submit, moment)
            if step is None:
                break
            self._start(workers, step)

    def _start(self, workers: ThreadPoolExecutor, task: Task) -> None:
        future = workers.submit(self._do, task)
        self._busy[future] = task
        future.add_done_callback(self._ended.put)
        if task.in_line:
            future.add_done_callback(lambda _: self._rouse())

    def _do(self, task: Task) -> list[Batch]:
        if task.kind is TaskKind.SUBMIT_GROUP:
            return self._steps.submit_group(task.batches)
        if task.kind is TaskKind.FOLLOW_GROUP:
            return self._steps.follow_group(task.batches[0].group, task.batches)
        return [self._steps.take(task.batches[0])]

    def _collect(self) -> None:
        """Take note of what the steps that ended have come to."""
        with suppress(Empty):
            while True:
                future = self._ended.get_nowait()
                task = self._busy.pop(future)
                try:
                    batches = future.result()
                except OnItsWayError as error:
                    self._wait(task, error)
                except (OSError, DagSpecError, LoansError) as error:
                    self._pause(task, error, _describe(error))
                except Exception as error:  # noqa: BLE001 (a defect that one file meets must not stop the others)
                    self._pause(task, error, describe_defect(error))
                else:
                    self._take_on(task, batches)

    def _take_on(self, task: Task, batches: list[Batch]) -> None:
        moment = time.monotonic()
        for batch in map(self._settle, batches):
            # What the storage kept from its end goes out again, but not at once.
            self._agenda.put(batch, moment, pause_after(batch.setbacks) if batch.state is State.PLANNED else 0.0)
        self._admission.watch_archived(batches)
        told = {batch.id for batch in batches}
        for batch in task.batches:
            if batch.id not in told:
                self._agenda.put(self._settle(batch), moment)

    def _settle(self, batch: Batch) -> Batch:
        """Take note that nothing keeps a batch from going on any more."""
        self._pauses.pop(batch.id, None)
        if batch.trouble:
            batch = msgspec.structs.replace(batch, trouble="")
            with suppress(StorageError):
                self._journal.record(batch)
        return batch

    def _pause(self, task: Task, error: Exception, reason: str) -> None:
        """Wait longer after each failure in a row; say so each time. What the journal knows by then counts."""
        self._unclean = True
        if isinstance(error, DagSpecError):
            self._pool = None
        pause = self._put_off(task, reason)
        _LOG.error("%s: %s; tried again in %.0f s", task.name, reason.rstrip("."), pause)

    def _wait(self, task: Task, reason: Exception) -> None:
        """Wait for something that is well under way."""
        pause = self._put_off(task, str(reason))
        _LOG.info("%s: %s It is looked at again in %.0f s", task.name, reason, pause)

    def _put_off(self, task: Task, reason: str) -> float:
        """Put the batches of a task off for longer than the last time in a row; give for how long (seconds).

        The reason is journaled for whoever asks, where the journal takes it.
        """
        before = max(self._pauses.get(batch.id, 0.0) for batch in task.batches)
        pause = min(max(2 * before, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        due = time.monotonic() + pause
        latest = []
        for batch in task.batches:
            self._pauses[batch.id] = pause
            known = None
            with suppress(StorageError):
                known = self._journal.find(batch.id)
            latest.append(known or batch)
        if any(batch.trouble != reason for batch in latest):
            latest = [msgspec.structs.replace(batch, trouble=reason) for batch in latest]
            with suppress(StorageError):
                self._journal.record_many(latest)
        for batch in latest:
            self._agenda.put_later(batch, due)
        return pause

    @contextmanager
    def _scheduler(self) -> Iterator[Scheduler]:
        """Lend the pool to one step at a time: HTCondor's bindings serve one caller."""
        with self._pool_lock:
            if self._pool is None:
                self._pool = self._connect()
            yield self._pool


def _describe(error: Exception) -> str:
    """Say what the storage or the pool objects to, and of which file; nothing of what stands in it."""
    if not isinstance(error, OSError):
        return str(error)
    names = [repr(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{error.strerror}: {' -> '.join(names)}" if names else error.strerror or type(error).__name__


def _wait_quietly(future: Future[list[Batch]], seconds: float) -> None:
    try:
        future.result(max(seconds, 0.0))
    except Exception:  # noqa: BLE001 (whatever a last step met, it is done again at the next start)
        return
