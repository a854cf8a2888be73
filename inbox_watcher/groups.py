"""From plans of small files to parts: one job for many files, followed as one."""

import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dag_specs.event_log import create_log
from dag_specs.jobs import JobId, Scheduler, count_places
from dag_specs.scoring_cluster import ChunkCluster, describe_chunks, queue_items
from inbox_watcher.batch import Batch, State, advance
from inbox_watcher.challengers import leave_out_challengers
from inbox_watcher.claim import new_batch_id
from inbox_watcher.job_care import JobCare
from inbox_watcher.job_watch import DISTRUST_SECONDS, RECONCILE_SECONDS, JobWatch
from inbox_watcher.workplace import Workplace, attempts_used_up, describe_refusal, fail
from scoring.atomic import write_bytes
from scoring.chunk_list import FORMAT, ChunkList, ListedChunk
from scoring.errors import FileRefusedError, ProofError
from scoring.failpoints import reach
from scoring.part import name_part, read_outcome
from scoring.registry import now

_LOG = logging.getLogger("loans.watch")

_PREFIX = "group-"
_COUNT_SECONDS = 30.0
"""How long a count of the pool's places holds (seconds)."""


@dataclass
class _Following:
    """What the daemon keeps in memory of a group's job; all of it can be found again."""

    watch: JobWatch
    asked: float


