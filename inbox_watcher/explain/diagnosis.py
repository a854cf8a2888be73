"""What is known of a batch, and the sentences that are made of it: values only."""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dag_specs.events import EventKind, JobEvent
from dag_specs.jobs import Job, JobState, Slot
from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.jobs.holds import (
    CODES,
    PAUSES,
    Policy,
    choose_pause,
    is_storage_hold,
    memory_used,
    policy_of,
    read_raise,
)
from inbox_watcher.jobs.matching import explain_waiting
from inbox_watcher.jobs.wording import are, begin, count, duration, gigabytes, name_chunks


class Kind(StrEnum):
    """What a sentence is about."""

    PROGRESS = "progress"
    """How far it is; nothing is wrong."""
    WAITING = "waiting"
    """It waits, which may be right."""
    TROUBLE = "trouble"
    """Something is wrong."""
    END = "end"
    """It came to its end."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing to know."""

    kind: Kind
    """What it is about."""
    text: str
    """What is so."""
    way_out: str = ""
    """What to do about it; empty: nothing."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What could be found out about a batch; what could not is empty, and its trouble says why."""

    batch: Batch
    """As the journal has it."""
    now: float
    """The time (seconds since 1970)."""
    daemon_runs: bool | None = None
    """Whether the daemon is at work; None: not known."""
    jobs: tuple[Job, ...] = ()
    """The queue's jobs of the present attempt."""
    slots: tuple[Slot, ...] = ()
    """The pool's slots."""
    pool_trouble: str = ""
    """Why the pool did not tell jobs and slots."""
    events: tuple[JobEvent, ...] = ()
    """The event log of the present attempt."""
    chunk_of: Mapping[int, int]
    """Which chunk each job (proc) of the present attempt scores."""
    log_is_there: bool = True
    """Whether the event log could be read."""
    parts_there: frozenset[int] | None = None
    """Chunks whose part is on the shared storage; None: not known."""
    storage_trouble: str = ""
    """Why the shared storage did not tell."""
    cpus: int
    """What a job asks for: CPUs,"""
    disk_mb: int
    """and scratch disk (MB)."""


def explain_held(facts: Facts) -> list[Sentence]:
    """Tell what is held now, and what was held and released."""
    said: list[Sentence] = []
    alike: dict[tuple[Kind, str, str], list[int]] = defaultdict(list)
    held_now = {job.chunk: job for job in facts.jobs if job.in_queue and job.state is JobState.HELD}
    last_hold: dict[int, JobEvent] = {}
    released: dict[int, JobEvent] = {}
    releases: dict[int, int] = defaultdict(int)
    for event in facts.events:
        chunk = facts.chunk_of.get(event.proc)
        if chunk is None:
            continue
        if event.kind is EventKind.HELD:
            last_hold[chunk] = event
            released.pop(chunk, None)
        elif event.kind is EventKind.RELEASED:
            released[chunk] = event
            releases[chunk] += 1
        elif event.kind in {EventKind.TERMINATED, EventKind.ABORTED}:
            last_hold.pop(chunk, None)
    for chunk, job in held_now.items():
        if chunk is not None:
            text, way_out = _tell_hold(job.hold_code, job.hold_subcode, job.reason, releases[chunk], job.memory_mb)
            alike[Kind.TROUBLE, text, way_out].append(chunk)
    for chunk, event in last_hold.items():
        if chunk in held_now or (facts.parts_there and chunk in facts.parts_there):
            continue
        if back := released.get(chunk):
            alike[Kind.PROGRESS, f"held: {_tell_release(event, back)}", ""].append(chunk)
        elif facts.pool_trouble:
            text, way_out = _tell_hold(event.hold_code, event.hold_subcode, event.reason, releases[chunk], 0)
            alike[Kind.TROUBLE, text, way_out].append(chunk)
    for (kind, text, way_out), chunks in alike.items():
        verb = are(chunks) if kind is Kind.TROUBLE else "was" if len(chunks) == 1 else "were"
        said.append(Sentence(kind, f"{begin(name_chunks(chunks))} {verb} {text}.", way_out))
    return said


def _tell_release(held: JobEvent, released: JobEvent) -> str:
    why = CODES.get(held.hold_code or 0, (held.reason or "no reason given", None))[0]
    raised = read_raise(released.reason)
    if raised is None:
        return f"{why}; released"
    if used := memory_used(held.reason):
        why = f"it used {used} of {gigabytes(raised[0])}"
    return f"{why}; raised to {gigabytes(raised[1])} and released"


