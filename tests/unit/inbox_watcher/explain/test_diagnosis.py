"""Why a batch is held, idle, slow or failed: facts in, plain sentences out."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dag_specs.events import EventKind, JobEvent
from dag_specs.jobs import Job, JobId, JobState
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.explain.diagnosis import Facts, Kind, Sentence, explain, explain_inbox
from inbox_watcher.explain.observation import _within, is_locked
from inbox_watcher.jobs.wording import duration, name_chunks
from tests.unit.dag_specs.in_memory_scheduler import SLOT

NOW = 1_000_000.0
BATCH = Batch(
    "b1", b"may.csv", State.RUNNING, "then", "2026-05-01T10:00:00Z", "may", chunks=50, chunks_done=3, attempt=1,
    clusters=(7,), rows=900,
)  # fmt: skip
OOM = "Job has gone over cgroup memory limit of 2048 megabytes. Last measured usage: 2150 megabytes."


def job(chunk: int, state: JobState = JobState.IDLE, *, since: float = NOW - 1320, **more: Any) -> Job:
    """Make a job of the batch."""
    facts: dict[str, Any] = {
        "id": JobId(7, chunk), "state": state, "in_queue": True, "batch_id": "b1", "chunk": chunk, "starts": 0,
        "since": since, "host": "", "exit_code": None, "exit_signal": None, "hold_code": None, "hold_subcode": None,
        "reason": "", "memory_mb": 512,
    }  # fmt: skip
    return Job(**facts | more)


def event(kind: EventKind, chunk: int, at: float = NOW, **more: Any) -> JobEvent:
    """Make an event of the batch."""
    return JobEvent(kind=kind, number=0, cluster=7, proc=chunk, time=at, **more)


def tell(batch: Batch = BATCH, **facts: Any) -> list[Sentence]:
    """Explain a batch of which only some facts are out of the ordinary."""
    usual: dict[str, Any] = {
        "now": NOW, "daemon_runs": True, "slots": (SLOT,), "chunk_of": {chunk: chunk for chunk in range(50)},
        "parts_there": frozenset({0, 1, 2}), "cpus": 1, "disk_mb": 128,
    }  # fmt: skip
    return explain(Facts(batch=batch, **usual | facts))


def texts(said: list[Sentence]) -> list[str]:
    """Give the sentences alone."""
    return [sentence.text for sentence in said]


def test_all_is_well() -> None:
    """A batch that runs tells how far it is and which chunks run, and names no trouble."""
    said = tell(jobs=(job(3, JobState.RUNNING), job(4, JobState.RUNNING)))
    assert texts(said) == ["3 of 50 chunks are done; chunks 3-4 are running."]
    assert said[0].kind is Kind.PROGRESS


def test_idle_chunks() -> None:
    """Chunks that wait for the same are named as ranges, with how long and what the pool has instead."""
    slots = tuple(replace(SLOT, name=f"slot1@n{n}", memory_mb=16384, free_memory_mb=6144 - n) for n in range(12))
    jobs = tuple(job(chunk, memory_mb=8192) for chunk in range(30, 42))
    said = tell(jobs=jobs, slots=slots)
    assert texts(said)[0] == (
        "Chunks 30-41 wait for 22 minutes: none of the pool's 12 slots has 8 GB free, the largest has 6 GB."
    )
    assert said[0].kind is Kind.WAITING
    never = tell(jobs=(job(5, memory_mb=8192),), slots=(SLOT,))
    assert texts(never)[0] == "Chunk 5 waits for 22 minutes: none of the pool's 1 slot has 8 GB, the largest has 4 GB."


def test_held_chunk() -> None:
    """A held chunk tells why and what the daemon does about it; alike ones share a sentence."""
    full: dict[str, Any] = {"hold_code": 12, "hold_subcode": 28, "reason": "no space left on device"}
    said = tell(jobs=(job(17, JobState.HELD, **full), job(18, JobState.HELD, **full)))
    assert texts(said)[0] == "Chunks 17-18 are held: no space left on device."
    assert "release 1 of 3" in said[0].way_out
    person = tell(jobs=(job(17, JobState.HELD, hold_code=1, reason="lunch"),))
    assert texts(person)[0] == "Chunk 17 is held on purpose: lunch."
    assert "condor_release" in person[0].way_out
    memory = tell(jobs=(job(17, JobState.HELD, hold_code=34, hold_subcode=102, reason=OOM, memory_mb=2048),))
    assert texts(memory)[0] == "Chunk 17 is held: it used 2.1 GB of 2 GB."
    rest = tell(jobs=(job(17, JobState.HELD, hold_code=4, reason="bad credential"),))
    assert "tries it again" in rest[0].way_out


def test_hold_that_is_over() -> None:
    """A job that was released tells what it was held for and what was changed, until its part is there."""
    history = (
        event(EventKind.HELD, 17, hold_code=34, hold_subcode=102, reason=OOM),
        event(EventKind.RELEASED, 17, reason="memory raised from 2048 to 4096 MB"),
    )
    said = tell(events=history, jobs=(job(17, JobState.RUNNING),))
    assert texts(said)[0] == ("Chunk 17 was held: it used 2.1 GB of 2 GB; raised to 4 GB and released.")
    assert said[0].kind is Kind.PROGRESS
    assert len(tell(events=history, parts_there=frozenset({17}))) == 1
    two = (*history, event(EventKind.HELD, 18, hold_code=13), event(EventKind.RELEASED, 18))
    assert "Chunk 18 was held: its input could not be transferred; released." in texts(tell(events=two))


def test_slow_chunk() -> None:
    """A chunk that runs much longer than the others took is named with its machine."""
    done = [
        one
        for chunk in range(3)
        for one in (
            event(EventKind.EXECUTING, chunk, NOW - 900),
            event(EventKind.TERMINATED, chunk, NOW - 780, exit_code=0),
        )
    ]
    jobs = (job(3, JobState.RUNNING, host="slot1@n7"), job(4, JobState.RUNNING, host="slot1@n8"))
    started = [event(EventKind.EXECUTING, 3, NOW - 540), event(EventKind.EXECUTING, 4, NOW - 200)]
    said = tell(events=tuple(done + started), jobs=jobs)
    assert texts(said)[0] == "Slow: chunk 3 runs for 9 minutes on slot1@n7, the others took 2 minutes."
    assert not any("chunk 4 runs" in text for text in texts(said))


def test_what_cannot_be_reached_is_said() -> None:
    """Pool, storage, daemon and event log: each that is away is named; the rest is told all the same."""
    said = tell(
        daemon_runs=False, storage_trouble="no answer within 5 seconds", pool_trouble="It is down.", slots=(),
        parts_there=None, log_is_there=False, events=(event(EventKind.HELD, 9, hold_code=13, reason="gone"),),
    )  # fmt: skip
    words = " ".join(texts(said))
    assert "The daemon does not run" in words
    assert "The shared storage cannot be read: no answer within 5 seconds." in words
    assert "The pool cannot be reached: It is down." in words
    assert "Chunk 9 is held: gone." in words
    assert "event log of this batch cannot be read" in words
    assert "3 of 50 chunks are done" in words
    assert all(sentence.way_out for sentence in said if sentence.kind is Kind.TROUBLE)
    assert "The pool has no slots." in texts(tell(slots=()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": State.CLAIMING}, "is being taken out of the inbox since 2026-05-01T10:00:00Z"),
        ({"state": State.CLAIMED}, "is being checked and cut into chunks"),
        ({"state": State.PLANNED}, "50 chunks are about to be submitted since 2026-05-01T10:00:00Z; 1 attempt left"),
        ({"state": State.MERGING}, "merged and published"),
        (
            {"state": State.PUBLISHED, "scored": 890, "rejected": 10},
            "may.predictions.csv, 890 rows scored, 10 rejected.",
        ),
        ({"state": State.DONE, "scored": 1}, "Published at 2026-05-01T10:00:00Z: may.predictions.csv, 1 row scored"),
        ({"state": State.DONE, "reason": "taken out of the inbox"}, "taken out of the inbox."),
        ({"state": State.FAILED, "reason": "No such column. [x]\nAdd it."}, "Failed at 2026-05-01T10:00:00Z: No such"),
    ],
)
def test_every_state_has_words(changes: dict[str, Any], words: str) -> None:
    """In whatever state a batch is, a sentence says so."""
    said = tell(msgspec.structs.replace(BATCH, **changes))
    assert words in said[-1].text
    if changes["state"] is State.FAILED:
        assert said[-1].way_out == "Add it."


@pytest.mark.parametrize("state", [State.CLAIMED, State.RUNNING, State.MERGING, State.FAILING])
def test_what_keeps_a_batch_from_going_on_is_told(state: State) -> None:
    """Trouble that its last step met is a sentence, until the batch is finished."""
    batch = msgspec.structs.replace(BATCH, state=state, reason="No.", trouble="No space left on device: '/a/b'.")
    said = tell(batch)
    assert "Its next step waits: No space left on device: '/a/b'." in texts(said)
    assert not [one for one in tell(msgspec.structs.replace(batch, state=State.FAILED)) if "space" in one.text]


def test_a_file_without_a_batch() -> None:
    """A file that waits in the inbox tells what it waits for; one that is nowhere is said to be nowhere."""
    alone = explain_inbox(
        "may.csv",
        there=True,
        model=("no model is in production", "`loans retrain` makes one."),
        daemon_runs=True,
        trouble="",
    )
    assert texts(alone) == ["The file waits in the inbox: no model is in production."]
    assert "loans retrain" in alone[0].way_out
    stopped = explain_inbox("may.csv", there=True, model=("", ""), daemon_runs=False, trouble="")
    assert texts(stopped) == ["The file waits in the inbox: the daemon does not run."]
    settling = explain_inbox("may.csv", there=True, model=("", ""), daemon_runs=None, trouble="")
    assert settling[0].kind is Kind.WAITING
    assert explain_inbox("x", there=False, model=("", ""), daemon_runs=True, trouble="")[0].kind is Kind.END
    hung = explain_inbox("x", there=None, model=("", ""), daemon_runs=True, trouble="no answer within 5 seconds")
    assert "cannot be read" in hung[0].text


def test_words_for_chunks_and_times() -> None:
    """Ranges are compressed and times rounded as people say them."""
    assert name_chunks([17]) == "chunk 17"
    assert name_chunks([41, *range(30, 41), 3, 5, 6]) == "chunks 3, 5-6, 30-41"
    assert [duration(seconds) for seconds in (0, 1, 89, 1320, 9000)] == [
        "0 seconds", "1 second", "89 seconds", "22 minutes", "2 hours",
    ]  # fmt: skip


def test_storage_that_hangs_is_left_behind() -> None:
    """A look that gets no answer is given up in time, one that fails tells why."""
    begun = time.monotonic()
    assert _within(lambda: time.sleep(30), 0.1) == (None, "no answer within 0 seconds")
    assert time.monotonic() - begun < 5
    assert _within((Path("/nowhere") / "x").read_text) == (None, "No such file or directory")
    assert _within(lambda: 4) == (4, "")


def test_running_daemon_is_seen_without_touching_its_lock(tmp_path: Path) -> None:
    """Whether a lock is held is read from the kernel's table: looking never gets into the daemon's way."""
    import fcntl

    lock = tmp_path / "lock"
    assert is_locked(lock) is False
    with lock.open("w") as file:
        assert is_locked(lock) is False
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(lock) is True
    assert is_locked(lock) is False
    assert is_locked(lock, tmp_path / "no such table") is None
