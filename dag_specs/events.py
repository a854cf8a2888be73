"""Events of HTCondor jobs, as the event log of a cluster or of a DAG tells them.

The log is text: each event a header line (`NNN (CLUSTER.PROC.SUBPROC) DATE TIME TEXT`), indented
lines, and a line `...`.  See "Job Event Log Codes" in HTCondor's manual.
"""

import errno
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from dag_specs.errors import SchedulerError


class EventKind(StrEnum):
    """What happened to a job."""

    SUBMITTED = "submitted"
    EXECUTING = "executing"
    EVICTED = "evicted"
    TERMINATED = "terminated"
    IMAGE_SIZE = "image size"
    SHADOW_EXCEPTION = "shadow exception"
    ABORTED = "aborted"
    HELD = "held"
    RELEASED = "released"
    DISCONNECTED = "disconnected"
    RECONNECTED = "reconnected"
    RECONNECT_FAILED = "reconnect failed"
    CLUSTER_SUBMITTED = "cluster submitted"
    CLUSTER_REMOVED = "cluster removed"
    OTHER = "other"


KINDS: Mapping[int, EventKind] = MappingProxyType(
    {
        0: EventKind.SUBMITTED,
        1: EventKind.EXECUTING,
        4: EventKind.EVICTED,
        5: EventKind.TERMINATED,
        6: EventKind.IMAGE_SIZE,
        7: EventKind.SHADOW_EXCEPTION,
        9: EventKind.ABORTED,
        12: EventKind.HELD,
        13: EventKind.RELEASED,
        22: EventKind.DISCONNECTED,
        23: EventKind.RECONNECTED,
        24: EventKind.RECONNECT_FAILED,
        35: EventKind.CLUSTER_SUBMITTED,
        36: EventKind.CLUSTER_REMOVED,
    }
)
"""By the number that an event's header begins with; any other number is OTHER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One event of one job."""

    kind: EventKind
    """What happened."""
    number: int
    """HTCondor's number of the kind."""
    cluster: int
    """Of the job."""
    proc: int
    """Of the job; -1 for an event of the whole cluster."""
    time: float
    """When, by the submit node's clock (seconds since 1970; whole seconds unless the pool logs finer ones)."""
    host: str = ""
    """Where an executing job runs."""
    exit_code: int | None = None
    """Of a job that ended by itself."""
    exit_signal: int | None = None
    """Of a job that a signal ended."""
    hold_code: int | None = None
    """Of a held job."""
    hold_subcode: int | None = None
    """Of a held job; often an errno."""
    memory_mb: int | None = None
    """Memory used, where the event tells it (MB)."""
    node: str = ""
    """Of a job that DAGMan submitted: its node's name."""
    reason: str = ""
    """Why it was held, released, aborted, evicted or lost, in HTCondor's words."""


HEADER = re.compile(
    rb"^(?P<number>\d{3}) \((?P<cluster>\d+)\.(?P<proc>-?\d+)\.(?:-?\d+)\) "
    rb"(?P<time>(?:\d{4}-\d\d-\d\d|\d\d/\d\d(?:/\d\d)?)[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z?) (?P<text>.*)$",
    re.MULTILINE,
)
"""The first line of an event.  No other line of an event begins at the margin, except its end."""