def _tell_hold(code: int | None, subcode: int | None, reason: str, releases: int, memory_mb: int) -> tuple[str, str]:
    policy = policy_of(code, subcode, reason)
    said = reason.strip().rstrip(".") or "no reason given"
    if policy is Policy.LEAVE:
        return f"held on purpose: {said}", "The daemon leaves it alone: `condor_release` lets it go on."
    if policy is Policy.RAISE:
        used = memory_used(reason)
        asked = f" of {gigabytes(memory_mb)}" if memory_mb else ""
        return (
            f"held: it used {used}{asked}" if used else f"held: it used more memory than{asked.removeprefix(' of')}",
            "The daemon doubles its memory and releases it, up to scoring.memory_limit_mb and the largest slot.",
        )
    if policy is Policy.RELEASE and releases < len(PAUSES):
        pause = f"{choose_pause(code, subcode, releases):.0f} s after it was held"
        return f"held: {said}", f"The daemon lets it run again {pause}, release {releases + 1} of {len(PAUSES)}."
    if is_storage_hold(code, subcode):
        return f"held: {said}", "The daemon submits the chunk anew; what the storage does is not counted as an attempt."
    return f"held: {said}", "The daemon gives this attempt of the chunk up and tries it again elsewhere."


_SLOW_FACTOR = 3.0
"""A chunk that takes so many times longer than half of the others is called slow,"""
_SLOW_SECONDS = 60.0
"""once it runs for so long (seconds)."""


def explain(facts: Facts) -> list[Sentence]:
    """Say what is so with a batch, the most telling first."""
    batch = facts.batch
    said = []
    if batch.trouble and batch.state not in FINAL:
        said.append(
            Sentence(
                Kind.TROUBLE,
                f"Its next step waits: {batch.trouble.rstrip('.')}.",
                "The daemon tries again by itself, every 30 seconds at the latest.",
            )
        )
    if batch.state in FINAL or batch.state in {State.PUBLISHED, State.FAILING}:
        return [*_tell_end(batch), *said]
    if facts.daemon_runs is False:
        said.append(
            Sentence(
                Kind.TROUBLE,
                f"The daemon does not run, so nothing goes on with this batch ({batch.state} since {batch.updated}).",
                "Start it: `systemctl start loans-watch`, or `loans watch`.",
            )
        )
    if facts.storage_trouble:
        said.append(
            Sentence(
                Kind.TROUBLE,
                f"The shared storage cannot be read: {facts.storage_trouble}.",
                "Look at the mount and its server; the daemon goes on by itself when it answers again.",
            )
        )
    if batch.state in {State.PLANNED, State.RUNNING}:
        if facts.pool_trouble:
            said.append(
                Sentence(
                    Kind.TROUBLE,
                    f"The pool cannot be reached: {facts.pool_trouble.rstrip('.')}.",
                    "`loans pool status`, or `condor_status`, tells more; the daemon tries again by itself.",
                )
            )
        elif not facts.slots:
            said.append(
                Sentence(Kind.TROUBLE, "The pool has no slots.", "Start an execute node; `condor_status` lists them.")
            )
    if batch.state is State.RUNNING:
        said += _explain_jobs(facts)
    elif batch.state is State.PLANNED:
        tried = f"; {count(batch.tries, 'attempt')} left chunks without a part" if batch.tries else ""
        if batch.setbacks:
            tried += f"; {count(batch.setbacks, 'further attempt')} met trouble of the storage and do not count"
        said.append(
            Sentence(
                Kind.WAITING, f"{count(batch.chunks, 'chunk')} are about to be submitted since {batch.updated}{tried}."
            )
        )
    else:
        said.append(Sentence(Kind.PROGRESS, f"{_DOING[batch.state]} since {batch.updated}."))
    return said


_DOING = {
    State.CLAIMING: "The file is being taken out of the inbox",
    State.CLAIMED: "The file is being checked and cut into chunks",
    State.MERGING: "Every part is there; they are being merged and published",
}


def _tell_end(batch: Batch) -> list[Sentence]:
    if batch.state in {State.FAILED, State.FAILING}:
        what, _, way_out = batch.reason.partition("\n")
        return [Sentence(Kind.END, f"Failed at {batch.updated}: {what.rstrip('.')}.", way_out)]
    if batch.reason:
        results = f"Its results are those: {batch.output}.predictions.csv." if batch.scored or batch.rejected else ""
        return [Sentence(Kind.END, f"Ended at {batch.updated}: {batch.reason.rstrip('.')}.", results)]
    return [
        Sentence(
            Kind.END,
            f"Published at {batch.updated}: {batch.output}.predictions.csv, "
            f"{count(batch.scored, 'row')} scored, {batch.rejected} rejected.",
        )
    ]


