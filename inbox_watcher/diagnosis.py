"""In plain words: what a batch waits for, why it is held, slow or failed, and the way out.  Pure."""

import statistics
from collections import defaultdict
from collections.abc import Iterable

from dag_specs.events import EventKind
from dag_specs.jobs import Job, JobState, Slot
from inbox_watcher.batch import FINAL, Batch, State
from inbox_watcher.facts import Facts, Kind, Sentence
from inbox_watcher.held_chunks import explain_held
from inbox_watcher.matching import explain_idle
from inbox_watcher.wording import are, count, duration, name_chunks

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


def explain_waiting(
    jobs: Iterable[Job],
    slots: Iterable[Slot],
    *,
    cpus: int,
    disk_mb: int,
    now: float = 0.0,
    done: frozenset[int] | None = None,
) -> list[str]:
    """Say of idle jobs why they wait, those that ask for the same memory together; with `now`, for how long."""
    known = tuple(slots)
    idle: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.in_queue and job.state is JobState.IDLE and job.chunk is not None and job.chunk not in (done or ()):
            idle[job.memory_mb].append(job)
    said = []
    for memory_mb, alike in sorted(idle.items()):
        chunks = [job.chunk for job in alike if job.chunk is not None]
        why, _ = explain_idle(known, cpus=cpus, memory_mb=memory_mb, disk_mb=disk_mb)
        since = f" for {duration(now - min(job.since for job in alike))}" if now else ""
        said.append(f"{name_chunks(chunks)} {'waits' if len(chunks) == 1 else 'wait'}{since}: {why}")
    return said


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
