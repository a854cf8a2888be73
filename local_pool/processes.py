"""A pool's processes: which they are, and how to end precisely those.

A process is known by its number and its start time together, since Linux uses numbers again.
Which processes belong to a pool is told by a marker in their environment, which the master passes
on to daemons and daemons to jobs: jobs begin sessions of their own and lose their parents, so
neither sessions nor parents would find them all.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, order=True)
class ProcessId:
    """One process, unlike any other since this machine started."""

    pid: int
    """Its number."""
    started: int
    """When it started, in clock ticks since the machine did."""

    def is_alive(self) -> bool:
        """Tell whether this very process still runs (a zombie does not)."""
        stat = read_stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process, and to no other that got its number since."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            # It ended.  (Every Linux since 5.3 has such handles.)
            return
        try:
            # The handle holds the number: if it is still this process now, the signal reaches this process.
            if self.is_alive():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            # It ended in between, which is what a signal is for.
            pass
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What the kernel tells of a process."""

    name: str
    """The program's name, at most 15 bytes of it."""
    state: str
    """One letter, Z for a zombie."""
    parent: int
    """The number of its parent."""
    started: int
    """When it started, in clock ticks since the machine did."""


def parse_stat(text: str) -> ProcessStat:
    """Return what the `text` of a /proc/PID/stat file tells; raises `ValueError` when it is not one."""
    # The name may hold spaces and parentheses: only the last one ends it.
    opening, closing = text.index("("), text.rindex(")")
    fields = text[closing + 1 :].split()
    return ProcessStat(text[opening + 1 : closing], fields[0], int(fields[1]), int(fields[19]))


def read_stat(pid: int) -> ProcessStat | None:
    """Return what the kernel tells of process number `pid`; None when there is none."""
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def identify(pid: int) -> ProcessId | None:
    """Return the identity of process number `pid`; None when there is none."""
    stat = read_stat(pid)
    return None if stat is None else ProcessId(pid, stat.started)


def find_marked(marker: str) -> dict[ProcessId, ProcessStat]:
    """Return the live processes of this user whose environment holds `marker` (`NAME=value`), and their children.

    The children are those of marked processes: one that a job started with an empty environment
    still counts, as long as its parent lives.
    """
    wanted = marker.encode()
    stats: dict[int, ProcessStat] = {}
    marked: set[int] = set()
    for entry in _PROC.iterdir():
        # A job may ask about the pool it runs in; whoever looks is not counted.
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        stat = read_stat(pid)
        if stat is None or stat.state in "ZX":
            continue
        stats[pid] = stat
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            # Another user's process, or one that just ended.
            continue
        if wanted in environment.split(b"\0"):
            marked.add(pid)
    return {ProcessId(pid, stats[pid].started): stats[pid] for pid in with_descendants(marked, stats)}


def with_descendants(roots: Iterable[int], stats: Mapping[int, ProcessStat]) -> set[int]:
    """Return `roots` and every process in `stats` below them."""
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition` for at most `seconds`; tell whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def kill_marked(marker: str, seconds: float) -> frozenset[ProcessId]:
    """Kill (SIGKILL) the processes that `find_marked` finds, again until there are none; return what is left.

    Bounded by `seconds`.  What is left after that does not react even to SIGKILL (a dead NFS server).
    """
    deadline = time.monotonic() + seconds
    left = find_marked(marker)
    # Again and again: a process may start another between the look and the blow.
    while left and time.monotonic() < deadline:
        for process in left:
            process.send(signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
        left = find_marked(marker)
    return frozenset(left)
