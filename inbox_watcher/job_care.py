"""Looks after the jobs of running batches: what they ask for, which machines they avoid, holds, and long waits."""

import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from dag_specs.errors import DagSpecError, DescriptionError
from dag_specs.event_log import EventLog
from dag_specs.events import EventKind, JobEvent
from dag_specs.jobs import Job, JobId, JobState, Scheduler, Slot, count_places
from dag_specs.submit_language import check_host
from inbox_watcher.batch import Batch
from inbox_watcher.diagnosis import explain_waiting
from inbox_watcher.holds import Fail, LeaveAlone, Policy, RaiseMemory, decide, describe_raise, policy_of
from inbox_watcher.job_watch import JobWatch
from inbox_watcher.matching import Refused, Shrunk, check_request
from inbox_watcher.workplace import Workplace
from scoring.errors import FileRefusedError

_LOG = logging.getLogger("loans.watch")

_SLOTS_KEPT = 30.0
"""How long an answer of the collector is good enough (seconds)."""
_LOOK_AGAIN = 5.0
"""How soon held jobs are looked at again after something was done (seconds)."""
_LOOK_LATER = 60.0
"""The same where only a person can do something (seconds)."""
_MOST_AVOIDED = 50
"""Machines that one batch avoids at most."""


@dataclass(frozen=True)
class Request:
    """What the jobs of an attempt are submitted with."""

    memory_mb: int
    """Memory for each job (MB)."""
    avoid_hosts: tuple[str, ...]
    """Machines that they are kept away from."""


