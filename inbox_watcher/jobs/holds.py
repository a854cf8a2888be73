"""What to do with a held job, by HTCondor's hold code: a table and a pure decision.

Codes are `HoldReasonCode` in HTCondor's manual ("Job ClassAd attributes").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from inbox_watcher.jobs.wording import gigabytes
from scoring.errors import TRANSIENT

PAUSES = (10.0, 60.0, 300.0)
"""How long a job stays held before its first, second and third release (seconds); there is no fourth."""

LONGEST_FOR_STORAGE = 30.0
"""Longest such wait where the storage is in trouble (seconds): afterwards work goes on within a minute."""


class Policy(StrEnum):
    """What a hold code leads to."""

    LEAVE = "left alone, and told"
    RELEASE = "released after 10 s, 60 s and 300 s; then the chunk fails"
    RAISE = "memory doubled, up to the largest slot and `scoring.memory_limit_mb`, and released; then the chunk fails"
    FAIL = "the chunk fails"


CODES: Mapping[int, tuple[str, Policy]] = MappingProxyType(
    {
        1: ("a person held it", Policy.LEAVE),
        3: ("the job's own policy held it", Policy.FAIL),
        4: ("its credentials are broken", Policy.FAIL),
        5: ("a policy could not be evaluated", Policy.FAIL),
        6: ("its program could not be started", Policy.RELEASE),
        7: ("its output file could not be opened", Policy.RELEASE),
        8: ("its input file could not be opened", Policy.RELEASE),
        9: ("its output stream could not be opened", Policy.RELEASE),
        10: ("its input stream could not be opened", Policy.RELEASE),
        11: ("a file transfer was not acknowledged", Policy.RELEASE),
        12: ("its output could not be transferred", Policy.RELEASE),
        13: ("its input could not be transferred", Policy.RELEASE),
        14: ("its folder could not be entered", Policy.RELEASE),
        15: ("it was submitted on hold", Policy.LEAVE),
        16: ("its input is still being spooled", Policy.LEAVE),
        21: ("the execute node's policy held it", Policy.FAIL),
        22: ("its event log could not be opened", Policy.RELEASE),
        26: ("the submit node's policy held it", Policy.FAIL),
        34: ("it used more than it asked for", Policy.RAISE),
    }
)
"""What a code means and what follows; any other code fails the chunk."""

_MEMORY, _DISK = 102, 104
"""The subcodes of 34 for memory and scratch disk; policies of a pool use them too (older versions tell 0)."""

_USED = re.compile(r"usage: (\d+) (?:megabytes|MB)", re.IGNORECASE)
_RAISED = re.compile(r"memory raised from (\d+) to (\d+) MB")
_MEMORY_WORDS = re.compile(r"\bout of memory\b|\boom[- ]?kill|memory limit|exceeded.{0,20}memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Release:
    """Let it run again."""

    after_seconds: float
    """How long it stays held before (seconds)."""


@dataclass(frozen=True, slots=True)
class RaiseMemory:
    """Let it ask for more, and run again."""

    to_mb: int
    """What it asks for then (MB)."""


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Somebody holds it on purpose: nothing is done but telling."""

    reason: str
    """Why, in words."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Its chunk has failed in this attempt."""

    reason: str
    """Why, in words."""
    storage: bool = False
    """Whether trouble of the storage alone is to blame: the attempt does not count."""


Decision = Release | RaiseMemory | LeaveAlone | Fail


def decide(
    hold_code: int | None,
    hold_subcode: int | None,
    reason: str,
    *,
    releases_so_far: int,
    memory_mb: int,
    memory_limit_mb: int,
) -> Decision:
    """Decide on a job that is held for a code, asks for `memory_mb` and was released `releases_so_far` times.

    `memory_limit_mb` is the most that it may ask for: the smaller of the largest slot and the site's limit (MB).
    """
    said = reason.strip() or "no reason given"
    policy = policy_of(hold_code, hold_subcode, reason)
    if policy is Policy.LEAVE:
        return LeaveAlone(said)
    if policy is Policy.RELEASE:
        if releases_so_far < len(PAUSES):
            return Release(choose_pause(hold_code, hold_subcode, releases_so_far))
        return Fail(f"held again after {releases_so_far} releases: {said}", is_storage_hold(hold_code, hold_subcode))
    if policy is Policy.RAISE:
        raised = min(memory_mb * 2, memory_limit_mb)
        if raised > memory_mb:
            return RaiseMemory(raised)
        used = f"{memory_used(reason)} of" if memory_used(reason) else "more than"
        return Fail(f"it used {used} {gigabytes(memory_mb)}, and no more may be asked for: {said}")
    return Fail(said)


def is_storage_hold(hold_code: int | None, hold_subcode: int | None) -> bool:
    """Tell whether the storage is what a job is held for: its files could not be had, and the subcode says so."""
    return CODES.get(hold_code or 0, ("", Policy.FAIL))[1] is Policy.RELEASE and hold_subcode in TRANSIENT


def choose_pause(hold_code: int | None, hold_subcode: int | None, releases_so_far: int) -> float:
    """Give how long a job stays held before its next release (seconds). Raises IndexError where there is none."""
    pause = PAUSES[releases_so_far]
    return min(pause, LONGEST_FOR_STORAGE) if is_storage_hold(hold_code, hold_subcode) else pause


def policy_of(hold_code: int | None, hold_subcode: int | None, reason: str) -> Policy:
    """Tell what a hold leads to. A code that the pool's policy uses for memory is told by its words."""
    policy = CODES.get(hold_code or 0, ("", Policy.FAIL))[1]
    if policy is Policy.RAISE and hold_subcode == _DISK:
        return Policy.FAIL
    # Pools without memory limits in the kernel hold what grows too large by a policy of their own.
    by_policy = policy is Policy.FAIL and hold_code in {3, 21, 26}
    if by_policy and (hold_subcode == _MEMORY or _MEMORY_WORDS.search(reason)):
        return Policy.RAISE
    return policy


def memory_used(reason: str) -> str:
    """Give the memory that a job used where HTCondor's words tell it, such as `2.1 GB`; else nothing."""
    found = _USED.search(reason)
    return gigabytes(int(found[1])) if found else ""


def describe_raise(before_mb: int, after_mb: int) -> str:
    """Give the reason that a job is released with after its memory was raised; the event log keeps it."""
    return f"memory raised from {before_mb} to {after_mb} MB"


def read_raise(reason: str) -> tuple[int, int] | None:
    """Read what `describe_raise` gave (MB); None for another reason."""
    found = _RAISED.fullmatch(reason.strip())
    return (int(found[1]), int(found[2])) if found else None


def describe_table() -> str:
    """Give the table of hold codes for the documentation (Markdown)."""
    rows = [f"| {code} | {meaning} | {policy} |" for code, (meaning, policy) in CODES.items()]
    return "\n".join(
        [
            "| hold code | means | what the daemon does |",
            "| --- | --- | --- |",
            *rows,
            f"| any other | | {Policy.FAIL} |",
        ]
    )
