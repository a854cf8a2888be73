"""What is known of one batch's jobs: heard from the event log, checked against parts on disk and, rarely, the queue."""

import os
from collections import Counter
from pathlib import Path

from dag_specs.events import EventKind, EventLog, JobEvent, LogCondition
from dag_specs.jobs import Job, JobState
from inbox_watcher.batch.batch import JobFacts
from inbox_watcher.jobs.holds import is_storage_hold
from inbox_watcher.jobs.hosts import Failures
from inbox_watcher.settings.layout import BatchLayout
from scoring.atomic import stands
from scoring.chunk.job import EXIT_STORAGE
from scoring.chunk.part import name_part

RECONCILE_SECONDS = 60.0
"""How often queue and history are asked about jobs whose events may have been missed (seconds)."""

DISTRUST_SECONDS = 5.0
"""The same while the event log is missing or damaged (seconds)."""

_LEFT = {EventKind.TERMINATED, EventKind.ABORTED}
_STOPPED = _LEFT | {
    EventKind.HELD,
    EventKind.EVICTED,
    EventKind.SHADOW_EXCEPTION,
    EventKind.RECONNECT_FAILED,
}


class JobWatch:
    """Follows the jobs of one attempt."""

    def __init__(self, folder: BatchLayout, log: Path, cluster: int, chunks: tuple[int, ...], total: int) -> None:
        """Follow `cluster`, whose proc P scores chunks[P]; the other chunks of `total` were done before."""
        self._folder = folder
        self._events = EventLog(log)
        self._cluster = cluster
        self._chunks = chunks
        self._queued = set(chunks)
        self._started: set[int] = set()
        self.has_news = True
        self.parts_there = set(range(total)) - set(chunks)
        self.held: dict[int, str] = {}
        self.executing: set[int] = set()
        self.releases: Counter[int] = Counter()
        self.last_words: dict[int, str] = {}
        self.failures = Failures()
        self.kept_off: set[int] = set()
        self._held_by_storage: set[int] = set()

    @property
    def facts(self) -> JobFacts:
        """What the decision needs."""
        return JobFacts(frozenset(self.parts_there), frozenset(self._queued), frozenset(self.kept_off))

    @property
    def cluster(self) -> int:
        """HTCondor's number for these jobs."""
        return self._cluster

    @property
    def idle(self) -> int:
        """Jobs that wait for a slot, those that are yet to materialize included."""
        return len(self._queued - self._started)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The chunks of this attempt."""
        return self._chunks

    def hear(self) -> bool:
        """Read what is new in the event log; tell whether the log can still be trusted to tell everything."""
        while True:
            reading = self._events.read()
            for event in reading.events:
                if event.cluster == self._cluster and 0 <= event.proc < len(self._chunks):
                    self.failures.take(event)
                    self._take(event, self._chunks[event.proc])
            if not reading.more:
                return reading.condition is LogCondition.INTACT and not reading.damaged

    def look_for_parts(self) -> None:
        """Find the parts on disk. Raises OSError as the storage does."""
        names = set(os.listdir(self._folder.parts))
        for chunk in set(self._chunks) - self.parts_there:
            outcome = name_part(self._folder.parts, chunk).outcome
            # A listing on NFS may be seconds old; asking for the very name of an ended job's outcome is not.
            if outcome.name in names or (chunk not in self._queued and stands(outcome)):
                self.parts_there.add(chunk)
        self.has_news = False

    def reconcile(self, jobs: tuple[Job, ...], *, cluster_queued: bool) -> None:
        """Correct what events may have missed by what queue and history say.

        While the cluster is queued, a chunk without a job is one that has not materialized yet.
        """
        queued, left = set(), set()
        for job in jobs:
            if job.id.cluster != self._cluster or job.chunk is None:
                continue
            if job.in_queue and job.state not in (JobState.COMPLETED, JobState.REMOVED):
                queued.add(job.chunk)
                if job.state is JobState.HELD:
                    self.held[job.chunk] = job.reason
                else:
                    self.held.pop(job.chunk, None)
                if job.state is JobState.RUNNING:
                    self.executing.add(job.chunk)
                else:
                    self.executing.discard(job.chunk)
            else:
                left.add(job.chunk)
                self.executing.discard(job.chunk)
                if job.exit_code == EXIT_STORAGE:
                    self.kept_off.add(job.chunk)
        if cluster_queued:
            self._queued -= left - queued
        else:
            self._queued &= queued
        self.has_news = True

    def _take(self, event: JobEvent, chunk: int) -> None:
        if event.kind is EventKind.EXECUTING:
            self.executing.add(chunk)
        elif event.kind in _STOPPED:
            self.executing.discard(chunk)
        if event.kind is EventKind.RELEASED:
            self.releases[chunk] += 1
        if event.kind in _LEFT:
            self._queued.discard(chunk)
            self.has_news = True
            self.held.pop(chunk, None)
            if event.exit_code == EXIT_STORAGE or chunk in self._held_by_storage:
                self.kept_off.add(chunk)
            if event.kind is EventKind.ABORTED:
                self.last_words.setdefault(chunk, event.reason or "the job was removed")
            elif event.exit_signal is not None:
                self.last_words[chunk] = f"the job was ended by signal {event.exit_signal}"
        elif event.kind is EventKind.HELD:
            self.held[chunk] = event.reason or "no reason given"
            if is_storage_hold(event.hold_code, event.hold_subcode):
                self._held_by_storage.add(chunk)
        elif event.kind in (EventKind.RELEASED, EventKind.EXECUTING):
            self.held.pop(chunk, None)
            self._held_by_storage.discard(chunk)
            if event.kind is EventKind.EXECUTING:
                self._started.add(chunk)
