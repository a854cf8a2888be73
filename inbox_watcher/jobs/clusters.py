"""One path for all jobs, be they the chunks of a batch or the list of a group: submitted, followed, looked after."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dag_specs.jobs import JobId, Scheduler
from dag_specs.scoring_cluster import ChunkCluster, describe_chunks, queue_items, queue_limits
from inbox_watcher.batch.batch import Batch, pause_after
from inbox_watcher.batch.workplace import Workplace
from inbox_watcher.jobs.job_care import JobCare, Request
from inbox_watcher.jobs.job_watch import DISTRUST_SECONDS, RECONCILE_SECONDS, JobWatch
from scoring.failpoints import reach

_LOG = logging.getLogger("loans.watch")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one cluster is to do."""

    name: str
    """The id by which HTCondor knows it: of a batch or of a group."""
    act: str
    """Names its submission among the failpoints."""
    plan: Path
    """The batch's plan, or the group's list of chunks."""
    listed: bool
    """Whether it is such a list."""
    chunks: tuple[int, ...]
    """The chunks, one job each; of a group its one job is chunk 0."""
    logs: Path
    """Folder on the shared storage for what the jobs print."""


@dataclass
class Followed:
    """What the daemon keeps in memory of a cluster at work; all of it can be found again."""

    name: str
    """The id of its batch or group."""
    watch: JobWatch
    """What is known of its jobs."""
    asked: float
    """When queue and history were asked last (monotonic, seconds)."""
    trusted: bool = True
    """Whether the event log told everything so far."""


class Clusters:
    """Has HTCondor run jobs. One instance serves all batches and groups."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self._care = JobCare(place)
        self._followed: dict[str, Followed] = {}

    @property
    def watches(self) -> list[JobWatch]:
        """What is known of the jobs of every cluster at work."""
        return [followed.watch for followed in list(self._followed.values())]

    @property
    def places(self) -> int:
        """Chunk jobs that the pool could run at a time, as counted last; 1 while that is unknown."""
        return max(self._care.places, 1)

    def count_places(self) -> int:
        """Count the chunk jobs that the pool could run at a time; 0 while that is unknown: see `JobCare`."""
        return self._care.count_places()

    def choose_request(self, batches: Iterable[Batch]) -> Request:
        """Choose what the jobs of the next attempt of some batches ask for: see `JobCare`."""
        return self._care.choose_request(batches)

    def submit(self, work: Work, request: Request, scheduler: Scheduler) -> int:
        """Submit a cluster and give its number. Raises SchedulerError when the pool does not take it."""
        site = self._place.site
        limits = queue_limits(self.places)
        cluster = ChunkCluster(
            batch_id=work.name,
            python=Path(site.python),
            plan_path=work.plan,
            listed=work.listed,
            chunks=work.chunks,
            event_log=self._place.state.event_log(work.name),
            job_log_folder=work.logs,
            cpus=site.scoring.cpus,
            memory_mb=request.memory_mb,
            disk_mb=site.scoring.disk_mb,
            avoid_hosts=request.avoid_hosts,
            keep_claim_idle_seconds=site.pool.keep_claim_idle_seconds,
            max_materialize=limits.max_materialize,
            max_idle=limits.max_idle,
        )
        reach("{}.cluster.before", work.act)
        number = scheduler.submit_cluster(describe_chunks(cluster), queue_items(cluster))
        reach("{}.cluster.after", work.act)
        return number

    def begin(self, name: str, cluster: int, chunks: tuple[int, ...], total: int, *, fresh: bool) -> Followed:
        """Start to follow a cluster; one that is not `fresh` is asked about at once.

        `chunks` are those of its jobs, `total` how many the batch has.
        """
        log = self._place.state.event_log(name)
        watch = JobWatch(self._place.layout.batch(name), log, cluster, chunks, total)
        asked = self._place.clock() if fresh else -RECONCILE_SECONDS
        followed = self._followed[name] = Followed(name, watch, asked)
        return followed

    def find(self, name: str) -> Followed | None:
        """Give the cluster of a batch or group, if it is followed already."""
        return self._followed.get(name)

    def hear(self, followed: Followed) -> bool:
        """Read what the event log has new; tell whether the parts are to be looked at."""
        followed.trusted = followed.watch.hear()
        overdue = self._place.clock() - followed.asked >= RECONCILE_SECONDS
        return followed.watch.has_news or overdue or not followed.trusted

    def reconcile(self, followed: Followed) -> bool:
        """Ask queue and history when that is due, which it is sooner while the log tells not all; tell whether."""
        patience = RECONCILE_SECONDS if followed.trusted else DISTRUST_SECONDS
        if self._place.clock() - followed.asked < patience:
            return False
        followed.asked = self._place.clock()
        cluster = followed.watch.cluster
        with self._place.scheduler() as scheduler:
            followed.watch.reconcile(scheduler.job_states([cluster]), cluster_queued=scheduler.is_queued(cluster))
        return True

    def attend(self, followed: Followed) -> None:
        """Treat held jobs by their codes, and tell when nothing has run for long."""
        self._care.attend(followed.name, followed.watch)

    def forget(self, name: str) -> None:
        """Forget a cluster that has ended."""
        self._followed.pop(name, None)
        self._care.forget(name)

    def withdraw(self, cluster: int, why: str) -> None:
        """Take the jobs of a cluster out of the queue."""
        with self._place.scheduler() as scheduler:
            scheduler.remove([JobId(cluster)], why)


def read_last_line(path: Path) -> str:
    """Give the last line of what the program left in a file; empty when it left nothing, or it cannot be read."""
    try:
        printed = path.read_text(errors="replace").strip()
    except OSError:
        return ""
    return printed.splitlines()[-1] if printed else ""


def tell_setback(name: str, words: str, setbacks: int) -> None:
    """Alarm: storage kept jobs from their results, and the attempt is not counted."""
    _LOG.error(
        "%s: the storage kept jobs from their results: %s; submitted again in %.0f s, not counted as an attempt",
        name,
        words,
        pause_after(setbacks),
    )
