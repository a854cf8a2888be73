"""From plans of small files to parts: one job for many files, followed as one."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from dag_specs.events import create_log
from inbox_watcher.batch.batch import Batch, JobFacts, State, Verdict, advance, judge_jobs
from inbox_watcher.batch.claim import new_batch_id
from inbox_watcher.batch.claimed_file import check_unchanged
from inbox_watcher.batch.pinned_models import leave_out_challengers
from inbox_watcher.batch.workplace import Workplace, attempts_used_up, describe_refusal, fail
from inbox_watcher.jobs.clusters import Clusters, Work, read_last_line, tell_setback
from inbox_watcher.jobs.hosts import join_hosts
from inbox_watcher.jobs.job_care import Request
from inbox_watcher.jobs.job_watch import JobWatch
from inbox_watcher.settings.layout import GROUP_PREFIX
from scoring.atomic import refresh_folder, stands, write_bytes
from scoring.chunk.part import name_part, read_outcome
from scoring.chunk.plan import CHUNK_LIST_FORMAT, ChunkList, ListedChunk
from scoring.errors import FileRefusedError, ProofError
from scoring.failpoints import reach
from scoring.models.registry import now

_LOG = logging.getLogger("loans.watch")


class Groups:
    """Has HTCondor score small files, many with one job. A group serves one attempt; what it leaves is grouped anew."""

    def __init__(self, place: Workplace, clusters: Clusters) -> None:
        """Work in `place`; `clusters` submits and follows."""
        self._place = place
        self._clusters = clusters
        self._ended: set[str] = set()

    def submit(self, batches: Sequence[Batch]) -> list[Batch]:
        """Submit planned batches of one small chunk each as one job, and give them as they stand then.

        Batches whose part is there, or whose job was submitted by a daemon that ended before it wrote that down, are
        not submitted again.
        """
        found = self._find_lost(batches)
        settled = [
            advance(batch, State.RUNNING, now(), clusters=(*batch.clusters, found[batch.group]))
            for batch in batches
            if batch.is_undecided and batch.group in found
        ]
        rest = [batch for batch in batches if not (batch.is_undecided and batch.group in found)]
        fresh = []
        for batch in rest:
            # A first attempt has no part; everything else costs one look.
            if batch.attempt and self._is_scored(batch):
                settled.append(advance(batch, State.MERGING, now(), chunks_done=1))
            else:
                fresh.append(batch)
        if settled:
            self._place.journal.record_many(settled)
        if not fresh:
            return settled
        try:
            request = self._clusters.choose_request(fresh)
        except FileRefusedError as error:
            refused = [fail(batch, describe_refusal(error)) for batch in fresh]
            return settled + self._place.journal.record_many(refused)
        # Groups that were written down and never reached the pool: nothing of theirs is needed any more.
        lost = {batch.group for batch in fresh if batch.is_undecided and batch.group}
        submitted = self._submit_fresh(fresh, request)
        self.clear_away(lost)
        return settled + submitted

    def _find_lost(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Find the clusters of groups whose submission was not written down, by group."""
        found = {}
        for group in {batch.group for batch in batches if batch.is_undecided and batch.group}:
            known = {cluster for batch in batches if batch.group == group for cluster in batch.clusters}
            with self._place.scheduler() as scheduler:
                lost = set(scheduler.find_clusters(group)) - known
            if lost:
                found[group] = max(lost)
        return found

    def _submit_fresh(self, batches: Sequence[Batch], request: Request) -> list[Batch]:
        group = self._take_name()
        try:
            marked = self._prepare(group, batches)
        except Exception:  # swallows nothing: whatever it is goes on after the clearing
            self.clear_away([group])  # the next trial is another group
            raise
        folder = self._place.layout.group(group)
        work = Work(name=group, act="group", plan=folder.chunks, listed=True, chunks=(0,), logs=folder.logs)
        with self._place.scheduler() as scheduler:
            number = self._clusters.submit(work, request, scheduler)
        _LOG.info("%s: %d small file(s) submitted as cluster %d", group, len(batches), number)
        self._clusters.begin(group, number, (0,), 1, fresh=True)
        return self._place.journal.record_many(
            [advance(batch, State.RUNNING, now(), clusters=(*batch.clusters, number)) for batch in marked]
        )

    def _take_name(self) -> str:
        """Name a group as no other is called. Its event log, made here, keeps the name, whichever thread asks next."""
        reach("group.log.before")
        while not create_log(self._place.state.event_log(group := f"{GROUP_PREFIX}{new_batch_id()}")):
            continue
        reach("group.log.after")
        return group

    def _prepare(self, group: str, batches: Sequence[Batch]) -> list[Batch]:
        """Put on disk what a group's job needs, and write down that it is about to be submitted."""
        folder = self._place.layout.group(group)
        reach("group.folder.before")
        folder.logs.mkdir(mode=0o770, parents=True)
        reach("group.folder.after")
        # An attempt that never reached the pool is not counted.
        attempts = [1 + (len(batch.clusters) if batch.is_undecided else batch.attempt) for batch in batches]
        chunks = tuple(map(self._list, batches, attempts))
        write_bytes(folder.chunks, msgspec.json.encode(ChunkList(CHUNK_LIST_FORMAT, chunks)), "group.chunks")
        return self._place.journal.record_many(
            [
                msgspec.structs.replace(batch, attempt=attempt, retried=(0,), group=group)
                for batch, attempt in zip(batches, attempts, strict=True)
            ]
        )

    def follow(self, group: str, batches: Sequence[Batch]) -> list[Batch]:
        """Look at a group's job; when it ended, give its batches as they stand then, else none.

        A batch whose folder cannot be read is not among them: it is due again, alone. Raises OSError when none can.
        """
        followed = self._clusters.find(group) or self._clusters.begin(
            group, batches[0].clusters[-1], (0,), 1, fresh=False
        )
        watch = followed.watch
        self._clusters.hear(followed)
        if watch.facts.still_queued:
            self._clusters.reconcile(followed)
        if watch.facts.still_queued:
            self._clusters.attend(followed)
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
        before = {batch.id: batch.setbacks for batch in batches}
        if kept_off := [batch.setbacks for batch in ended if batch.setbacks > before[batch.id]]:
            words = read_last_line(self._place.layout.group(group).logs / "0.err") or watch.last_words.get(0, "")
            tell_setback(group, f"{len(kept_off)} file(s): {words or 'no reason was left'}", max(kept_off))
        if trouble is None:
            self._clusters.forget(group)
            self.clear_away([group])
        return ended

    def find_leftovers(self, batches: Iterable[Batch]) -> list[str]:
        """Name the groups that left an event log though none of the open `batches` needs them any more."""
        # A daemon that was killed when a job had ended left batches that go on, and name a group that does not.
        known = {batch.group for batch in batches if batch.state is State.RUNNING or batch.is_undecided}
        logs = self._place.state.events.glob(f"{GROUP_PREFIX}*.log")
        return sorted({path.stem for path in logs} - known)

    def clear_away(self, groups: Iterable[str] = ()) -> bool:
        """Remove what is left of groups, and of those that could not be removed before; tell whether all are gone.

        A group's event log, by which a later daemon finds it, goes last.
        """
        self._ended.update(groups)
        for group in list(self._ended):
            root = self._place.layout.group(group).root
            try:
                with suppress(FileNotFoundError):
                    shutil.rmtree(root)
                # Two threads that remove one folder take each other's files away. The one that misses a file is not
                # done: were the log gone and the daemon killed before the other ended, nobody would find the rest.
                if stands(root):
                    continue
                self._place.state.event_log(group).unlink(missing_ok=True)
            except OSError:
                continue
            self._ended.discard(group)
        return not self._ended

    def _judge(self, batch: Batch, watch: JobWatch) -> Batch:
        """Decide what follows from the end of the job: the part counts, not the exit code."""
        path = self._outcome(batch)
        refresh_folder(path.parent)  # an attempt before this one may have been found without a part
        try:
            there = read_outcome(path) is not None
        except ProofError as error:
            _LOG.error("%s: %s", batch.id, error)
            path.unlink(missing_ok=True)
            there = False
        told = read_last_line(self._words(batch, batch.attempt))
        # A chunk that failed by itself says so, whatever the others of its list met.
        facts = JobFacts(
            parts_there=frozenset({0} if there else ()),
            still_queued=frozenset(),
            kept_off=watch.facts.kept_off if not told else frozenset(),
        )
        verdict = judge_jobs(batch, facts, self._place.site.scoring.attempts)
        if verdict is Verdict.MERGE:
            return advance(batch, State.MERGING, now(), chunks_done=1)
        try:
            check_unchanged(self._place.layout.batch(batch.id).input, batch.claimed, read=False)
        except FileRefusedError as error:
            return fail(batch, describe_refusal(error))
        failed_on = join_hosts(watch.failures.hosts, batch.failed_on)
        if verdict is Verdict.WAIT_FOR_STORAGE:
            return advance(batch, State.PLANNED, now(), failed_on=failed_on, setbacks=batch.setbacks + 1)
        words = f"chunk 0: {told or watch.last_words.get(0, 'no part was left, and no reason')}"
        if verdict is Verdict.SUBMIT_MISSING:
            _LOG.warning("%s: attempt %d left its chunk unscored: %s", batch.id, batch.attempt, words)
            return advance(batch, State.PLANNED, now(), suspect=not told, failed_on=failed_on)
        return fail(batch, describe_refusal(attempts_used_up(batch, words)))

    def _list(self, batch: Batch, attempt: int) -> ListedChunk:
        return ListedChunk(str(self._place.layout.batch(batch.id).plan), 0, str(self._words(batch, attempt)))

    def _words(self, batch: Batch, attempt: int) -> Path:
        """Name the file where the program says why this chunk failed; one for each attempt, so none is mistaken."""
        return self._place.layout.batch(batch.id).logs / f"0.{attempt}.err"

    def _is_scored(self, batch: Batch) -> bool:
        """Tell whether a batch's part is there. Raises OSError as the storage does."""
        path = self._outcome(batch)
        refresh_folder(path.parent)
        return stands(path)

    def _outcome(self, batch: Batch) -> Path:
        return name_part(self._place.layout.batch(batch.id).parts, 0).outcome
