"""Which files in the inbox are complete: decided from repeated listings, so that a missed event costs nothing."""

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from inbox_watcher.settings.layout import SIDECAR, SUFFIXES
from scoring.errors import FileRefusedError
from scoring.plain_file import open_plain

_UNFINISHED = (".part", ".tmp", SIDECAR)

APART = 0.15
"""Two listings that are to show the same file lie at least this far apart (seconds): most of the daemon's tick."""


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
    sealed: bool = False
    """Its sidecar says that it is complete."""


@dataclass(frozen=True)
class Listing:
    """What one listing of the inbox showed."""

    deliveries: list[Sighting]
    """Everything that could be a delivery."""
    orphans: list[str]
    """Names whose sidecar is there and nothing else."""
    troubles: dict[str, str] = field(default_factory=dict)
    """Names of which the storage tells nothing, and what it says."""


def list_inbox(folder: str) -> Listing:
    """List what is in the inbox; one file that the storage tells nothing of holds up no other.

    Raises OSError as the storage does of the folder.
    """
    found = []
    troubles: dict[str, str] = {}
    sidecars: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            sidecar = entry.name.endswith(SIDECAR) and not entry.name.startswith(".")
            if is_left_alone(entry.name) and not sidecar:
                continue
            try:
                facts = _look_at(entry)
            except FileNotFoundError:
                continue  # taken back since it was listed
            except OSError as error:
                troubles[entry.name] = error.strerror or "no reason given"
                continue
            regular = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
            if not sidecar:
                times = facts.st_mtime_ns, facts.st_ctime_ns
                found.append(Sighting(entry.name, regular, facts.st_size, *times, facts.st_ino))
            elif regular:
                sidecars[entry.name.removesuffix(SIDECAR)] = facts.st_ctime_ns
    sealed = [
        # A sidecar that is older than the file was left behind by an earlier one of that name.
        replace(sighting, sealed=True) if sidecars.pop(sighting.name, -1) >= sighting.changed else sighting
        for sighting in found
    ]
    return Listing(sealed, sorted(sidecars), troubles)


def _look_at(entry: os.DirEntry[str]) -> os.stat_result:
    """Look at a name; where the storage refuses that, at the file itself, opened as `open_plain` opens it.

    An NFS server may refuse the first (EPERM) while another machine keeps what it wrote to itself; an open(2) makes
    that machine hand it over.
    """
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        try:
            with open_plain(Path(entry.path)) as file:
                return os.fstat(file.fileno())
        except FileRefusedError:
            raise error from None


def is_as_listed(facts: os.stat_result, sighting: Sighting) -> bool:
    """Tell whether an open file is still what a listing showed of it."""
    shown = sighting.inode, sighting.size, sighting.modified, sighting.changed
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns) == shown


def is_left_alone(name: str) -> bool:
    """Tell whether a name says that the file is not a delivery, or not one yet."""
    return name.startswith(".") or name.lower().endswith(_UNFINISHED)


def is_wanted(name: str) -> bool:
    """Tell whether a name is that of a file that can be scored."""
    return name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class _Memory:
    """What is remembered of a file that is not ready."""

    sighting: Sighting
    """How it was seen last."""
    since: float
    """Since when it looks like that (monotonic, seconds)."""
    cut: bool | None
    """Whether it ends within a record; None until that was looked at."""
    appeared: bool = False
    """The listing before the one that showed it first did not have its name, and it has not changed since."""
    renamed: bool = False
    """The watcher saw it being renamed into its name."""


