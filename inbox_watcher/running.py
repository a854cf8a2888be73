"""From a plan to parts: submit jobs, follow them, submit again what is missing."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dag_specs.event_log import create_log
from dag_specs.jobs import JobId
from dag_specs.scoring_cluster import (
    MAX_IDLE,
    MAX_MATERIALIZE,
    ChunkCluster,
    choose_priority,
    describe_chunks,
    queue_items,
)
from inbox_watcher.batch import Batch, State, Verdict, judge_jobs
from inbox_watcher.job_care import JobCare
from inbox_watcher.job_watch import DISTRUST_SECONDS, RECONCILE_SECONDS, JobWatch
from inbox_watcher.workplace import Workplace, attempts_used_up
from scoring.errors import ProofError
from scoring.failpoints import reach
from scoring.part import Outcome, name_part, read_outcome
from scoring.refusal import check_reject_share

_LOG = logging.getLogger("loans.watch")


@dataclass
class _Following:
    """What the daemon keeps in memory of a running batch; all of it can be found again."""

    watch: JobWatch
    asked: float
    outcomes: dict[int, Outcome]


class Running:
    """Has HTCondor score the chunks of batches."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self._following: dict[str, _Following] = {}
        self._care = JobCare(place)

    def count_idle_ahead(self, jobs: int) -> int:
        """Count the idle jobs of batches that start before those of a new batch of `jobs`, as far as was heard."""
        watches = [following.watch for following in list(self._following.values())]
        ahead = [watch for watch in watches if choose_priority(len(watch.chunks)) >= choose_priority(jobs)]
        return sum(min(watch.idle, MAX_IDLE) if len(watch.chunks) > MAX_MATERIALIZE else watch.idle for watch in ahead)

    def submit(self, batch: Batch) -> Batch:
        """Submit the chunks that have no part yet as one cluster."""
        folder = self._place.layout.batch(batch.id)
        there = set(os.listdir(folder.parts))
        missing = tuple(
            chunk for chunk in range(batch.chunks) if name_part(folder.parts, chunk).outcome.name not in there
        )
        if not missing:
            return self._place.record(batch, State.MERGING, chunks_done=batch.chunks)
        if batch.attempt > len(batch.clusters):
            # The daemon ended between submitting and writing that down, or before: the queue knows which.
            with self._place.scheduler() as scheduler:
                lost = set(scheduler.find_clusters(batch.id)) - set(batch.clusters)
            if lost:
                return self._place.record(batch, State.RUNNING, clusters=(*batch.clusters, max(lost)))
            batch = msgspec.structs.replace(batch, attempt=batch.attempt - 1)
        request = self._care.choose_request(batch)
        reach("submit.attempt.before")
        self._place.journal.record(batch := msgspec.structs.replace(batch, attempt=batch.attempt + 1, retried=missing))
        log = self._place.state.event_log(batch.id)
        reach("submit.attempt.after")
        reach("submit.log.before")
        create_log(log)
        reach("submit.log.after")
        cluster = ChunkCluster(
            batch_id=batch.id,
            python=Path(self._place.site.python),
            plan_path=folder.plan,
            chunks=missing,
            event_log=log,
            job_log_folder=folder.logs,
            cpus=self._place.site.scoring.cpus,
            memory_mb=request.memory_mb,
            disk_mb=self._place.site.scoring.disk_mb,
            avoid_hosts=request.avoid_hosts,
            keep_claim_idle_seconds=self._place.site.pool.keep_claim_idle_seconds,
        )
        with self._place.scheduler() as scheduler:
            reach("submit.cluster.before")
            number = scheduler.submit_cluster(describe_chunks(cluster), queue_items(cluster))
            reach("submit.cluster.after")
        _LOG.info("%s: %d job(s) submitted as cluster %d", batch.id, len(missing), number)
        batch = self._place.record(batch, State.RUNNING, clusters=(*batch.clusters, number))
        self._begin_to_follow(batch, self._place.clock())
        return batch

    def _begin_to_follow(self, batch: Batch, asked: float) -> _Following:
        """Start with an empty memory; the queue was, or counts as, asked at `asked` (seconds)."""
        watch = JobWatch(
            self._place.layout.batch(batch.id),
            self._place.state.event_log(batch.id),
            batch.clusters[-1],
            batch.retried or tuple(range(batch.chunks)),
            batch.chunks,
        )
        following = self._following[batch.id] = _Following(watch, asked, {})
        return following

    def follow(self, batch: Batch) -> Batch:
        """Look at the jobs. Raises FileRefusedError when too many rows are rejected or the attempts are used up."""
        following = self._following.get(batch.id) or self._begin_to_follow(batch, -RECONCILE_SECONDS)
        watch = following.watch
        trusted = watch.hear()
        overdue = self._place.clock() - following.asked >= RECONCILE_SECONDS
        if watch.has_news or overdue or not trusted:
            watch.look_for_parts()
            self._check_rejects(batch, following)
        verdict = judge_jobs(batch, watch.facts, self._place.site.scoring.attempts)
        patience = RECONCILE_SECONDS if trusted else DISTRUST_SECONDS
        if verdict is Verdict.WAIT and self._place.clock() - following.asked >= patience:
            following.asked = self._place.clock()
            with self._place.scheduler() as scheduler:
                cluster = batch.clusters[-1]
                watch.reconcile(scheduler.job_states([cluster]), cluster_queued=scheduler.is_queued(cluster))
            watch.look_for_parts()
            self._check_rejects(batch, following)
            verdict = judge_jobs(batch, watch.facts, self._place.site.scoring.attempts)
        if verdict is Verdict.WAIT:
            self._care.attend(batch, watch)
            done = len(watch.parts_there)
            return batch if done == batch.chunks_done else self._place.record(batch, State.RUNNING, chunks_done=done)
        del self._following[batch.id]
        self._care.forget(batch)
        if verdict is Verdict.MERGE:
            return self._place.record(batch, State.MERGING, chunks_done=batch.chunks)
        words = self._last_words(batch, watch)
        if verdict is Verdict.SUBMIT_MISSING:
            _LOG.warning("%s: attempt %d left chunks unscored: %s", batch.id, batch.attempt, words)
            return self._place.record(batch, State.PLANNED)
        raise attempts_used_up(batch, words)

    def _check_rejects(self, batch: Batch, following: _Following) -> None:
        """Refuse the file as soon as its parts show too many rejects, before it uses the pool further."""
        parts = self._place.layout.batch(batch.id).parts
        for chunk in following.watch.parts_there - following.outcomes.keys():
            path = name_part(parts, chunk).outcome
            try:
                outcome = read_outcome(path)
            except ProofError as error:
                _LOG.error("%s: %s", batch.id, error)
                path.unlink(missing_ok=True)
                outcome = None
            if outcome is None:
                following.watch.parts_there.discard(chunk)
            else:
                following.outcomes[chunk] = outcome
        outcomes = [following.outcomes[chunk] for chunk in sorted(following.outcomes)]
        check_reject_share(outcomes, batch.rows, self._place.site.scoring.max_reject_share, parts)

    def _last_words(self, batch: Batch, watch: JobWatch) -> str:
        """Say why chunks are missing: the job's own last line where there is one, else what HTCondor said."""
        missing = sorted(set(watch.chunks) - watch.parts_there)
        for chunk in missing:
            try:
                printed = (self._place.layout.batch(batch.id).logs / f"{chunk}.err").read_text(errors="replace").strip()
            except OSError:
                printed = ""
            words = printed.splitlines()[-1] if printed else watch.last_words.get(chunk, "")
            if words:
                return f"chunk {chunk}: {words}"
        return f"{len(missing)} chunk(s) left no part and no reason"

    def give_up(self, batch: Batch) -> None:
        """Take the jobs of a batch that failed out of the queue, and forget them."""
        self._following.pop(batch.id, None)
        self.withdraw(batch, "the batch failed")

    def withdraw(self, batch: Batch, why: str) -> None:
        """Take the jobs of the present attempt out of the queue."""
        with self._place.scheduler() as scheduler:
            scheduler.remove([JobId(cluster) for cluster in batch.clusters[-1:]], why)
