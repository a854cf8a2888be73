"""Looks after the jobs of running batches: what they ask for, which machines they avoid, holds, and long waits."""

import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from dag_specs.errors import DagSpecError
from dag_specs.jobs import Job, JobId, JobState, Scheduler, Slot, count_places, shrink_memory
from inbox_watcher.batch.batch import Batch
from inbox_watcher.batch.workplace import Workplace
from inbox_watcher.jobs.holds import Fail, LeaveAlone, RaiseMemory, decide, describe_raise
from inbox_watcher.jobs.hosts import choose_avoided, join_hosts
from inbox_watcher.jobs.job_watch import JobWatch
from inbox_watcher.jobs.matching import Refused, Shrunk, check_request, explain_waiting
from scoring.errors import FileRefusedError, LoansError

_LOG = logging.getLogger("loans.watch")

_SLOTS_KEPT = 30.0
"""How long an answer of the collector is good enough (seconds)."""
_LOOK_AGAIN = 5.0
"""How soon held jobs are looked at again after something was done (seconds)."""
_LOOK_LATER = 60.0
"""The same where only a person can do something (seconds)."""


@dataclass(frozen=True)
class Request:
    """What the jobs of an attempt are submitted with."""

    memory_mb: int
    """Memory for each job (MB)."""
    avoid_hosts: tuple[str, ...]
    """Machines that they are kept away from."""


@dataclass
class _Cared:
    """What is remembered of a cluster while the daemon runs."""

    quiet_since: float
    parts: int = 0
    due: float = 0.0
    held: frozenset[int] = frozenset()
    since: dict[tuple[JobId, float], float] = field(default_factory=dict)
    releases: Counter[int] = field(default_factory=Counter)
    told: dict[int, str] = field(default_factory=dict)
    alarm: str = ""
    alarm_due: float = 0.0