class Arrivals:
    """Remembers when each file last changed, by this host's own clock."""

    def __init__(
        self,
        settle_seconds: float,
        truncated_seconds: float = 0.0,
        looks_cut: Callable[[Sighting], bool | None] = lambda _: False,
        empty_seconds: float | None = None,
        unseen_seconds: float = 0.0,
        is_open: Callable[[Sighting], bool] = lambda _: False,
    ) -> None:
        """Start with an empty memory.

        A file that is cut has to stand still for `truncated_seconds`; for an empty one `empty_seconds` may be less.
        `looks_cut` opens a file of the inbox and tells whether it ends too early; None: not yet, or it is no longer
        what was listed; it is to be asked again. `unseen_seconds` is how long writes of another machine may stay
        unseen here (seconds). `is_open` tells whether a process has a file open for writing; such a file is never
        complete.
        """
        self._settle = settle_seconds
        self._unseen = max(unseen_seconds, settle_seconds)
        self._patience = max(truncated_seconds, self._unseen)
        self._patience_empty = self._patience if empty_seconds is None else max(empty_seconds, self._unseen)
        self._looks_cut = looks_cut
        self._is_open = is_open
        self._seen: dict[str, _Memory] = {}
        self._listed: set[str] | None = None

    def take_ready(self, listing: Iterable[Sighting], now: float, moved_in: Iterable[str] = ()) -> list[Sighting]:
        """Give the files that are complete; forget those that are gone.

        A file is complete at once when it was seen being renamed into its name, or its sidecar is there. Any other
        has to look the same in two listings and to keep its size and times for the settle time; one that ends within
        a record is waited for longer. A file that was moved here after it was written (its name is younger than its
        content by the settle time) need not wait for that time, nor for writes that may stay unseen; only a name that
        the listing before did not have counts as moved, since utime(2), chmod(2), cp -p and unzip make the content of
        a file that is still being written look old as well. No file is complete while a process has it open for
        writing. `now` is a monotonic time (seconds). A file that is given is forgotten: it is about to be claimed.
        """
        renamed = set(moved_in)
        listed = list(listing)
        seen: dict[str, _Memory] = {}
        ready = []
        for sighting in listed:
            memory = self._recall(sighting, now, renamed)
            if memory.renamed or sighting.sealed:
                if self._is_closed(sighting):
                    ready.append(sighting)
                else:
                    seen[sighting.name] = memory
                continue
            stood = now - memory.since
            aged = (sighting.changed - sighting.modified) / 1e9 if memory.appeared else 0.0
            settle = self._settle if aged > 0 else self._unseen
            if stood >= APART and max(stood, aged) >= settle:
                late = stood >= (self._patience if sighting.size else self._patience_empty)
                memory = self._look(memory, again=late)
                if (memory.cut is False or (memory.cut and late)) and self._is_closed(sighting):
                    ready.append(sighting)
                    continue
            seen[sighting.name] = memory
        self._seen = seen
        self._listed = {sighting.name for sighting in listed}
        return ready

    def _recall(self, sighting: Sighting, now: float, renamed: set[str]) -> _Memory:
        """Give what is remembered of a file as it is now, and when it began to look like that."""
        memory = self._seen.get(sighting.name)
        if memory is not None and memory.sighting == sighting:
            return replace(memory, renamed=memory.renamed or sighting.name in renamed)
        same_file = memory is not None and memory.sighting.inode == sighting.inode
        return _Memory(
            sighting,
            now,
            None,
            appeared=self._listed is not None and sighting.name not in self._listed,
            # A writer that renames first and closes its file later has said that this name is the final one.
            renamed=sighting.name in renamed or (same_file and memory is not None and memory.renamed),
        )

    def _is_closed(self, sighting: Sighting) -> bool:
        """Tell whether no process has a file open for writing; trouble leaves it for the next listing."""
        try:
            return not self._is_open(sighting)
        except FileRefusedError:
            return True  # the claim refuses it, with the reason
        except OSError:
            return False

    def _look(self, memory: _Memory, *, again: bool) -> _Memory:
        """Look at the end of a file that stands still, once, and `again` before it is given up as cut.

        Trouble leaves it for the next listing.
        """
        if memory.cut is not None and not again:
            return memory
        memory = replace(memory, cut=None)
        try:
            return replace(memory, cut=self._looks_cut(memory.sighting))
        except (OSError, FileRefusedError):
            return memory

    @property
    def waiting(self) -> int:
        """How many files have not settled yet."""
        return len(self._seen)