_HOST = re.compile(r"host: <([^>?]*)(?:\?([^>]*))?>")
_ALIAS = re.compile(r"(?:^|&)alias=([^&]*)")
_SLOT = re.compile(r"^\s*SlotName: (.*)$", re.MULTILINE)
_NODE = re.compile(r"^\s*DAG Node: (.*)$", re.MULTILINE)
_EXIT_CODE = re.compile(r"Normal termination \(return value (-?\d+)\)")
_EXIT_SIGNAL = re.compile(r"Abnormal termination \(signal (\d+)\)")
_HOLD_CODE = re.compile(r"^\s*Code (\d+) Subcode (-?\d+)", re.MULTILINE)
_MEMORY = re.compile(r"^\s*(\d+)\s+-\s+MemoryUsage of job \(MB\)", re.MULTILINE)
_MEMORY_ROW = re.compile(r"^\s*Memory \(MB\)\s*:\s*(\d+)[ \t]+\d+[ \t]+\d+", re.MULTILINE)
_WITH_REASON = {
    EventKind.EVICTED,
    EventKind.SHADOW_EXCEPTION,
    EventKind.ABORTED,
    EventKind.HELD,
    EventKind.RELEASED,
    EventKind.DISCONNECTED,
    EventKind.RECONNECT_FAILED,
}
# Of an evicted job, what its first lines tell instead of a reason.
_NO_REASON = re.compile(r"^\(\d\)|^Usr \d|^Code \d+ Subcode|Run Bytes (Sent|Received)|^Partitionable Resources")
_FUTURE = 86_400


def parse_event(block: bytes) -> JobEvent | None:
    """Return the event that a block of text from its header line up to its `...` line tells; None: it is none."""
    header = HEADER.match(block)
    if header is None:
        return None
    number = int(header["number"])
    kind = KINDS.get(number, EventKind.OTHER)
    happened = _seconds(header["time"].decode())
    if happened is None:
        return None
    first = header["text"].decode(errors="replace")
    body = block[header.end() :].decode(errors="replace")
    code, signal, hold = _EXIT_CODE.search(body), _EXIT_SIGNAL.search(body), _HOLD_CODE.search(body)
    ended = kind in {EventKind.TERMINATED, EventKind.EVICTED}
    memory = _MEMORY.search(body) or _MEMORY_ROW.search(body)
    node = _NODE.search(body) if kind in {EventKind.SUBMITTED, EventKind.CLUSTER_SUBMITTED} else None
    return JobEvent(
        kind=kind,
        number=number,
        cluster=int(header["cluster"]),
        proc=int(header["proc"]),
        time=happened,
        host=_host(first, body) if kind is EventKind.EXECUTING else "",
        exit_code=int(code[1]) if code and ended else None,
        exit_signal=int(signal[1]) if signal and ended else None,
        hold_code=int(hold[1]) if hold and kind is EventKind.HELD else None,
        hold_subcode=int(hold[2]) if hold and kind is EventKind.HELD else None,
        memory_mb=int(memory[1]) if memory else None,
        node=node[1].strip() if node else "",
        reason=_reason(body) if kind in _WITH_REASON else "",
    )


def _host(first: str, body: str) -> str:
    if slot := _SLOT.search(body):
        return slot[1].strip()
    if address := _HOST.search(first):
        alias = _ALIAS.search(address[2] or "")
        return alias[1] if alias else address[1]
    return ""


def _reason(body: str) -> str:
    lines = (line.strip() for line in body.splitlines())
    return next((line for line in lines if line and not _NO_REASON.search(line)), "")


def _seconds(text: str) -> float | None:
    """Read a time of the log: ISO or the older month/day, local unless it ends with Z."""
    utc = text.endswith("Z")
    text = text.removesuffix("Z").replace("T", " ")
    try:
        if text[2] != "/":
            when = datetime.fromisoformat(text)
        elif text[5] == "/":
            when = datetime.strptime(text, "%m/%d/%y %H:%M:%S")  # noqa: DTZ007 - the log tells no time zone
        else:
            # The older form leaves out the year: the latest one that is not in the future.
            year = time.localtime().tm_year
            when = datetime.strptime(f"{year}/{text}", "%Y/%m/%d %H:%M:%S")  # noqa: DTZ007 - the same
            if when.timestamp() > time.time() + _FUTURE:
                when = when.replace(year=year - 1)
        return when.replace(tzinfo=UTC).timestamp() if utc else when.timestamp()
    except (ValueError, OverflowError):
        return None


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
