"""Reads an event log as it grows: what is new since the last look, and whether the log is still the same one.

HTCondor's own `JobEventLog` reads as fast (80,000 events per second), but all readers of a process wait for
one mutex (2.8 s behind one that waits 3 s for an event), a torn event is raised once and lost, a log that was
truncated, replaced or deleted just ends, and its position can be kept only as a pickle.  This reader holds no
lock and no open file, leaves an unfinished event for the next look, tells what became of the log, and its
position is two small values that can be written down.
"""

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dag_specs.errors import SchedulerError
from dag_specs.events import HEADER, JobEvent, parse_event

_END = b"\n...\n"
_TAIL = 64
_READ = 4 << 20


class LogCondition(StrEnum):
    """What became of a log since the last look."""

    INTACT = "intact"
    """It is as it was, or has grown."""
    MISSING = "missing"
    """It is not there: not yet, or no more."""
    REPLACED = "replaced"
    """It is shorter, or other bytes stand where this reader was: it was read from the start, events may come again."""
    UNREADABLE = "unreadable"
    """The operating system refuses to read it."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a log was read; written down, it lets another process go on."""

    offset: int = 0
    """Bytes that were read."""
    tail: bytes = b""
    """The last bytes before `offset`, at most 64: by them another log in the same place is told from this one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look found."""

    events: tuple[JobEvent, ...]
    """New events, in the log's order."""
    condition: LogCondition
    """What became of the log."""
    damaged: int
    """Pieces between events that are no events: a torn write, or the log's format is not the text one."""
    position: LogPosition
    """How far the log is read now."""
    more: bool
    """Whether more was there than one look reads (4 MB)."""


class EventLog:
    """The event log at a path, which need not be there yet."""

    def __init__(self, path: Path, position: LogPosition | None = None) -> None:
        """Read from `position` on: where an earlier reader stopped, or None for the start."""
        self._path = path
        self._position = position or LogPosition()

    @property
    def position(self) -> LogPosition:
        """How far the log is read."""
        return self._position

    def read(self) -> Reading:
        """Return what is new.  Never raises for the state of the log, never waits for events.

        An event that is not finished yet is left for the next look.
        """
        try:
            condition, data, more = self._read_new()
        except OSError as error:
            missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
            condition = LogCondition.MISSING if missing else LogCondition.UNREADABLE
            return Reading((), condition, 0, self._position, more=False)
        events, damaged, used = split_events(data)
        tail = (self._position.tail + data[:used])[-_TAIL:]
        self._position = LogPosition(self._position.offset + used, tail)
        return Reading(events, condition, damaged, self._position, more)

    def _read_new(self) -> tuple[LogCondition, bytes, bool]:
        with self._path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            kept = self._position.tail
            start = self._position.offset - len(kept)
            condition = LogCondition.INTACT
            file.seek(start)
            if file.read(len(kept)) != kept:
                condition = LogCondition.REPLACED
                self._position = LogPosition()
                file.seek(0)
            data = file.read(_READ)
            # An event larger than one look would never end: the look grows with it.
            while len(data) % _READ == 0 and data and _END not in data:
                further = file.read(_READ)
                data += further
                if not further:
                    break
            return condition, data, self._position.offset + len(data) < size


def split_events(data: bytes) -> tuple[tuple[JobEvent, ...], int, int]:
    """Return the finished events in a piece of a log, the number of damaged pieces, and the bytes they take.

    `data` begins where an event ends.  What follows the last `...` line is not finished and takes no bytes.
    """
    stop = data.rfind(_END)
    if stop < 0:
        return (), 0, 0
    used = stop + len(_END)
    events: list[JobEvent] = []
    damaged = 0
    for block in data[:used].split(_END)[:-1]:
        # A writer that died leaves a piece without an end, and the next event follows in the same block.
        starts = [header.start() for header in HEADER.finditer(block)]
        if not starts:
            damaged += 1
            continue
        damaged += int(starts[0] > 0)
        for start, end in zip(starts, [*starts[1:], len(block)], strict=True):
            whole = end == len(block)
            event = parse_event(block[start:end]) if whole else None
            if event is None:
                damaged += 1
            else:
                events.append(event)
    return tuple(events), damaged, used


def create_log(path: Path) -> bool:
    """Make an empty event log that HTCondor can append to, for the owner and the group only (mode 0660).

    Tells whether it was made now; one that stands already is left as it is. A job whose log cannot be written runs and
    tells nothing, so this is proved before it is submitted. Raises SchedulerError when the log cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
        try:
            log = os.open(path, flags | os.O_EXCL, 0o660)
            made = True
        except FileExistsError:
            log = os.open(path, flags, 0o660)
            made = False
        os.close(log)
    except OSError as error:
        raise SchedulerError(
            f"HTCondor's event log {path} cannot be written: {error.strerror}.",
            "Check that the site's folder for local state is on a local disk of this machine, writable and not full.",
        ) from error
    return made
