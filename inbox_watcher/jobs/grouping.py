"""Which small files share a job: starting a job costs a second of a core, scoring twenty loans some milliseconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from inbox_watcher.batch.batch import Batch

SMALL_BYTES = 2 << 20
"""Content up to which a file may share a job (bytes): far less work than starting one."""

LARGEST = 400
"""Files that share a job at most: a job that is lost costs some seconds of work."""

WORTH_SPLITTING = 16
"""Files for each job below which a further job would cost more than it saves."""

PATIENCE = 0.5
"""How long a file waits for company while every slot is at work (seconds)."""

LONGEST_WAIT = 10.0
"""How long it waits at most, while jobs enough are with HTCondor already that it would only wait there (seconds)."""


@dataclass(frozen=True)
class Waiting:
    """A small file that is planned and not submitted."""

    batch_id: str
    """Its batch."""
    since: float
    """When it began to wait (monotonic, seconds)."""
    suspected: int = 0
    """How often it was submitted before, when it may be what ended its last job; else 0."""


def may_share(batch: Batch) -> bool:
    """Tell whether a planned batch may share a job with others."""
    return batch.chunks == 1 and batch.bytes <= SMALL_BYTES


def choose_groups(
    waiting: Sequence[Waiting], outstanding: int, places: int, attempts: int, now: float
) -> list[tuple[str, ...]]:
    """Decide which of the waiting files are submitted now, each group as one job.

    While fewer jobs of groups are with HTCondor (`outstanding`) than the pool has places for, all that wait go at once:
    a lone file on an idle pool never waits for company. With a job for each place they gather for PATIENCE, as long as
    less than twice as many jobs are out; beyond that a further job would only wait in the queue, and they gather until
    a job ends, LARGEST of them are together, or LONGEST_WAIT is over.

    A job that dies (out of memory, say) takes those behind the bad file along; so such files are tried again in groups
    of few, and in their last attempt alone.
    """
    if not waiting:
        return []
    idle = max(places - outstanding, 0)
    waited = now - min(item.since for item in waiting)
    due = idle or (waited >= PATIENCE and outstanding < 2 * places) or waited >= LONGEST_WAIT
    groups = []
    for largest in sorted({_largest(item.suspected, attempts) for item in waiting}):
        ids = [item.batch_id for item in waiting if _largest(item.suspected, attempts) == largest]
        if not due:
            ids = ids[: len(ids) // LARGEST * LARGEST]
        jobs = max(min(idle, len(ids) // WORTH_SPLITTING), 1)
        size = max(min(-(-len(ids) // jobs), largest), 1)
        groups += [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]
    return groups


def _largest(suspected: int, attempts: int) -> int:
    """Give how many files may share a job with a file that failed `suspected` times of `attempts`."""
    if suspected == 0:
        return LARGEST
    return 1 if suspected + 1 >= attempts else WORTH_SPLITTING


def fits_queue(jobs: int, idle: int, limit: int) -> bool:
    """Tell whether a cluster of `jobs` may be submitted while `idle` jobs that start before it wait for a slot.

    What is beyond `limit` waits here, where it costs the scheduler nothing. A single job always may go: by its
    priority it is the next to start. Larger batches do not count: they neither hold a smaller one up in the queue nor
    here.
    """
    return jobs == 1 or idle < limit
