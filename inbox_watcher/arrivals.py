"""Which files in the inbox are complete: decided from repeated listings, so that a missed event costs nothing."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from inbox_watcher.layout import SUFFIXES

_UNFINISHED = (".part", ".tmp", ".done")


@dataclass(frozen=True)
class Sighting:
    """One file as one listing of the inbox showed it."""

    name: str
    """Its name (undecodable bytes as surrogates)."""
    regular: bool
    """A plain file with one link; anything else is never opened."""
    size: int
    """Bytes."""
    modified: int
    """Modification time (nanoseconds since 1970)."""
    changed: int
    """Time of the last change to the file or its name (nanoseconds since 1970, by the same clock)."""
    inode: int
    """Which file it is."""


def list_inbox(folder: str) -> list[Sighting]:
    """List the files of the inbox that could be deliveries. Raises OSError as the storage does."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_left_alone(entry.name) or entry.is_dir(follow_symlinks=False):
                continue
            try:
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # taken back since it was listed
            regular = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
            sighting = Sighting(entry.name, regular, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
            found.append(sighting)
    return found


def is_left_alone(name: str) -> bool:
    """Tell whether a name says that the file is not a delivery, or not one yet."""
    return name.startswith(".") or name.lower().endswith(_UNFINISHED)


def is_wanted(name: str) -> bool:
    """Tell whether a name is that of a file that can be scored."""
    return name.lower().endswith(SUFFIXES)


class Arrivals:
    """Remembers when each file last changed, by this host's own clock."""

    def __init__(self, settle_seconds: float) -> None:
        """Start with an empty memory."""
        self._settle = settle_seconds
        self._seen: dict[str, tuple[Sighting, float]] = {}

    def take_ready(self, listing: Iterable[Sighting], now: float, moved_in: Iterable[str] = ()) -> list[Sighting]:
        """Give the files that stood still for the settle time, or were renamed into place; forget those that are gone.

        A file whose name is younger than its content by the settle time was renamed here after it was written.
        `now` is a monotonic time (seconds). A file that is given is forgotten: it is about to be claimed.
        """
        renamed = set(moved_in)
        seen: dict[str, tuple[Sighting, float]] = {}
        ready = []
        for sighting in listing:
            before, since = self._seen.get(sighting.name, (None, now))
            if before != sighting:
                since = now
            aged = (sighting.changed - sighting.modified) / 1e9
            if sighting.name in renamed or max(now - since, aged) >= self._settle:
                ready.append(sighting)
            else:
                seen[sighting.name] = (sighting, since)
        self._seen = seen
        return ready

    @property
    def waiting(self) -> int:
        """How many files have not settled yet."""
        return len(self._seen)
