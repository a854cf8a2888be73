"""What the daemon does for one batch in each of its states. Every step can be cut off anywhere and done again."""

import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dag_specs.errors import DagSpecError
from dag_specs.event_log import create_log
from dag_specs.jobs import JobId, Scheduler
from dag_specs.scoring_cluster import ChunkCluster, describe_chunks, queue_items
from inbox_watcher.batch import Batch, State, Verdict, advance, judge_jobs
from inbox_watcher.claim import move_once
from inbox_watcher.config import Site
from inbox_watcher.job_watch import JobWatch
from inbox_watcher.journal import Journal
from inbox_watcher.layout import LONGEST_NAME, Layout, StateLayout, failed_name, output_stem, shorten, show_name
from inbox_watcher.sizing import choose_chunk_bytes
from scoring.atomic import write_bytes
from scoring.batch_plan import FORMAT, BatchPlan, read_batch_plan
from scoring.chunks import plan_chunks
from scoring.content import prepare_content
from scoring.errors import FileRefusedError, LoansError, ModelError, ProofError
from scoring.merge import find_bad_chunks, gather_outcomes, gather_sound
from scoring.part import Outcome, name_part, read_outcome
from scoring.receipt import publish_result
from scoring.refusal import check_reject_share, publish_rejects
from scoring.registry import Pin, now, read_manifest
from scoring.source import open_source

_LOG = logging.getLogger("loans.watch")

RECONCILE_SECONDS = 60.0
"""How often queue and history are asked about jobs whose events may have been missed (seconds)."""

DISTRUST_SECONDS = 5.0
"""The same while the event log is missing or damaged (seconds)."""


@dataclass
class _Following:
    """What the daemon keeps in memory of a running batch; all of it can be found again."""

    watch: JobWatch
    asked: float
    outcomes: dict[int, Outcome]


