"""What is said of chunks that are held, or were.  Pure."""

from collections import defaultdict

from dag_specs.events import EventKind, JobEvent
from dag_specs.jobs import JobState
from inbox_watcher.facts import Facts, Kind, Sentence
from inbox_watcher.holds import CODES, PAUSES, Policy, choose_pause, is_storage_hold, memory_used, policy_of, read_raise
from inbox_watcher.wording import are, begin, gigabytes, name_chunks


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