class JobCare:
    """Serves all clusters of one daemon, of batches and of groups; each is looked at by one thread at a time."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self._cared: dict[str, _Cared] = {}
        self._slots: tuple[float, tuple[Slot, ...]] = (-_SLOTS_KEPT, ())
        self._told = ""
        self.places = 0
        """Chunk jobs that the pool could run at a time, as counted last; 0 while that is unknown."""

    def choose_request(self, batches: Iterable[Batch]) -> Request:
        """Choose what the jobs of the next attempt of some batches ask for.

        Raises FileRefusedError when no slot could ever run them; SchedulerError when the pool cannot be reached.
        """
        scoring = self._place.site.scoring
        memory_mb = self._choose_memory()
        retried = [batch for batch in batches if batch.failed_on]
        failed = join_hosts((), (host for batch in retried for host in batch.failed_on))
        avoid = choose_avoided(failed, self._slots[1], cpus=scoring.cpus, memory_mb=memory_mb, disk_mb=scoring.disk_mb)
        if avoid:
            first, more = retried[0].id, f" and {len(retried) - 1} more" if len(retried) > 1 else ""
            _LOG.warning("%s%s: chunks are kept away from %s, where they failed", first, more, ", ".join(avoid))
        return Request(memory_mb, avoid)

    def count_places(self) -> int:
        """Count the chunk jobs that the pool could run at a time if nothing else ran; 0 while that is unknown.

        A pool that does not answer, or reports no slot at the moment, counts as it did last.
        """
        try:
            with self._place.scheduler() as scheduler:
                slots = self._ask_slots(scheduler)
        except (DagSpecError, LoansError):
            return self.places
        scoring = self._place.site.scoring
        memory_mb = shrink_memory(slots, cpus=scoring.cpus, memory_mb=scoring.memory_mb, disk_mb=scoring.disk_mb)
        return self._count(slots, memory_mb)

    def _count(self, slots: tuple[Slot, ...], memory_mb: int) -> int:
        scoring = self._place.site.scoring
        if slots:
            self.places = count_places(slots, cpus=scoring.cpus, memory_mb=memory_mb, disk_mb=scoring.disk_mb)
        return self.places

    def _choose_memory(self) -> int:
        """Choose the memory that a job asks for (MB): the site's, or what the largest slot has.

        Raises FileRefusedError when no slot could ever run the job; SchedulerError when the pool cannot be reached.
        """
        scoring = self._place.site.scoring
        with self._place.scheduler() as scheduler:
            slots = self._ask_slots(scheduler)
        verdict = check_request(slots, cpus=scoring.cpus, memory_mb=scoring.memory_mb, disk_mb=scoring.disk_mb)
        if isinstance(verdict, Refused):
            raise FileRefusedError("no_slot_fits", verdict.sentence, f"{verdict.way_out} Then drop the file again.")
        if verdict.warning and verdict.warning != self._told:
            _LOG.warning("%s", verdict.warning)
        self._told = verdict.warning
        memory_mb = verdict.memory_mb if isinstance(verdict, Shrunk) else scoring.memory_mb
        self._count(slots, memory_mb)
        return memory_mb

    def attend(self, name: str, watch: JobWatch) -> None:
        """Treat held jobs of a batch or group by their codes, and tell when nothing of it has run for long."""
        moment = self._place.clock()
        cared = self._cared.setdefault(name, _Cared(moment))
        if watch.executing or len(watch.parts_there) != cared.parts:
            cared.quiet_since, cared.parts, cared.alarm_due = moment, len(watch.parts_there), 0.0
        if watch.held and (frozenset(watch.held) != cared.held or moment >= cared.due):
            cared.held, cared.due = frozenset(watch.held), moment + _LOOK_LATER
            with self._place.scheduler() as scheduler:
                self._treat(name, watch, cared, scheduler)
        limit = self._place.site.scoring.idle_alarm_seconds
        if moment - cared.quiet_since >= limit and moment >= cared.alarm_due:
            cared.alarm_due = moment + limit
            self._alarm(name, watch, cared)

    def forget(self, name: str) -> None:
        """Forget a batch or group whose attempt has ended."""
        self._cared.pop(name, None)

    def _treat(self, name: str, watch: JobWatch, cared: _Cared, scheduler: Scheduler) -> None:
        moment = self._place.clock()
        # Only what is queued can be held; the history is left alone.
        jobs = scheduler.job_states([watch.cluster], left_since=time.time())
        for job in jobs:
            if job.in_queue and job.state is JobState.HELD and job.chunk is not None:
                due = self._treat_one(name, job, job.chunk, watch, cared, scheduler)
                cared.due = min(cared.due, moment + due)

    def _treat_one(
        self, name: str, job: Job, chunk: int, watch: JobWatch, cared: _Cared, scheduler: Scheduler
    ) -> float:
        """Do what the table says for one held job; give how soon to look again (seconds)."""
        scoring = self._place.site.scoring
        which = f"chunk {chunk}" if len(watch.chunks) > 1 else "its job"
        slots = self._ask_slots(scheduler)
        largest = max((slot.memory_mb for slot in slots if slot.cpus >= scoring.cpus), default=scoring.memory_limit_mb)
        decision = decide(
            job.hold_code,
            job.hold_subcode,
            job.reason,
            releases_so_far=max(watch.releases[chunk], cared.releases[chunk]),
            memory_mb=job.memory_mb,
            memory_limit_mb=min(largest, scoring.memory_limit_mb),
        )
        if isinstance(decision, LeaveAlone):
            if cared.told.get(chunk) != decision.reason:
                cared.told[chunk] = decision.reason
                _LOG.warning("%s: %s is held by a person and left alone", name, which)
            return _LOOK_LATER
        if isinstance(decision, Fail):
            watch.last_words[chunk] = f"HTCondor held the job: {decision.reason}"
            if decision.storage:
                watch.kept_off.add(chunk)
            _LOG.warning("%s: %s is held (code %s) and given up", name, which, job.hold_code)
            scheduler.remove([job.id], "held, and not to be released")
            return _LOOK_AGAIN
        if isinstance(decision, RaiseMemory):
            scheduler.edit_memory([job.id], decision.to_mb)
            why = describe_raise(job.memory_mb, decision.to_mb)
        else:
            moment = self._place.clock()
            left = cared.since.setdefault((job.id, job.since), moment) + decision.after_seconds - moment
            if left > 0:
                return left
            why = f"tried again after hold code {job.hold_code}"
        cared.releases[chunk] = max(watch.releases[chunk], cared.releases[chunk]) + 1
        _LOG.warning("%s: %s was held (code %s) and is released: %s", name, which, job.hold_code, why)
        scheduler.release([job.id], why)
        return _LOOK_AGAIN

    def _alarm(self, name: str, watch: JobWatch, cared: _Cared) -> None:
        """Say why nothing runs, once, and again when the reason is another one."""
        scoring = self._place.site.scoring
        try:
            with self._place.scheduler() as scheduler:
                jobs = scheduler.job_states([watch.cluster], left_since=time.time())
                slots = self._ask_slots(scheduler)
        except DagSpecError as error:
            why = str(error)
        else:
            why = "; ".join(explain_waiting(jobs, slots, cpus=scoring.cpus, disk_mb=scoring.disk_mb))
        if why and why != cared.alarm:
            cared.alarm = why
            idle = self._place.clock() - cared.quiet_since
            _LOG.error("%s: nothing of it has run for %.0f minutes: %s", name, idle / 60, why)

    def _ask_slots(self, scheduler: Scheduler) -> tuple[Slot, ...]:
        """Ask for the slots, or give what was answered a moment ago; none while the collector does not answer."""
        asked, slots = self._slots
        if self._place.clock() - asked >= _SLOTS_KEPT:
            try:
                slots = scheduler.slots()
            except DagSpecError:
                return ()  # the queue may well take jobs meanwhile
            self._slots = (self._place.clock(), slots)
        return slots