class Steps:
    """Does the next thing for a batch. One instance serves all batches; a batch is in one step at a time."""

    def __init__(
        self,
        site: Site,
        journal: Journal,
        scheduler: Callable[[], AbstractContextManager[Scheduler]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Work for `site`; `scheduler` lends the pool, or raises SchedulerError while it cannot be reached."""
        self._site = site
        self._layout = Layout(Path(site.root))
        self._state = StateLayout(Path(site.state))
        self._journal = journal
        self._scheduler = scheduler
        self._clock = clock
        self._following: dict[str, _Following] = {}
        self._acts: dict[State, Callable[[Batch], Batch]] = {
            State.CLAIMING: self._claim,
            State.CLAIMED: self._plan,
            State.PLANNED: self._submit,
            State.RUNNING: self._follow,
            State.MERGING: self._publish,
            State.PUBLISHED: self._archive,
            State.FAILING: self._set_aside,
        }

    def take(self, batch: Batch) -> Batch:
        """Do the next thing for a batch and give it as it stands then, journaled.

        Raises OSError, SchedulerError or StorageError for trouble that may pass: the same step is due again.
        """
        try:
            return self._acts[batch.state](batch)
        except FileRefusedError as error:
            where = f" (line {error.line})" if error.line else ""
            return self._fail(batch, f"{error.what}{where} [{error.code}]\n{error.way_out}")
        except (ModelError, ProofError) as error:
            return self._fail(batch, error.explain())

    def _record(self, batch: Batch, state: State, **changes: object) -> Batch:
        return self._journal.record(advance(batch, state, now(), **changes))

    def _fail(self, batch: Batch, reason: str) -> Batch:
        if batch.state is State.RUNNING:
            self._withdraw(batch, "the batch failed")
        return self._record(batch, State.FAILING, reason=reason.strip().encode(errors="backslashreplace").decode())

    def _claim(self, batch: Batch) -> Batch:
        folder = self._layout.batch(batch.id)
        folder.root.mkdir(mode=0o770, parents=True, exist_ok=True)
        # Once it stands in the batch's folder it is claimed; a new file of its name in the inbox is another delivery.
        if not os.path.lexists(folder.input) and not move_once(
            self._layout.inbox / os.fsdecode(batch.name), folder.input
        ):
            shutil.rmtree(folder.root, ignore_errors=True)
            return self._record(batch, State.DONE, reason="taken out of the inbox before it was claimed")
        write_bytes(folder.manifest, msgspec.json.encode(batch))
        return self._record(batch, State.CLAIMED)

    def _plan(self, batch: Batch) -> Batch:
        folder = self._layout.batch(batch.id)
        pin = _pinned(batch)
        manifest, _ = read_manifest(self._layout.models, pin.version, pin.manifest_sha256)
        for path in (folder.parts, folder.logs):
            path.mkdir(mode=0o770, exist_ok=True)
        path = prepare_content(
            folder.input,
            os.fsdecode(batch.name),
            folder.root,
            self._layout.outbox,
            self._site.scoring.max_unpacked_bytes,
        )
        if len(os.fsencode(self._layout.result(batch.output, "predictions.csv").name)) > LONGEST_NAME:
            raise FileRefusedError("name_too_long", "The file's name is too long.", "Send it under a shorter name.")
        source = open_source(path, manifest.contract)
        plan = plan_chunks(source, self._site.scoring.chunk_bytes or self._choose_chunk_bytes(source.bytes))
        batch_plan = BatchPlan(
            FORMAT, batch.id, plan, str(self._layout.models), pin, str(folder.parts), self._site.scoring.echo
        )
        write_bytes(folder.plan, msgspec.json.encode(batch_plan))
        return self._record(batch, State.PLANNED, rows=plan.rows, chunks=len(plan.chunks))

    def _choose_chunk_bytes(self, size: int) -> int:
        try:
            with self._scheduler() as scheduler:
                slots = len(scheduler.slots())
        except (DagSpecError, LoansError):
            slots = 1  # planning does not need the pool; submitting will wait for it
        return choose_chunk_bytes(size, slots)

    def _submit(self, batch: Batch) -> Batch:
        folder = self._layout.batch(batch.id)
        there = set(os.listdir(folder.parts))
        missing = tuple(
            chunk for chunk in range(batch.chunks) if name_part(folder.parts, chunk).outcome.name not in there
        )
        if not missing:
            return self._record(batch, State.MERGING, chunks_done=batch.chunks)
        if batch.attempt > len(batch.clusters):
            # The daemon ended between submitting and writing that down, or before: the queue knows which.
            with self._scheduler() as scheduler:
                lost = set(scheduler.find_clusters(batch.id)) - set(batch.clusters)
            if lost:
                return self._record(batch, State.RUNNING, clusters=(*batch.clusters, max(lost)))
            batch = msgspec.structs.replace(batch, attempt=batch.attempt - 1)
        self._journal.record(batch := msgspec.structs.replace(batch, attempt=batch.attempt + 1, retried=missing))
        log = self._state.event_log(batch.id)
        create_log(log)
        cluster = ChunkCluster(
            batch_id=batch.id,
            python=Path(self._site.python),
            plan_path=folder.plan,
            chunks=missing,
            event_log=log,
            job_log_folder=folder.logs,
            cpus=self._site.scoring.cpus,
            memory_mb=self._site.scoring.memory_mb,
            disk_mb=self._site.scoring.disk_mb,
            keep_claim_idle_seconds=self._site.pool.keep_claim_idle_seconds,
        )
        with self._scheduler() as scheduler:
            number = scheduler.submit_cluster(describe_chunks(cluster), queue_items(cluster))
        _LOG.info("%s: %d job(s) submitted as cluster %d", batch.id, len(missing), number)
        return self._record(batch, State.RUNNING, clusters=(*batch.clusters, number))

    def _follow(self, batch: Batch) -> Batch:
        following = self._following.get(batch.id)
        if following is None:
            watch = JobWatch(
                self._layout.batch(batch.id),
                self._state.event_log(batch.id),
                batch.clusters[-1],
                batch.retried or tuple(range(batch.chunks)),
                batch.chunks,
            )
            following = self._following[batch.id] = _Following(watch, -RECONCILE_SECONDS, {})
        watch = following.watch
        trusted = watch.hear()
        overdue = self._clock() - following.asked >= RECONCILE_SECONDS
        if watch.has_news or overdue or not trusted:
            watch.look_for_parts()
            self._check_rejects(batch, following)
        verdict = judge_jobs(batch, watch.facts, self._site.scoring.attempts)
        patience = RECONCILE_SECONDS if trusted else DISTRUST_SECONDS
        if verdict is Verdict.WAIT and self._clock() - following.asked >= patience:
            following.asked = self._clock()
            with self._scheduler() as scheduler:
                cluster = batch.clusters[-1]
                watch.reconcile(scheduler.job_states([cluster]), cluster_queued=scheduler.is_queued(cluster))
            watch.look_for_parts()
            self._check_rejects(batch, following)
            verdict = judge_jobs(batch, watch.facts, self._site.scoring.attempts)
        if verdict is Verdict.WAIT and watch.held:
            chunk, reason = next(iter(watch.held.items()))
            watch.last_words[chunk] = f"HTCondor held the job: {reason}"
            self._withdraw(batch, "a job was held")
        if verdict is Verdict.WAIT:
            done = len(watch.parts_there)
            return batch if done == batch.chunks_done else self._record(batch, State.RUNNING, chunks_done=done)
        del self._following[batch.id]
        if verdict is Verdict.MERGE:
            return self._record(batch, State.MERGING, chunks_done=batch.chunks)
        words = self._last_words(batch, watch)
        if verdict is Verdict.SUBMIT_MISSING:
            _LOG.warning("%s: attempt %d left chunks unscored: %s", batch.id, batch.attempt, words)
            return self._record(batch, State.PLANNED)
        return self._fail(batch, f"The file could not be scored in {batch.attempt} attempts: {words}")

    def _check_rejects(self, batch: Batch, following: _Following) -> None:
        """Refuse the file as soon as its parts show too many rejects, before it uses the pool further."""
        parts = self._layout.batch(batch.id).parts
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
        check_reject_share(outcomes, batch.rows, self._site.scoring.max_reject_share, parts)

    def _last_words(self, batch: Batch, watch: JobWatch) -> str:
        """Say why chunks are missing: the job's own last line where there is one, else what HTCondor said."""
        missing = sorted(set(watch.chunks) - watch.parts_there)
        for chunk in missing:
            try:
                printed = (self._layout.batch(batch.id).logs / f"{chunk}.err").read_text(errors="replace").strip()
            except OSError:
                printed = ""
            words = printed.splitlines()[-1] if printed else watch.last_words.get(chunk, "")
            if words:
                return f"chunk {chunk}: {words}"
        return f"{len(missing)} chunk(s) left no part and no reason"

    def _withdraw(self, batch: Batch, why: str) -> None:
        with self._scheduler() as scheduler:
            scheduler.remove([JobId(cluster) for cluster in batch.clusters[-1:]], why)

    def _publish(self, batch: Batch) -> Batch:
        folder = self._layout.batch(batch.id)
        content = folder.plan.read_bytes()
        plan = read_batch_plan(folder.plan)
        manifest, _ = read_manifest(self._layout.models, plan.model.version, plan.model.manifest_sha256)
        target = self._layout.results(batch.output)
        try:
            check_reject_share(gather_outcomes(plan), plan.plan.rows, self._site.scoring.max_reject_share, folder.parts)
            receipt = publish_result(plan, content, show_name(os.fsdecode(batch.name)), manifest, target)
        except ProofError as error:
            return self._score_again(batch, plan, error)
        write_bytes(folder.receipt, target.receipt.read_bytes())
        _LOG.info("%s: %d rows scored, %d rejected, published", batch.id, receipt.scored, receipt.rejected)
        return self._record(batch, State.PUBLISHED, scored=receipt.scored, rejected=receipt.rejected)

    def _score_again(self, batch: Batch, plan: BatchPlan, error: ProofError) -> Batch:
        """Throw away the parts that are not what they should be; their chunks are due again."""
        bad = find_bad_chunks(plan)
        if not bad or batch.attempt >= self._site.scoring.attempts:
            raise error
        for chunk in bad:
            name_part(Path(plan.parts), chunk).outcome.unlink(missing_ok=True)
        _LOG.error("%s: %s", batch.id, error)
        return self._record(batch, State.PLANNED, chunks_done=batch.chunks - len(bad))

    def _archive(self, batch: Batch) -> Batch:
        folder = self._layout.batch(batch.id)
        move_once(folder.input, self._layout.archived(batch.id, os.fsdecode(batch.name)))
        shutil.rmtree(folder.parts, ignore_errors=True)
        for content in folder.contents:
            content.unlink(missing_ok=True)
        self._state.event_log(batch.id).unlink(missing_ok=True)
        return self._record(batch, State.DONE)

    def _set_aside(self, batch: Batch) -> Batch:
        """Explain first, move then: whoever sees the file in failed/ sees the reason."""
        folder = self._layout.batch(batch.id)
        kept = failed_name(batch.output, os.fsdecode(batch.name), batch.id)
        text = f"{show_name(os.fsdecode(batch.name))} was not scored.\n{batch.reason}\n(batch {batch.id})\n"
        sound = [outcome for outcome in gather_sound(batch.chunks, folder.parts) if outcome.rejected]
        if sound:
            publish_rejects(sound, folder.parts, self._layout.failed / shorten(output_stem(kept), ".rejects.csv"))
        write_bytes(self._layout.failed / shorten(kept, ".error.txt"), text.encode(errors="replace"))
        move_once(folder.input, self._layout.failed / kept)
        shutil.rmtree(folder.parts, ignore_errors=True)
        for content in folder.contents:
            content.unlink(missing_ok=True)
        self._state.event_log(batch.id).unlink(missing_ok=True)
        _LOG.warning("%s: failed, the reason stands in failed/", batch.id)
        return self._record(batch, State.FAILED)


def _pinned(batch: Batch) -> Pin:
    if batch.model is None:
        raise LoansError(f"Batch {batch.id} was claimed without a model.")
    return batch.model
