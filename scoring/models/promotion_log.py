"""The log of who put which version into production, when and why: lines that are only ever appended.

    models/promotions.jsonl   one JSON document a line, oldest first

A promotion has two lines: its intent, appended before the pointer moves, and its entry, appended afterwards. So no
crash leaves a pointer that the log cannot explain. Logs of earlier versions have entries alone.

Everybody who writes holds a lock, flock(2) of the log itself, which an NFS server keeps for all hosts. A crash may
leave the last line cut; the next entry then begins on a line of its own.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

import msgspec

from scoring.atomic import FILE_MODE, sync_folder
from scoring.errors import StorageError
from scoring.failpoints import reach
from scoring.models.registry import Pin

FORMAT = 1
LOG = "promotions.jsonl"

LONGEST_LINE = 4096
"""Bytes of a line, at most: so much arrives whole or not at all on a local disk."""

LOCK_SECONDS = 20.0
"""How long to wait for somebody else who is promoting (seconds): it takes some milliseconds."""

_POLL_SECONDS = 0.02


class Action(StrEnum):
    """How a version came into production."""

    PROMOTE = "promote"
    """It was chosen."""
    ROLLBACK = "rollback"
    """It had been there before, and what replaced it was taken back."""


class LogEntry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"replaced": "from"}
):
    """A line of `models/promotions.jsonl`."""

    format: int
    """Version of this very format."""
    when: str
    """When (UTC, ISO 8601)."""
    by: str
    """Who: account and host."""
    action: Action
    """What was done."""
    why: str
    """For what reason, in words."""
    replaced: Pin | None
    """`from`: what was in production before."""
    to: Pin
    """What was from then on."""
    intent: bool = False
    """Whether this line only announces the promotion; the pointer may not have moved yet."""

    @property
    def announced(self) -> "LogEntry":
        """The line that announces this entry."""
        return msgspec.structs.replace(self, intent=True)

    def encode(self) -> bytes:
        """Give the line, its end included."""
        return msgspec.json.encode(self) + b"\n"


# Built here, at import: msgspec crashes when several threads are the first to decode one type.
_DECODER = msgspec.json.Decoder(LogEntry)


@dataclass(frozen=True)
class LogLines:
    """What stands in the log."""

    entries: tuple[LogEntry, ...]
    """What was done, oldest first; without intents."""
    pending: LogEntry | None = None
    """The entry that was announced after the last one; only the pointer tells whether it was done."""
    damage: tuple[str, ...] = ()
    """What is wrong with it, in words."""
    notes: tuple[str, ...] = ()
    """What is odd about it and does no harm, in words."""


def find_earlier(entries: Iterable[LogEntry]) -> list[Pin]:
    """Tell what a rollback goes back to, and the rollbacks after it: what was in production before, newest first."""
    pile: list[Pin] = []
    for entry in entries:
        if entry.action is Action.ROLLBACK and entry.to in pile:
            while pile[-1] != entry.to:
                pile.pop()
        elif not pile or pile[-1] != entry.to:
            pile.append(entry.to)
    return pile[-2::-1]


def find_breaks(entries: Iterable[LogEntry]) -> list[str]:
    """List, in words, where an entry replaced something else than the entry before it put there."""
    return [
        f"{LOG}: entry {number} replaced {after.replaced.version}, but {before.to.version} was in production: lines "
        "are missing or altered"
        for number, (before, after) in enumerate(pairwise(entries), 2)
        if after.replaced is not None and after.replaced != before.to
    ]


def read_lines(log: int) -> LogLines:
    """Read an open log. Raises OSError as the storage does."""
    content = os.pread(log, os.fstat(log).st_size, 0)
    entries: list[LogEntry] = []
    pending: LogEntry | None = None
    damage, notes = [], []
    announces = False
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        entry = _read_line(line)
        if entry is not None and entry.intent:
            pending, announces = msgspec.structs.replace(entry, intent=False), True
        elif entry is not None:
            if announces and entry != pending:
                damage.append(f"{LOG}: line {number} was never announced: lines are missing or altered")
            entries.append(entry)
            pending = None
        elif number == len(lines):
            notes.append(f"{LOG}: line {number} does not read: it was cut while it was written")
        else:
            damage.append(f"{LOG}: line {number} does not read")
    return LogLines(tuple(entries), pending, tuple(damage), tuple(notes))


def _read_line(line: bytes) -> LogEntry | None:
    try:
        entry = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return entry if entry.format == FORMAT else None


def append_line(log: int, entry: LogEntry) -> None:
    """Append an entry or an intent, on a line of its own whatever a crash left. Raises OSError as the storage does."""
    act = "promote.intent" if entry.intent else "promote.log"
    size = os.fstat(log).st_size
    torn = size > 0 and os.pread(log, 1, size - 1) != b"\n"
    line = (b"\n" if torn else b"") + entry.encode()
    reach("{}.before", act)
    while line:
        line = line[os.write(log, line) :]
    os.fsync(log)
    reach("{}.after", act)


@contextmanager
def locked_log(models: Path) -> Iterator[int]:
    """Hold the log, open for appending, for this process alone. Raises StorageError when somebody else keeps it."""
    path = models / LOG
    is_new = not path.exists()
    try:
        log = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise StorageError(f"The log {path} cannot be opened: {error.strerror}. Nothing was changed.") from error
    try:
        if is_new:
            # Whatever the umask of whoever came first: the group reads it, the owner alone writes.
            os.fchmod(log, FILE_MODE)
            sync_folder(models)
        _lock(log, path)
        yield log
    finally:
        os.close(log)


def _lock(log: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise StorageError(
                    f"Somebody else has been promoting for {LOCK_SECONDS:.0f} seconds: {path} is locked.",
                    "Try again; if that lasts, see which process on which host holds the file.",
                ) from error
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            raise StorageError(
                f"The storage gives no lock on {path}: {error.strerror}. Nothing was changed.",
                "Mount it with locks (NFS: without `nolock`).",
            ) from error
        else:
            return
