"""Which machines are avoided: where jobs failed, as the events tell it, and only where some other machine is left."""

from dataclasses import replace
from pathlib import Path

from dag_specs.events import EventKind, JobEvent
from inbox_watcher.jobs.hosts import Failures, choose_avoided, join_hosts
from scoring.chunk.job import EXIT_STORAGE
from tests.unit.dag_specs.in_memory_scheduler import SLOT

OTHER = replace(SLOT, name="slot1@other", host="other.example.org")


def told(kind: EventKind, host: str = "", proc: int = 0, code: int | None = None) -> JobEvent:
    """Make an event."""
    return JobEvent(kind=kind, number=0, cluster=1, proc=proc, time=0.0, host=host, exit_code=code, hold_code=code)


def hosts(events: list[JobEvent]) -> tuple[str, ...]:
    """Tell where jobs failed."""
    heard = Failures()
    for event in events:
        heard.take(event)
    return heard.hosts


def test_hosts_of_failures() -> None:
    """A machine counts when a job failed, was lost or met bad storage there; not when a person or a policy acted."""
    run, end = EventKind.EXECUTING, EventKind.TERMINATED
    events = [
        told(run, "slot1_1@a"), told(end, code=1),
        told(run, "slot1_2@b", 1), told(end, proc=1, code=0),
        told(run, "slot1_1@other", 2), told(EventKind.SHADOW_EXCEPTION, proc=2), told(run, "slot1@d", 2),
        told(EventKind.HELD, proc=2, code=1), told(run, "slot1@e", 2), told(EventKind.HELD, proc=2, code=13),
        told(run, "slot1@f", 3), told(EventKind.EVICTED, proc=3), told(EventKind.TERMINATED, proc=9, code=1),
    ]  # fmt: skip
    assert hosts(events) == ("e", "other", "a")


def test_choice_of_machines_to_avoid() -> None:
    """What is no host name is never told to HTCondor, and a slot that fits has to be left."""
    size = {"cpus": 1, "memory_mb": 512, "disk_mb": 1}
    assert choose_avoided(("memory", 'x" || true'), (SLOT, OTHER), **size) == ("memory",)
    assert choose_avoided(("memory", "other.example.org"), (SLOT, OTHER), **size) == ()
    # A slot is named after its startd, not after its machine.
    assert choose_avoided(("other",), (SLOT, OTHER), **size) == ("other.example.org",)
    assert choose_avoided(("memory",), (SLOT, replace(OTHER, memory_mb=100)), **size) == ()
    assert choose_avoided(("memory",), (), **size) == ()
    assert Path(SLOT.host).name == SLOT.host


def test_trouble_of_the_storage_is_one_machines_or_all_machines() -> None:
    """A mount that is broken on one machine is avoided; when several meet the trouble, no machine is to blame."""
    run, end = EventKind.EXECUTING, EventKind.TERMINATED
    one = [told(run, "slot1@a"), told(end, code=EXIT_STORAGE), told(run, "slot1@b", 1), told(end, proc=1, code=0)]
    assert hosts(one) == ("a",)
    held = replace(told(EventKind.HELD, proc=2, code=7), hold_subcode=116, hold_code=7)
    two = [*one, told(run, "slot1@c", 2), held]
    assert hosts(two) == ()
    assert hosts([*two, told(run, "slot1@d", 3), told(end, proc=3, code=1)]) == ("d",)


def test_hosts_are_joined_within_bounds() -> None:
    """The latest come first, each once, and no journal entry grows for ever."""
    assert join_hosts(("c", "a"), ("a", "b")) == ("c", "a", "b")
    assert len(join_hosts((), map(str, range(1000)))) == 50