@dataclass
class _Cared:
    """What is remembered of a batch while the daemon runs."""

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
    """Serves all running batches of one daemon; a batch is in one step at a time."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self._cared: dict[str, _Cared] = {}
        self._slots: tuple[float, tuple[Slot, ...]] = (-_SLOTS_KEPT, ())
        self._told = ""

    def choose_request(self, batch: Batch) -> Request:
        """Choose what the jobs of the next attempt ask for.

        Raises FileRefusedError when no slot could ever run them; SchedulerError when the pool cannot be reached.
        """
        scoring = self._place.site.scoring
        memory_mb = self.choose_memory()
        if not batch.clusters:
            return Request(memory_mb, ())
        slots = self._slots[1]
        failed = hosts_of_failures(_read_all(EventLog(self._place.state.event_log(batch.id))), slots)
        avoid = choose_avoided(failed, slots, cpus=scoring.cpus, memory_mb=memory_mb, disk_mb=scoring.disk_mb)
        if avoid:
            _LOG.warning("%s: chunks are kept away from %s, where they failed", batch.id, ", ".join(avoid))
        return Request(memory_mb, avoid)

    def choose_memory(self) -> int:
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
        return verdict.memory_mb if isinstance(verdict, Shrunk) else scoring.memory_mb

    def attend(self, batch: Batch, watch: JobWatch) -> None:
        """Treat held jobs by their codes, and tell when nothing of the batch has run for long."""
        moment = self._place.clock()
        cared = self._cared.setdefault(batch.id, _Cared(moment))
        if watch.executing or len(watch.parts_there) != cared.parts:
            cared.quiet_since, cared.parts, cared.alarm_due = moment, len(watch.parts_there), 0.0
        if watch.held and (frozenset(watch.held) != cared.held or moment >= cared.due):
            cared.held, cared.due = frozenset(watch.held), moment + _LOOK_LATER
            with self._place.scheduler() as scheduler:
                self._treat(batch, watch, cared, scheduler)
        limit = self._place.site.scoring.idle_alarm_seconds
        if moment - cared.quiet_since >= limit and moment >= cared.alarm_due:
            cared.alarm_due = moment + limit
            self._alarm(batch, cared)

    def forget(self, batch: Batch) -> None:
        """Forget a batch whose attempt has ended."""
        self._cared.pop(batch.id, None)

    def _treat(self, batch: Batch, watch: JobWatch, cared: _Cared, scheduler: Scheduler) -> None:
        moment = self._place.clock()
        # Only what is queued can be held; the history is left alone.
        jobs = scheduler.job_states(batch.clusters[-1:], left_since=time.time())
        for job in jobs:
            if job.in_queue and job.state is JobState.HELD and job.chunk is not None:
                due = self._treat_one(batch, job, job.chunk, watch, cared, scheduler)
                cared.due = min(cared.due, moment + due)

    def _treat_one(
        self, batch: Batch, job: Job, chunk: int, watch: JobWatch, cared: _Cared, scheduler: Scheduler
    ) -> float:
        """Do what the table says for one held job; give how soon to look again (seconds)."""
        scoring = self._place.site.scoring
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
                _LOG.warning("%s: chunk %d is held by a person and left alone", batch.id, chunk)
            return _LOOK_LATER
        if isinstance(decision, Fail):
            watch.last_words[chunk] = f"HTCondor held the job: {decision.reason}"
            _LOG.warning("%s: chunk %d is held (code %s) and given up", batch.id, chunk, job.hold_code)
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
        _LOG.warning("%s: chunk %d was held (code %s) and is released: %s", batch.id, chunk, job.hold_code, why)
        scheduler.release([job.id], why)
        return _LOOK_AGAIN

    def _alarm(self, batch: Batch, cared: _Cared) -> None:
        """Say why nothing runs, once, and again when the reason is another one."""
        scoring = self._place.site.scoring
        try:
            with self._place.scheduler() as scheduler:
                jobs = scheduler.job_states(batch.clusters[-1:], left_since=time.time())
                slots = self._ask_slots(scheduler)
        except DagSpecError as error:
            why = str(error)
        else:
            why = "; ".join(explain_waiting(jobs, slots, cpus=scoring.cpus, disk_mb=scoring.disk_mb))
        if why and why != cared.alarm:
            cared.alarm = why
            idle = self._place.clock() - cared.quiet_since
            _LOG.error("%s: nothing of it has run for %.0f minutes: %s", batch.id, idle / 60, why)

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


def _read_all(log: EventLog) -> list[JobEvent]:
    events: list[JobEvent] = []
    while True:
        reading = log.read()
        events += reading.events
        if not reading.more:
            return events


def hosts_of_failures(events: Iterable[JobEvent], slots: Iterable[Slot]) -> tuple[str, ...]:
    """Name the machines on which jobs failed, were lost, or were held for trouble with storage; the latest first."""
    # A slot is named after its startd, which need not be called as its machine is.
    machines = {slot.name.rpartition("@")[2]: slot.host for slot in slots}
    at: dict[tuple[int, int], str] = {}
    failed: dict[str, None] = {}
    for event in events:
        job = (event.cluster, event.proc)
        if event.kind is EventKind.EXECUTING:
            name = event.host.rpartition("@")[2]
            at[job] = machines.get(name, name)
        elif job in at and at[job] and _is_failure(event):
            failed.pop(at[job], None)
            failed[at[job]] = None
    return tuple(reversed(failed))


def _is_failure(event: JobEvent) -> bool:
    if event.kind is EventKind.TERMINATED:
        return event.exit_code != 0
    if event.kind is EventKind.HELD:
        return policy_of(event.hold_code, event.hold_subcode, event.reason) is Policy.RELEASE
    return event.kind in {EventKind.SHADOW_EXCEPTION, EventKind.RECONNECT_FAILED}


def choose_avoided(
    failed: Iterable[str], slots: Iterable[Slot], *, cpus: int, memory_mb: int, disk_mb: int
) -> tuple[str, ...]:
    """Choose the machines to avoid: all on which jobs failed, or none where that would leave no slot for the job."""
    avoid = [host for host in failed if _is_host(host)][:_MOST_AVOIDED]
    left = [slot for slot in slots if slot.host not in avoid]
    return tuple(avoid) if count_places(left, cpus=cpus, memory_mb=memory_mb, disk_mb=disk_mb) else ()


def _is_host(name: str) -> bool:
    try:
        return bool(check_host(name))
    except DescriptionError:
        return False
