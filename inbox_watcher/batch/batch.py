"""A batch, its states, and what is to be done next: decided here without touching disk or pool."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from inbox_watcher.batch.claimed_file import ClaimedFile
from scoring.chunk.challenger import Challenger
from scoring.models.registry import Pin


class State(StrEnum):
    """Where a batch stands; each is journaled before the act that leads out of it."""

    CLAIMING = "claiming"
    """About to be renamed out of the inbox."""
    CLAIMED = "claimed"
    """In its batch folder; to be checked and planned."""
    PLANNED = "planned"
    """Its plan is on disk; about to be submitted."""
    RUNNING = "running"
    """Its jobs are with HTCondor."""
    MERGING = "merging"
    """Every part is there; about to be published."""
    PUBLISHED = "published"
    """Its predictions are in the outbox; the input is about to be archived."""
    DONE = "done"
    """Finished."""
    FAILING = "failing"
    """It cannot be scored, or its results have to be withdrawn; about to be moved to failed/."""
    FAILED = "failed"
    """In failed/, with the reason."""


TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.CLAIMING: (State.CLAIMED, State.DONE),
    State.CLAIMED: (State.PLANNED, State.PUBLISHED, State.FAILING),
    State.PLANNED: (State.RUNNING, State.MERGING, State.FAILING),
    State.RUNNING: (State.PLANNED, State.MERGING, State.FAILING),
    State.MERGING: (State.PUBLISHED, State.PLANNED, State.FAILING),
    State.PUBLISHED: (State.DONE, State.FAILING),
    State.FAILING: (State.FAILED,),
    State.DONE: (State.FAILING,),
    State.FAILED: (),
}
"""Every allowed step; the picture in the documentation is drawn from this table."""

FINAL = frozenset({State.DONE, State.FAILED})
"""States in which nothing is left to do. Only evidence that arrives late takes a batch out of one of them."""


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One delivery of one file, as the journal keeps it."""

    id: str
    """Its id: digits, letters and dashes; the only name of it that HTCondor ever sees."""
    name: bytes
    """The file's name as it was dropped (bytes; any a filesystem allows)."""
    state: State
    """Where it stands."""
    created: str
    """When it was claimed (UTC, ISO 8601)."""
    updated: str
    """When it came to its state (UTC, ISO 8601)."""
    output: str
    """The NAME of its published files."""
    model: Pin | None = None
    """The version that scores it, pinned at claim."""
    rows: int = 0
    """Records in the file, once planned."""
    bytes: int = 0
    """Size of what is scored, once planned (bytes)."""
    chunks: int = 0
    """Jobs, once planned."""
    chunks_done: int = 0
    """Jobs whose part is there."""
    attempt: int = 0
    """How often jobs were submitted for it."""
    clusters: tuple[int, ...] = ()
    """HTCondor's numbers for the jobs of each attempt, the present one last."""
    retried: tuple[int, ...] = ()
    """Chunks of the present attempt (0-based); empty: all of them."""
    group: str = ""
    """The group of small files whose one job carries the present attempt; empty: it has a cluster of its own."""
    suspect: bool = False
    """Whether its last job ended without a word on it: it may be what ended the job."""
    setbacks: int = 0
    """Attempts that trouble of the storage kept from their end; they do not count."""
    failed_on: tuple[str, ...] = ()
    """Slots or machines, as HTCondor's events name them, where its jobs failed; the latest first."""
    scored: int = 0
    """Rows with a prediction, once published."""
    rejected: int = 0
    """Rows with a reject, once published."""
    reason: str = ""
    """Why it failed, or was not scored again, in words."""
    input_sha256: str = ""
    """SHA-256 of the file as it was dropped, hexadecimal; empty until it is known."""
    challenger: Challenger | None = None
    """The version that its rows are scored with as well, pinned at claim; None where the site named none."""
    claimed: ClaimedFile | None = None
    """The file as it was planned; None until then, and for batches that an earlier release planned."""

    trouble: str = ""
    """What keeps its next step from being done, in words; empty: nothing, as far as is known."""

    @property
    def submitted_as(self) -> str:
        """The id by which HTCondor knows its jobs: its own, or that of its group."""
        return self.group or self.id

    @property
    def tries(self) -> int:
        """How many attempts count."""
        return self.attempt - self.setbacks

    @property
    def is_undecided(self) -> bool:
        """Whether a daemon ended between submitting an attempt and writing that down, or just before."""
        return self.attempt > len(self.clusters)


def advance(batch: Batch, state: State, when: str, **changes: object) -> Batch:
    """Give the batch in its next state. Raises ValueError for a step that TRANSITIONS does not allow."""
    if state is not batch.state and state not in TRANSITIONS[batch.state]:
        raise ValueError(f"A batch that is {batch.state} cannot become {state}.")
    return msgspec.structs.replace(batch, state=state, updated=when, trouble="", **changes)


@dataclass(frozen=True)
class JobFacts:
    """What is known of the jobs of the present attempt."""

    parts_there: frozenset[int]
    """Chunks whose outcome is on disk."""
    still_queued: frozenset[int]
    """Chunks whose job may still run."""
    kept_off: frozenset[int] = frozenset()
    """Chunks whose job was kept from its result by trouble of the storage."""


class Verdict(StrEnum):
    """What to do with a batch whose jobs are with HTCondor."""

    WAIT = "wait"
    MERGE = "merge"
    SUBMIT_MISSING = "submit missing"
    WAIT_FOR_STORAGE = "wait for storage, submit missing"
    GIVE_UP = "give up"


def judge_jobs(batch: Batch, facts: JobFacts, attempts: int) -> Verdict:
    """Decide what follows from the jobs: parts count, not exit codes.

    An attempt that the storage kept any chunk of from its result is not counted: no file is to blame for that, and it
    may last. A file that fails by itself does so again when the storage is well.
    """
    missing = set(range(batch.chunks)) - facts.parts_there
    if not missing:
        return Verdict.MERGE
    if missing & facts.still_queued:
        return Verdict.WAIT
    if missing & facts.kept_off:
        return Verdict.WAIT_FOR_STORAGE
    return Verdict.SUBMIT_MISSING if batch.tries < attempts else Verdict.GIVE_UP


_LONGEST_PAUSE = 30.0
"""Longest wait for the storage (seconds): when it is well again, work goes on within a minute."""


def pause_after(setbacks: int) -> float:
    """Give how long to wait before jobs are submitted after the `setbacks`-th trouble of the storage (seconds)."""
    return min(2.0 ** min(setbacks - 1, 10), _LONGEST_PAUSE) if setbacks else 0.0
