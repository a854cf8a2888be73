"""What is asked of a scheduler and what it answers: values, and the seam that the product is built against."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class JobState(StrEnum):
    """Where a job stands, by HTCondor's `JobStatus`."""

    IDLE = "idle"
    RUNNING = "running"
    REMOVED = "removed"
    COMPLETED = "completed"
    HELD = "held"
    TRANSFERRING = "transferring output"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class JobId:
    """One job, or with `proc` None all jobs of a cluster."""

    cluster: int
    """Number of the cluster."""
    proc: int | None = None
    """Number of the job in its cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the queue or, once it left that, the history knows it."""

    id: JobId
    """Its number."""
    state: JobState
    """Where it stands."""
    in_queue: bool
    """False: it left the queue."""
    batch_id: str
    """Of the batch; empty for a job that belongs to none."""
    chunk: int | None
    """Number of the chunk that it scores."""
    starts: int
    """How many times it was started; more than one when a machine or a starter was lost."""
    since: float
    """When it entered its state (seconds since 1970)."""
    host: str
    """The slot that it runs on or ran on last; empty before the first start."""
    exit_code: int | None
    """Of a completed job that ended by itself."""
    exit_signal: int | None
    """Of a completed job that a signal ended."""
    hold_code: int | None
    """Of a held job, HTCondor's `HoldReasonCode`."""
    hold_subcode: int | None
    """Of a held job, `HoldReasonSubCode`: often an errno."""
    reason: str
    """Why it is held or was removed, in HTCondor's words."""
    memory_mb: int
    """Memory that it asks for (MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot that jobs may get; the children of a partitionable slot are counted in it."""

    name: str
    """Such as slot1@node1.example.org."""
    host: str
    """Its machine."""
    cpus: int
    """Cores of the whole slot."""
    memory_mb: int
    """Memory of the whole slot (MB)."""
    disk_mb: int
    """Scratch disk of the whole slot (MB)."""
    free_cpus: int
    """Cores that no job uses now; a claim that is kept after its job counts as free, whoever keeps it."""
    free_memory_mb: int
    """Memory that no running job was given (MB)."""
    partitionable: bool
    """Whether several jobs may share it."""


def count_places(slots: Iterable[Slot], *, cpus: int, memory_mb: int, disk_mb: int) -> int:
    """Count the jobs of a size that the slots could run at a time if nothing else ran; 0: such a job waits for ever."""
    places = 0
    for slot in slots:
        fitting = min(slot.cpus // cpus, slot.memory_mb // max(memory_mb, 1), slot.disk_mb // max(disk_mb, 1))
        places += fitting if slot.partitionable else min(fitting, 1)
    return places


LEAST_MEMORY_MB = 256
"""What a chunk needs at least (MB): a request is never shrunk below this."""

_MEMORY_STEP_MB = 128
# Execute nodes round a request up to steps of this by default.


def shrink_memory(slots: Iterable[Slot], *, cpus: int, memory_mb: int, disk_mb: int) -> int:
    """Return the memory (MB) that a chunk job of a size asks for: `memory_mb`, or less where no slot has that much.

    Returns 0 when no slot could ever run the job, and `memory_mb` when the pool has no slots at the moment.
    """
    known = tuple(slots)
    if not known or count_places(known, cpus=cpus, memory_mb=memory_mb, disk_mb=disk_mb):
        return memory_mb
    roomy = (slot.memory_mb for slot in known if slot.cpus >= cpus and slot.disk_mb >= disk_mb)
    largest = max(roomy, default=0) // _MEMORY_STEP_MB * _MEMORY_STEP_MB
    return largest if LEAST_MEMORY_MB <= largest < memory_mb else 0


class Scheduler(Protocol):
    """The seam to HTCondor.  Every method raises SchedulerError when HTCondor cannot be reached or refuses.

    An instance belongs to one thread at a time.
    """

    def submit_cluster(self, description: str, items: Sequence[Mapping[str, str]]) -> int:
        """Submit one cluster with one job per item, all or none, and return its number.

        `description` is a submit description without a queue statement; each item's names become its macros.
        Raises DescriptionError before anything is sent when an item could break out of its line.
        """

    def find_clusters(self, batch_id: str, *, left_since: float | None = None) -> tuple[int, ...]:
        """Return the numbers of a batch's clusters, ascending: those in the queue and those in the history.

        The history is searched back to what left the queue at `left_since` (seconds since 1970; None: all of it,
        which takes long on an old submit node).  A cluster whose jobs are yet to materialize is found as well.
        """

    def find_jobs(self, batch_id: str, *, left_since: float | None = None) -> tuple[Job, ...]:
        """Return a batch's jobs, in the order of their numbers, found as by `find_clusters`."""

    def job_states(self, clusters: Iterable[int], *, left_since: float | None = None) -> tuple[Job, ...]:
        """Return the jobs of some clusters, in the order of their numbers, found as by `find_clusters`."""

    def hold(self, jobs: Sequence[JobId], reason: str) -> int:
        """Hold jobs, telling why; return how many changed."""

    def release(self, jobs: Sequence[JobId], reason: str) -> int:
        """Release held jobs, telling why; return how many changed."""

    def remove(self, jobs: Sequence[JobId], reason: str) -> int:
        """Remove jobs from the queue, telling why; return how many changed.  A DAGMan job takes its nodes along."""

    def edit_memory(self, jobs: Sequence[JobId], memory_mb: int) -> int:
        """Change the memory (MB) that queued jobs ask for; return how many changed.  One that runs keeps its slot."""

    def submit_dag(self, dag_file: Path, settings: Mapping[str, str], event_log: Path, run_id: str) -> int:
        """Have DAGMan run a DAG file and return the number of DAGMan's own job.

        `settings` are DAGMAN_... settings for this run; `event_log`, on local disk, gets the events of DAGMan's job,
        which carries `run_id`. Raises DescriptionError when a path or the id cannot be told to HTCondor.
        """

    def find_dag(self, run_id: str) -> int | None:
        """Return the number of DAGMan's job of a run that is in the queue, the latest if there are several; or None."""

    def is_queued(self, cluster: int) -> bool:
        """Tell whether a cluster is in the queue: for a DAG, whether DAGMan is at work (or held)."""

    def slots(self) -> tuple[Slot, ...]:
        """Return the pool's slots by name, from the collector: what it heard last, up to some minutes ago."""
