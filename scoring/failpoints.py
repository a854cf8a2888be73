"""Named places before and after every durable act, where tests end the process, raise an error, or stop for ever.

For tests only: unless the environment variable LOANS_FAILPOINTS is set when this module is imported, `reach` is a
function without a body. Set, it holds `POINT=ACTION` pairs, separated by commas (none: armed, nothing happens yet):

    LOANS_FAILPOINTS="publish.predictions.rename.before=kill,claim.rename.after=errno:ESTALE@2"

POINT is an act of ACTS, PROMOTION_ACTS or WITHDRAWAL_ACTS with `.before` or `.after`, or `*` for any; ACTION is `kill`
(SIGKILL), `errno:NAME` or `hang`, with `@N` at the N-th pass only (default: the first).
"""

import errno
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

VARIABLE = "LOANS_FAILPOINTS"
"""The environment variable."""

_WRITES = (
    "claim.manifest",
    "plan.unpacked",
    "plan.unwrapped",
    "plan.plan",
    "group.chunks",
    "part.predictions",
    "part.rejects",
    "part.outcome",
    "publish.predictions",
    "publish.rejects",
    "publish.receipt",
    "publish.copy",
    "failing.rejects",
    "failing.error",
)

_STATES = ("claiming", "claimed", "planned", "running", "merging", "published", "done", "failing", "failed")

ACTS = (
    *(f"{write}.{step}" for write, step in product(_WRITES, ("create", "fsync", "rename"))),
    *(f"journal.{state}" for state in _STATES),
    "claim.folder",
    "claim.rename",
    "plan.folders",
    "submit.attempt",
    "submit.log",
    "submit.cluster",
    "group.log",
    "group.folder",
    "group.cluster",
    "archive.rename",
    "archive.parts",
    "archive.contents",
    "archive.events",
    "failing.rename",
    "failing.parts",
    "failing.contents",
    "failing.events",
)
"""Every durable act of the daemon and of a job; each has a point before and a point after it."""

POINTS = tuple(f"{act}.{when}" for act in ACTS for when in ("before", "after"))
"""Every point of the daemon and of a job, in no order of time."""

PROMOTION_ACTS = (
    "promote.intent",
    *(f"promote.pointer.{step}" for step in ("create", "fsync", "rename")),
    "promote.log",
)
"""The durable acts of putting a version into production."""

PROMOTION_POINTS = tuple(f"{act}.{when}" for act in PROMOTION_ACTS for when in ("before", "after"))
"""Their points; the daemon passes none of them."""

WITHDRAWAL_ACTS = tuple(f"withdraw.{kind}.rename" for kind in ("predictions", "rejects", "receipt"))
"""The durable acts of moving published results out of the outbox."""

WITHDRAWAL_POINTS = tuple(f"{act}.{when}" for act in WITHDRAWAL_ACTS for when in ("before", "after"))
"""Their points; the daemon passes them only when late evidence contradicts what it published."""

EVERY_POINT = POINTS + PROMOTION_POINTS + WITHDRAWAL_POINTS
"""The whole table."""


@dataclass(frozen=True)
class _Order:
    action: str
    at: int


class Failpoints:
    """What is to happen where."""

    def __init__(self, orders: str) -> None:
        """Take the orders. Raises ValueError for one that does not read."""
        self._orders: dict[str, _Order] = {}
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()
        for order in filter(None, orders.split(",")):
            point, _, action = order.partition("=")
            action, _, number = action.partition("@")
            known = action in ("kill", "hang") or hasattr(errno, action.removeprefix("errno:"))
            if point not in (*EVERY_POINT, "*") or not known or not (number or "1").isdecimal():
                raise ValueError(f"{VARIABLE}: {order!r} names no failpoint, or nothing that can happen at one.")
            self._orders[point] = _Order(action, int(number or 1))

    def reach(self, point: str, subject: str | None = None) -> None:
        """Pass a point; `{}` in its name stands for the subject, and without one there is no point."""
        if subject is not None:
            if not subject:
                return
            point = point.format(subject)
        if point not in EVERY_POINT:
            raise ValueError(f"{point!r} is not in the table of failpoints.")
        for name in (point, "*"):
            order = self._orders.get(name)
            if order is None:
                continue
            with self._lock:
                self._passed[name] += 1
                due = self._passed[name] == order.at
            if due:
                _act(order.action)


def _act(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "hang":
        threading.Event().wait()
    else:
        number = getattr(errno, action.removeprefix("errno:"))
        raise OSError(number, os.strerror(number))


def _pass(point: str, subject: str | None = None) -> None:
    """Do nothing: normal runs."""


_armed: Failpoints | None = Failpoints(os.environ[VARIABLE]) if VARIABLE in os.environ else None


def _reach_armed(point: str, subject: str | None = None) -> None:
    if _armed is not None:
        _armed.reach(point, subject)


reach: Callable[..., None] = _pass if _armed is None else _reach_armed
"""Pass a point: `reach("claim.rename.before")`, or with its subject `reach("{}.fsync.after", "plan.plan")`."""


def arm(orders: str) -> None:
    """Give a process that was started armed other orders."""
    global _armed  # noqa: PLW0603 (one process, one set of orders)
    if reach is _pass:
        raise ValueError(f"This process was started without {VARIABLE}.")
    _armed = Failpoints(orders)
