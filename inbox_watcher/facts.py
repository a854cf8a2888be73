"""What is known of a batch, and the sentences that are made of it: values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dag_specs.events import JobEvent
from dag_specs.jobs import Job, Slot
from inbox_watcher.batch import Batch


class Kind(StrEnum):
    """What a sentence is about."""

    PROGRESS = "progress"
    """How far it is; nothing is wrong."""
    WAITING = "waiting"
    """It waits, which may be right."""
    TROUBLE = "trouble"
    """Something is wrong."""
    END = "end"
    """It came to its end."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing to know."""

    kind: Kind
    """What it is about."""
    text: str
    """What is so."""
    way_out: str = ""
    """What to do about it; empty: nothing."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What could be found out about a batch; what could not is empty, and its trouble says why."""

    batch: Batch
    """As the journal has it."""
    now: float
    """The time (seconds since 1970)."""
    daemon_runs: bool | None = None
    """Whether the daemon is at work; None: not known."""
    jobs: tuple[Job, ...] = ()
    """The queue's jobs of the present attempt."""
    slots: tuple[Slot, ...] = ()
    """The pool's slots."""
    pool_trouble: str = ""
    """Why the pool did not tell jobs and slots."""
    events: tuple[JobEvent, ...] = ()
    """The event log of the present attempt."""
    chunk_of: Mapping[int, int]
    """Which chunk each job (proc) of the present attempt scores."""
    log_is_there: bool = True
    """Whether the event log could be read."""
    parts_there: frozenset[int] | None = None
    """Chunks whose part is on the shared storage; None: not known."""
    storage_trouble: str = ""
    """Why the shared storage did not tell."""
    cpus: int
    """What a job asks for: CPUs,"""
    disk_mb: int
    """and scratch disk (MB)."""