class Groups:
    """Has HTCondor score small files, many with one job. A group serves one attempt; what it leaves is grouped anew."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self._care = JobCare(place)
        self._following: dict[str, _Following] = {}
        self._counted: float | None = None
        self.places = 1
        """Jobs that the pool could run at a time, as it was counted last."""

    def submit(self, batches: Sequence[Batch]) -> list[Batch]:
        """Submit planned batches of one small chunk each as one job, and give them as they stand then.

        Batches whose part is there, or whose job was submitted by a daemon that ended before it wrote that down, are
        not submitted again.
        """
        found = self._find_lost(batches)
        settled = [
            advance(batch, State.RUNNING, now(), clusters=(*batch.clusters, found[batch.group]))
            for batch in batches
            if _is_undecided(batch) and batch.group in found
        ]
        rest = [batch for batch in batches if not (_is_undecided(batch) and batch.group in found)]
        fresh = []
        for batch in rest:
            # A first attempt has no part; everything else costs one look.
            if batch.attempt and os.path.exists(self._outcome(batch)):
                settled.append(advance(batch, State.MERGING, now(), chunks_done=1))
            else:
                if batch.attempt:
                    with suppress(OSError):
                        self._words(batch).unlink()  # it told of an earlier attempt
                fresh.append(batch)
        if settled:
            self._place.journal.record_many(settled)
        if not fresh:
            return settled
        try:
            memory_mb = self._care.choose_memory()
        except FileRefusedError as error:
            refused = [fail(batch, describe_refusal(error)) for batch in fresh]
            return settled + self._place.journal.record_many(refused)
        # Groups that were written down and never reached the pool: nothing of theirs is needed any more.
        lost = {batch.group for batch in fresh if _is_undecided(batch) and batch.group}
        submitted = self._submit_fresh(fresh, memory_mb)
        for group in lost:
            self.clear_away(group)
        return settled + submitted

    def _find_lost(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Find the clusters of groups whose submission was not written down, by group."""
        found = {}
        for group in {batch.group for batch in batches if _is_undecided(batch) and batch.group}:
            known = {cluster for batch in batches if batch.group == group for cluster in batch.clusters}
            with self._place.scheduler() as scheduler:
                lost = set(scheduler.find_clusters(group)) - known
            if lost:
                found[group] = max(lost)
        return found

    def _submit_fresh(self, batches: Sequence[Batch], memory_mb: int) -> list[Batch]:
        group = f"{_PREFIX}{new_batch_id()}"
        log = self._place.state.event_log(group)
        reach("group.log.before")
        create_log(log)
        reach("group.log.after")
        folder = self._place.layout.group(group)
        reach("group.folder.before")
        folder.logs.mkdir(mode=0o770, parents=True)
        reach("group.folder.after")
        chunks = (self._list(batch) for batch in batches)
        write_bytes(folder.chunks, msgspec.json.encode(ChunkList(FORMAT, tuple(chunks))), "group.chunks")
        # An attempt that never reached the pool is not counted.
        tried = [(batch, len(batch.clusters) if _is_undecided(batch) else batch.attempt) for batch in batches]
        marked = self._place.journal.record_many(
            [msgspec.structs.replace(batch, attempt=done + 1, retried=(0,), group=group) for batch, done in tried]
        )
        site = self._place.site
        cluster = ChunkCluster(
            batch_id=group,
            python=Path(site.python),
            plan_path=folder.chunks,
            listed=True,
            chunks=(0,),
            event_log=log,
            job_log_folder=folder.logs,
            cpus=site.scoring.cpus,
            memory_mb=memory_mb,
            disk_mb=site.scoring.disk_mb,
            keep_claim_idle_seconds=site.pool.keep_claim_idle_seconds,
        )
        with self._place.scheduler() as scheduler:
            reach("group.cluster.before")
            number = scheduler.submit_cluster(describe_chunks(cluster), queue_items(cluster))
            reach("group.cluster.after")
            self._count_places(scheduler)
        _LOG.info("%s: %d small file(s) submitted as cluster %d", group, len(batches), number)
        self._following[group] = _Following(self._watch(group, number), self._place.clock())
        return self._place.journal.record_many(
            [advance(batch, State.RUNNING, now(), clusters=(*batch.clusters, number)) for batch in marked]
        )

    def _count_places(self, scheduler: Scheduler) -> None:
        if self._counted is not None and self._place.clock() - self._counted < _COUNT_SECONDS:
            return
        self._counted = self._place.clock()
        wanted = self._place.site.scoring
        places = count_places(scheduler.slots(), cpus=wanted.cpus, memory_mb=wanted.memory_mb, disk_mb=wanted.disk_mb)
        self.places = max(places, 1)

    def follow(self, group: str, batches: Sequence[Batch]) -> list[Batch]:
        """Look at a group's job; when it ended, give its batches as they stand then, else none.

        A batch whose folder cannot be read is not among them: it is due again, alone. Raises OSError when none can.
        """
        following = self._following.get(group)
        if following is None:
            watch = self._watch(group, batches[0].clusters[-1])
            following = self._following[group] = _Following(watch, -RECONCILE_SECONDS)
        watch = following.watch
        trusted = watch.hear()
        patience = RECONCILE_SECONDS if trusted else DISTRUST_SECONDS
        if watch.facts.still_queued and self._place.clock() - following.asked >= patience:
            following.asked = self._place.clock()
            cluster = batches[0].clusters[-1]
            with self._place.scheduler() as scheduler:
                watch.reconcile(scheduler.job_states([cluster]), cluster_queued=scheduler.is_queued(cluster))
        if watch.facts.still_queued and watch.held:
            watch.last_words[0] = f"HTCondor held the job: {watch.held[0]}"
            with self._place.scheduler() as scheduler:
                scheduler.remove([JobId(batches[0].clusters[-1])], "a job was held")
        if watch.facts.still_queued:
            return []
        ended, trouble = [], None
        for batch in batches:
            try:
                ended.append(self._judge(batch, watch))
            except OSError as error:
                trouble = error  # this one is looked at again; the others go on
        if trouble is not None and not ended:
            raise trouble
        leave_out_challengers(self._place.layout, ended)
        self._place.journal.record_many(ended)
        if trouble is None:
            del self._following[group]
            self.clear_away(group)
        return ended

    def find_leftovers(self, batches: Iterable[Batch]) -> list[str]:
        """Name the groups that left an event log though none of the open `batches` belongs to them."""
        known = {batch.group for batch in batches}
        logs = self._place.state.events.glob(f"{_PREFIX}*.log")
        return sorted({path.stem for path in logs} - known)

    def clear_away(self, group: str) -> None:
        """Remove what is left of a group; its event log, by which it would be found again, last."""
        shutil.rmtree(self._place.layout.group(group).root, ignore_errors=True)
        self._place.state.event_log(group).unlink(missing_ok=True)

    def _watch(self, group: str, cluster: int) -> JobWatch:
        return JobWatch(self._place.layout.batch(group), self._place.state.event_log(group), cluster, (0,), 1)

    def _judge(self, batch: Batch, watch: JobWatch) -> Batch:
        """Decide what follows from the end of the job: the part counts, not the exit code."""
        path = self._outcome(batch)
        try:
            there = read_outcome(path) is not None
        except ProofError as error:
            _LOG.error("%s: %s", batch.id, error)
            path.unlink(missing_ok=True)
            there = False
        if there:
            return advance(batch, State.MERGING, now(), chunks_done=1)
        told = self._own_words(batch)
        words = f"chunk 0: {told or watch.last_words.get(0, 'no part was left, and no reason')}"
        if batch.attempt < self._place.site.scoring.attempts:
            _LOG.warning("%s: attempt %d left its chunk unscored: %s", batch.id, batch.attempt, words)
            return advance(batch, State.PLANNED, now(), suspect=not told)
        return fail(batch, describe_refusal(attempts_used_up(batch, words)))

    def _own_words(self, batch: Batch) -> str:
        """Give the program's own line on why this chunk failed; empty when it had no time for one."""
        try:
            told = self._words(batch).read_text(errors="replace").strip()
        except OSError:
            return ""
        return told.splitlines()[-1] if told else ""

    def _list(self, batch: Batch) -> ListedChunk:
        return ListedChunk(str(self._place.layout.batch(batch.id).plan), 0, str(self._words(batch)))

    def _words(self, batch: Batch) -> Path:
        return self._place.layout.batch(batch.id).logs / "0.err"

    def _outcome(self, batch: Batch) -> Path:
        return name_part(self._place.layout.batch(batch.id).parts, 0).outcome


def _is_undecided(batch: Batch) -> bool:
    """Tell whether a daemon ended between submitting an attempt and writing that down, or just before."""
    return batch.attempt > len(batch.clusters)
