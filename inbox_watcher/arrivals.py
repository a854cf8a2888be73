"""Which files in the inbox are complete: decided from repeated listings, so that a missed event costs nothing."""

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from inbox_watcher.layout import SIDECAR, SUFFIXES
from scoring.errors import FileRefusedError

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


def list_inbox(folder: str) -> Listing:
    """List what is in the inbox. Raises OSError as the storage does."""
    found = []
    sidecars: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            sidecar = entry.name.endswith(SIDECAR) and not entry.name.startswith(".")
            if is_left_alone(entry.name) and not sidecar:
                continue
            try:
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # taken back since it was listed
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
    return Listing(sealed, sorted(sidecars))


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


class Arrivals:
    """Remembers when each file last changed, by this host's own clock."""

    def __init__(
        self,
        settle_seconds: float,
        truncated_seconds: float = 0.0,
        looks_cut: Callable[[str], bool | None] = lambda _: False,
        empty_seconds: float | None = None,
    ) -> None:
        """Start with an empty memory.

        A file that is cut has to stand still for `truncated_seconds`; for an empty one `empty_seconds` may be less.
        `looks_cut` tells whether a file in the inbox ends too early; None: not yet, it is to be asked again.
        """
        self._settle = settle_seconds
        self._patience = max(truncated_seconds, settle_seconds)
        self._patience_empty = self._patience if empty_seconds is None else max(empty_seconds, settle_seconds)
        self._looks_cut = looks_cut
        self._seen: dict[str, _Memory] = {}

    def take_ready(self, listing: Iterable[Sighting], now: float, moved_in: Iterable[str] = ()) -> list[Sighting]:
        """Give the files that are complete; forget those that are gone.

        A file is complete at once when it was seen being renamed into its name, or its sidecar is there. Any other
        has to look the same in two listings, and stand still for the settle time or have a name that is younger than
        its content by that time (it was moved here after it was written); one that ends within a record is waited
        for longer. `now` is a monotonic time (seconds). A file that is given is forgotten: it is about to be claimed.
        """
        renamed = set(moved_in)
        seen: dict[str, _Memory] = {}
        ready = []
        for sighting in listing:
            memory = self._seen.get(sighting.name)
            if memory is None or memory.sighting != sighting:
                memory = _Memory(sighting, now, None)
            if sighting.name in renamed or sighting.sealed:
                ready.append(sighting)
                continue
            stood = now - memory.since
            aged = (sighting.changed - sighting.modified) / 1e9
            if stood >= APART and max(stood, aged) >= self._settle:
                memory = self._look(memory)
                patience = self._patience if sighting.size else self._patience_empty
                if memory.cut is False or (memory.cut and stood >= patience):
                    ready.append(sighting)
                    continue
            seen[sighting.name] = memory
        self._seen = seen
        return ready

    def _look(self, memory: _Memory) -> _Memory:
        """Look at the end of a file that stands still, once; trouble leaves it for the next listing."""
        if memory.cut is not None:
            return memory
        try:
            return replace(memory, cut=self._looks_cut(memory.sighting.name))
        except (OSError, FileRefusedError):
            return memory

    @property
    def waiting(self) -> int:
        """How many files have not settled yet."""
        return len(self._seen)
