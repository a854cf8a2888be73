"""Whether the pool could ever run a job of some size: asked before jobs are submitted, told when they wait.  Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dag_specs.jobs import Job, JobState, Slot, count_places, shrink_memory
from inbox_watcher.jobs.wording import count, duration, gigabytes, name_chunks


@dataclass(frozen=True, slots=True)
class Fits:
    """Some slot can run it."""

    warning: str = ""
    """What is to be told all the same."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """It fits when it asks for less memory."""

    memory_mb: int
    """What it asks for then (MB)."""
    warning: str
    """What is told."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No slot could ever run it: it would wait for ever and say nothing."""

    sentence: str
    """Why, in words."""
    way_out: str
    """What to do about it."""


def check_request(slots: Iterable[Slot], *, cpus: int, memory_mb: int, disk_mb: int) -> Fits | Shrunk | Refused:
    """Judge what a job asks for by the whole size of the pool's slots, whoever uses them now.

    A pool without slots is being started or repaired: that is told, and waited for.
    """
    known = tuple(slots)
    if not known:
        return Fits("the pool has no slots at the moment: jobs wait until an execute node reports")
    possible = shrink_memory(known, cpus=cpus, memory_mb=memory_mb, disk_mb=disk_mb)
    if possible == memory_mb:
        return Fits()
    if possible:
        return Shrunk(
            possible,
            f"jobs ask for {gigabytes(possible)} instead of {gigabytes(memory_mb)} (scoring.memory_mb): "
            f"none of the pool's {count(len(known), 'slot')} is larger",
        )
    wanted = describe_request(cpus, memory_mb, disk_mb)
    return Refused(
        f"None of the pool's {count(len(known), 'slot')} could ever run a job of {wanted}"
        f": {_largest(known, cpus, memory_mb, disk_mb)}.",
        "Lower scoring.cpus, scoring.memory_mb or scoring.disk_mb in the site file, or give the pool a larger slot.",
    )


def _largest(slots: tuple[Slot, ...], cpus: int, memory_mb: int, disk_mb: int) -> str:
    """Say of what asks too much how much the largest slot has."""
    words = []
    if (most := max(slot.cpus for slot in slots)) < cpus:
        words.append(count(most, "CPU"))
    if (most := max(slot.memory_mb for slot in slots)) < memory_mb:
        words.append(f"{gigabytes(most)} of memory")
    if (most := max(slot.disk_mb for slot in slots)) < disk_mb:
        words.append(f"{gigabytes(most)} of scratch disk")
    return f"the largest has {' and '.join(words)}" if words else "no single slot has all of it"


def describe_request(cpus: int, memory_mb: int, disk_mb: int) -> str:
    """Say what a job asks for."""
    return f"{count(cpus, 'CPU')}, {gigabytes(memory_mb)} of memory and {gigabytes(disk_mb)} of scratch disk"


def explain_idle(slots: Iterable[Slot], *, cpus: int, memory_mb: int, disk_mb: int) -> tuple[str, str]:
    """Say why jobs of a size wait, and the way out (empty: waiting is all there is to do)."""
    known = tuple(slots)
    if not known:
        return "the pool has no slots", "Start an execute node; `condor_status` lists those that report."
    if not count_places(known, cpus=cpus, memory_mb=memory_mb, disk_mb=disk_mb):
        able = [slot.memory_mb for slot in known if slot.cpus >= cpus and slot.disk_mb >= disk_mb]
        if able and max(able) < memory_mb:
            what = f"none of the pool's {count(len(known), 'slot')} has {gigabytes(memory_mb)}"
            what += f", the largest has {gigabytes(max(able))}"
        else:
            what = f"none of the pool's {count(len(known), 'slot')} could ever run them"
            what += f": {_largest(known, cpus, memory_mb, disk_mb)}"
        return what, "Lower what the site file asks for under [scoring], or give the pool a larger slot."
    free = [slot for slot in known if slot.free_cpus >= cpus and slot.free_memory_mb >= memory_mb]
    if free:
        when = "at the pool's next negotiation, or when claims that are kept run out"
        return f"{count(len(free), 'slot')} could take them: they start {when}", ""
    with_cpus = [slot.free_memory_mb for slot in known if slot.free_cpus >= cpus]
    if with_cpus:
        return (
            f"none of the pool's {count(len(known), 'slot')} has {gigabytes(memory_mb)} free, "
            f"the largest has {gigabytes(max(with_cpus))}"
        ), ""
    return f"every one of the pool's {count(len(known), 'slot')} is busy", ""


def explain_waiting(
    jobs: Iterable[Job],
    slots: Iterable[Slot],
    *,
    cpus: int,
    disk_mb: int,
    now: float = 0.0,
    done: frozenset[int] | None = None,
) -> list[str]:
    """Say of idle jobs why they wait, those that ask for the same memory together; with `now`, for how long."""
    known = tuple(slots)
    idle: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.in_queue and job.state is JobState.IDLE and job.chunk is not None and job.chunk not in (done or ()):
            idle[job.memory_mb].append(job)
    said = []
    for memory_mb, alike in sorted(idle.items()):
        chunks = [job.chunk for job in alike if job.chunk is not None]
        why, _ = explain_idle(known, cpus=cpus, memory_mb=memory_mb, disk_mb=disk_mb)
        since = f" for {duration(now - min(job.since for job in alike))}" if now else ""
        said.append(f"{name_chunks(chunks)} {'waits' if len(chunks) == 1 else 'wait'}{since}: {why}")
    return said
