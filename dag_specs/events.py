"""Events of HTCondor jobs, as the event log of a cluster or of a DAG tells them.

The log is text: each event a header line (`NNN (CLUSTER.PROC.SUBPROC) DATE TIME TEXT`), indented
lines, and a line `...`.  See "Job Event Log Codes" in HTCondor's manual.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType


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
