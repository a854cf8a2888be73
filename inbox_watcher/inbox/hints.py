"""Hints that something changed in the inbox. They only make the daemon quick; its own listing is the truth."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper
from watchdog.observers.polling import PollingObserver

from inbox_watcher.settings.mounts import is_network_filesystem

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

_LOG = logging.getLogger("loans.watch")

# It calls it an error when a file changes while the watcher is being stopped.
logging.getLogger("watchdog").setLevel(logging.CRITICAL)

# A claim renames a file out of the inbox; that holds back every later event for this long (seconds; 0.5 as shipped),
# in case the other half of the rename follows, which the kernel tells at the same moment.
InotifyMoveEventGrouper.delay = 0.02


_STOP_SECONDS = 1.0
"""How long stopping may take (seconds)."""


class Hints(FileSystemEventHandler):
    """Collects the names of files that were renamed into the inbox, and wakes the daemon at every change."""

    def __init__(self, folder: Path, wake: Callable[[], object], polling_seconds: float) -> None:
        """Watch `folder`: by the kernel's events where it is local, by polling where others write to it unseen."""
        self._wake = wake
        self._folder = str(folder)
        self._lock = threading.Lock()
        self._moved_in: set[str] = set()
        self._changed = False
        self.native = not is_network_filesystem(folder)
        self._observer: BaseObserver = Observer() if self.native else PollingObserver(timeout=polling_seconds)
        self._observer.schedule(
            self,
            self._folder,
            event_filter=[FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileClosedEvent],
        )

    def start(self) -> None:
        """Start watching; without it the daemon is slower, never wrong, so trouble is only told."""
        try:
            self._observer.start()
        except OSError as error:
            _LOG.warning("the inbox is not watched, only listed: %s", error.strerror)

    def stop(self) -> None:
        """Stop watching; a poll that hangs with its storage is left behind, since stopping waits for it."""
        if self._observer.is_alive():
            stopping = threading.Thread(target=self._observer.stop, name="hints", daemon=True)
            stopping.start()
            stopping.join(_STOP_SECONDS)

    def take_changed(self) -> bool:
        """Tell whether anything changed in the inbox since the last call."""
        with self._lock:
            changed, self._changed = self._changed, False
        return changed

    def take_moved_in(self) -> set[str]:
        """Give the names that were renamed into the inbox since the last call."""
        with self._lock:
            taken, self._moved_in = self._moved_in, set()
        return taken

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note a rename and wake the daemon. Never raises: a handler that raises ends its observer."""
        if isinstance(event, FileMovedEvent) and event.dest_path:
            folder, _, name = str(event.dest_path).rpartition("/")
            if folder == self._folder:
                with self._lock:
                    self._moved_in.add(name)
        with self._lock:
            self._changed = True
        self._wake()
