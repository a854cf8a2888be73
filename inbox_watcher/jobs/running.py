"""From a plan to parts: submit jobs, follow them, submit again what is missing."""

import logging
import os

import msgspec

from dag_specs.events import create_log
from dag_specs.job_priority import scoring_priority
from dag_specs.scoring_cluster import queue_limits
from inbox_watcher.batch.batch import Batch, State, Verdict, judge_jobs
from inbox_watcher.batch.claimed_file import check_unchanged
from inbox_watcher.batch.workplace import Workplace, attempts_used_up
from inbox_watcher.jobs.clusters import Clusters, Followed, Work, read_last_line, tell_setback
from inbox_watcher.jobs.hosts import join_hosts
from inbox_watcher.jobs.job_watch import JobWatch
from scoring.chunk.part import Outcome, name_part, read_outcome
from scoring.errors import ProofError
from scoring.failpoints import reach
from scoring.results.reject_share import check_reject_share

_LOG = logging.getLogger("loans.watch")


class Running:
    """Has HTCondor score the chunks of batches."""

    def __init__(self, place: Workplace, clusters: Clusters) -> None:
        """Work in `place`; `clusters` submits and follows."""
        self._place = place
        self._clusters = clusters
        self._outcomes: dict[str, dict[int, Outcome]] = {}

    def count_idle_ahead(self, jobs: int) -> int:
        """Count the idle jobs of batches that start before those of a new batch of `jobs`, as far as was heard."""
        ahead = [
            watch for watch in self._clusters.watches if scoring_priority(len(watch.chunks)) >= scoring_priority(jobs)
        ]
        limits = queue_limits(self._clusters.places)
        return sum(
            min(watch.idle, limits.max_idle) if len(watch.chunks) > limits.max_materialize else watch.idle
            for watch in ahead
        )

    def submit(self, batch: Batch) -> Batch:
        """Submit the chunks that have no part yet as one cluster."""
        folder = self._place.layout.batch(batch.id)
        there = set(os.listdir(folder.parts))
        missing = tuple(
            chunk for chunk in range(batch.chunks) if name_part(folder.parts, chunk).outcome.name not in there
        )
        if not missing:
            return self._place.record(batch, State.MERGING, chunks_done=batch.chunks)
        if batch.is_undecided:
            # The daemon ended between submitting and writing that down, or before: the queue knows which.
            with self._place.scheduler() as scheduler:
                lost = set(scheduler.find_clusters(batch.id)) - set(batch.clusters)
            if lost:
                return self._place.record(batch, State.RUNNING, clusters=(*batch.clusters, max(lost)))
            batch = msgspec.structs.replace(batch, attempt=batch.attempt - 1)
        request = self._clusters.choose_request([batch])
        reach("submit.attempt.before")
        self._place.journal.record(batch := msgspec.structs.replace(batch, attempt=batch.attempt + 1, retried=missing))
        log = self._place.state.event_log(batch.id)
        reach("submit.attempt.after")
        reach("submit.log.before")
        create_log(log)
        reach("submit.log.after")
        work = Work(name=batch.id, act="submit", plan=folder.plan, listed=False, chunks=missing, logs=folder.logs)
        with self._place.scheduler() as scheduler:
            number = self._clusters.submit(work, request, scheduler)
        _LOG.info("%s: %d job(s) submitted as cluster %d", batch.id, len(missing), number)
        batch = self._place.record(batch, State.RUNNING, clusters=(*batch.clusters, number))
        self._begin_to_follow(batch, fresh=True)
        return batch

    def _begin_to_follow(self, batch: Batch, *, fresh: bool) -> Followed:
        chunks = batch.retried or tuple(range(batch.chunks))
        self._outcomes.pop(batch.id, None)
        return self._clusters.begin(batch.id, batch.clusters[-1], chunks, batch.chunks, fresh=fresh)

    def follow(self, batch: Batch) -> Batch:
        """Look at the jobs. Raises FileRefusedError when too many rows are rejected or the attempts are used up."""
        followed = self._clusters.find(batch.id) or self._begin_to_follow(batch, fresh=False)
        watch = followed.watch
        if self._clusters.hear(followed):
            watch.look_for_parts()
            self._check_rejects(batch, watch)
        verdict = judge_jobs(batch, watch.facts, self._place.site.scoring.attempts)
        if verdict is Verdict.WAIT and self._clusters.reconcile(followed):
            watch.look_for_parts()
            self._check_rejects(batch, watch)
            verdict = judge_jobs(batch, watch.facts, self._place.site.scoring.attempts)
        if verdict is Verdict.WAIT:
            self._clusters.attend(followed)
            done = len(watch.parts_there)
            return batch if done == batch.chunks_done else self._place.record(batch, State.RUNNING, chunks_done=done)
        self._forget(batch)
        if verdict is Verdict.MERGE:
            return self._place.record(batch, State.MERGING, chunks_done=batch.chunks)
        # Chunks of a file that was written to fail in every attempt.
        check_unchanged(self._place.layout.batch(batch.id).input, batch.claimed, read=False)
        words = self._last_words(batch, watch)
        if verdict is Verdict.GIVE_UP:
            raise attempts_used_up(batch, words)
        failed_on = join_hosts(watch.failures.hosts, batch.failed_on)
        if verdict is Verdict.SUBMIT_MISSING:
            _LOG.warning("%s: attempt %d left chunks unscored: %s", batch.id, batch.attempt, words)
            return self._place.record(batch, State.PLANNED, failed_on=failed_on)
        setbacks = batch.setbacks + 1
        tell_setback(batch.id, words, setbacks)
        return self._place.record(batch, State.PLANNED, failed_on=failed_on, setbacks=setbacks)

    def _check_rejects(self, batch: Batch, watch: JobWatch) -> None:
        """Refuse the file as soon as its parts show too many rejects, before it uses the pool further."""
        parts = self._place.layout.batch(batch.id).parts
        known = self._outcomes.setdefault(batch.id, {})
        for chunk in watch.parts_there - known.keys():
            path = name_part(parts, chunk).outcome
            try:
                outcome = read_outcome(path)
            except ProofError as error:
                _LOG.error("%s: %s", batch.id, error)
                path.unlink(missing_ok=True)
                outcome = None
            if outcome is None:
                watch.parts_there.discard(chunk)
            else:
                known[chunk] = outcome
        outcomes = [known[chunk] for chunk in sorted(known)]
        check_reject_share(outcomes, batch.rows, self._place.site.scoring.max_reject_share, parts)

    def _last_words(self, batch: Batch, watch: JobWatch) -> str:
        """Say why chunks are missing: the job's own last line where there is one, else what HTCondor said."""
        missing = sorted(set(watch.chunks) - watch.parts_there)
        # What storage did is told where it was met: it is why the attempt does not count.
        logs = self._place.layout.batch(batch.id).logs
        for chunk in sorted(missing, key=lambda one: one not in watch.kept_off):
            words = read_last_line(logs / f"{chunk}.err") or watch.last_words.get(chunk, "")
            if words:
                return f"chunk {chunk}: {words}"
        return f"{len(missing)} chunk(s) left no part and no reason"

    def give_up(self, batch: Batch) -> None:
        """Take the jobs of a batch that failed out of the queue, and forget them."""
        self._forget(batch)
        self._clusters.withdraw(batch.clusters[-1], "the batch failed")

    def _forget(self, batch: Batch) -> None:
        self._clusters.forget(batch.id)
        self._outcomes.pop(batch.id, None)