def _explain_jobs(facts: Facts) -> list[Sentence]:
    batch = facts.batch
    said = explain_held(facts)
    waiting = explain_waiting(
        facts.jobs, facts.slots, cpus=facts.cpus, disk_mb=facts.disk_mb, now=facts.now, done=facts.parts_there
    )
    if facts.slots:
        said += [Sentence(Kind.WAITING, f"{text[0].upper()}{text[1:]}.", _WAIT_OUT) for text in waiting]
    if batch.group:
        said.append(Sentence(Kind.PROGRESS, f"Its one chunk is scored by a job that small files share, {batch.group}."))
    said += _explain_slow(facts)
    if not facts.log_is_there:
        said.append(
            Sentence(
                Kind.TROUBLE,
                "HTCondor's event log of this batch cannot be read: the daemon asks the queue instead.",
                "Check the disk of `state` in the site file.",
            )
        )
    there = batch.chunks_done if facts.parts_there is None else len(facts.parts_there)
    running = sorted(
        job.chunk for job in facts.jobs if job.in_queue and job.state is JobState.RUNNING and job.chunk is not None
    )
    now = f"; {name_chunks(running)} {are(running)} running" if running else ""
    tries = f", attempt {batch.tries}" if batch.tries > 1 else ""
    if batch.setbacks:
        tries += f", {count(batch.setbacks, 'attempt')} before that met trouble of the storage and did not count"
    said.append(Sentence(Kind.PROGRESS, f"{there} of {count(batch.chunks, 'chunk')} are done{tries}{now}."))
    return said


_WAIT_OUT = "`loans pool status` shows the slots; `condor_q -better-analyze` shows what each of them says to the job."


def _explain_slow(facts: Facts) -> list[Sentence]:
    """Tell which chunks run much longer than others took."""
    begun: dict[int, float] = {}
    took: list[float] = []
    for event in facts.events:
        if event.kind is EventKind.EXECUTING:
            begun[event.proc] = event.time
        elif event.kind is EventKind.TERMINATED and event.proc in begun and event.exit_code == 0:
            took.append(event.time - begun.pop(event.proc))
        elif event.kind in {EventKind.TERMINATED, EventKind.ABORTED, EventKind.HELD, EventKind.EVICTED}:
            begun.pop(event.proc, None)
    if not took:
        return []
    usual = statistics.median(took)
    said = []
    for job in facts.jobs:
        runs = facts.now - begun.get(job.id.proc or 0, facts.now)
        if not job.in_queue or job.state is not JobState.RUNNING or job.chunk is None:
            continue
        if runs > max(_SLOW_SECONDS, usual * _SLOW_FACTOR):
            others = "the other took" if len(took) == 1 else "the others took"
            said.append(
                Sentence(
                    Kind.TROUBLE,
                    f"Slow: chunk {job.chunk} runs for {duration(runs)} on {job.host or 'an unknown host'}, "
                    f"{others} {duration(usual)}.",
                    "Look at that machine; `condor_vacate_job` lets the chunk start again elsewhere.",
                )
            )
    return said


def explain_inbox(
    name: str,
    *,
    there: bool | None,
    model: tuple[str, str],
    daemon_runs: bool | None,
    trouble: str,
    left_alone: str = "",
) -> list[Sentence]:
    """Say why a file has no batch yet.

    `there`: whether it is in the inbox; `left_alone`: why it is none of the daemon's; `model`: why none can score it,
    and what to do about that.
    """
    said = []
    if trouble:
        said.append(Sentence(Kind.TROUBLE, f"The shared storage cannot be read: {trouble}.", "Look at the mount."))
    if there is False:
        return [
            *said,
            Sentence(Kind.END, f"There is no batch and no file {name!r}.", "`loans status` lists the batches."),
        ]
    if left_alone:
        way_out = "Drop a copy of the file itself, under a name that ends with .csv or .csv.gz."
        return [*said, Sentence(Kind.TROUBLE, f"The daemon leaves {name!r} alone: {left_alone}.", way_out)]
    if daemon_runs is False:
        said.append(
            Sentence(
                Kind.TROUBLE,
                "The file waits in the inbox: the daemon does not run.",
                "Start it: `systemctl start loans-watch`, or `loans watch`.",
            )
        )
    why, way_out = model
    if why:
        said.append(Sentence(Kind.TROUBLE, f"The file waits in the inbox: {why.rstrip('.')}.", way_out))
    if not said:
        said.append(
            Sentence(
                Kind.WAITING,
                "The file waits in the inbox until it is complete: its size and times must not change for a while, and "
                "no process on this host may have it open for writing.",
                "The daemon logs what it objects to: `journalctl -u loans-watch`.",
            )
        )
    return said
