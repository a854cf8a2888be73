"""The states of a batch, and what follows from what is known of its jobs."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbox_watcher.batch.batch import (
    FINAL,
    TRANSITIONS,
    Batch,
    JobFacts,
    State,
    Verdict,
    advance,
    judge_jobs,
    pause_after,
)

CHUNKS = st.integers(1, 8)


def make_batch(state: State = State.RUNNING, chunks: int = 3, attempt: int = 1) -> Batch:
    """Make a batch in a state."""
    return Batch(
        id="20261122-150801-3f9a2c",
        name=b"loans.csv",
        state=state,
        created="2026-11-22T15:08:01Z",
        updated="2026-11-22T15:08:01Z",
        output="loans",
        chunks=chunks,
        attempt=attempt,
    )


@st.composite
def known_jobs(draw: st.DrawFn) -> tuple[Batch, JobFacts, int]:
    """Draw a running batch, whatever may be known of its jobs, and how many attempts the site allows."""
    chunks = draw(CHUNKS)
    numbers = st.frozensets(st.integers(0, chunks - 1))
    attempts = draw(st.integers(1, 4))
    tries, setbacks = draw(st.integers(1, attempts)), draw(st.integers(0, 3))
    batch = msgspec.structs.replace(make_batch(chunks=chunks, attempt=tries + setbacks), setbacks=setbacks)
    return batch, JobFacts(draw(numbers), draw(numbers), draw(numbers)), attempts


def test_every_state_stands_in_the_table() -> None:
    """The table knows every state and leads to no other."""
    assert set(TRANSITIONS) == set(State)
    assert {target for targets in TRANSITIONS.values() for target in targets} <= set(State)


def test_every_state_is_reached() -> None:
    """From the claim on, every state can be reached, and from every state a final one."""

    def reachable(start: State) -> set[State]:
        seen, open_states = {start}, [start]
        while open_states:
            for target in TRANSITIONS[open_states.pop()]:
                if target not in seen:
                    seen.add(target)
                    open_states.append(target)
        return seen

    assert reachable(State.CLAIMING) == set(State)
    assert all(reachable(state) & FINAL for state in State)


def test_only_late_evidence_follows_a_final_state() -> None:
    """Done and failed are the ends; results that are contradicted later are withdrawn, and nothing follows that."""
    assert {State.DONE, State.FAILED} == FINAL
    assert TRANSITIONS[State.DONE] == (State.FAILING,)
    assert TRANSITIONS[State.FAILED] == ()


@pytest.mark.parametrize("target", State)
@pytest.mark.parametrize("start", State)
def test_only_steps_of_the_table_are_taken(start: State, target: State) -> None:
    """A batch takes the steps that the table allows, or stays where it is; anything else is refused in words."""
    batch = make_batch(start)
    if target is start or target in TRANSITIONS[start]:
        after = advance(batch, target, "2026-11-22T15:09:00Z", rows=7)
        assert (after.state, after.updated, after.rows) == (target, "2026-11-22T15:09:00Z", 7)
        assert (after.id, after.created, batch.rows) == (batch.id, batch.created, 0)
    else:
        with pytest.raises(ValueError, match=rf"that is {start} cannot become {target}"):
            advance(batch, target, "2026-11-22T15:09:00Z")


@given(known_jobs())
def test_parts_are_merged_exactly_when_all_are_there(known: tuple[Batch, JobFacts, int]) -> None:
    """What merges a batch is that every part is there, whatever the queue says, and nothing else."""
    batch, facts, attempts = known
    complete = facts.parts_there == frozenset(range(batch.chunks))
    assert (judge_jobs(batch, facts, attempts) is Verdict.MERGE) == complete


@given(known_jobs())
def test_nothing_is_given_up_before_every_attempt_was_made(known: tuple[Batch, JobFacts, int]) -> None:
    """A batch is given up only after its last attempt, with a part missing whose job runs no more."""
    batch, facts, attempts = known
    if judge_jobs(batch, facts, attempts) is Verdict.GIVE_UP:
        missing = set(range(batch.chunks)) - facts.parts_there
        assert batch.attempt - batch.setbacks >= attempts
        assert missing
        assert not missing & (facts.still_queued | facts.kept_off)


@given(known_jobs())
def test_a_missing_part_is_waited_for_while_its_job_may_run(known: tuple[Batch, JobFacts, int]) -> None:
    """While the job of any missing chunk may still run, the batch waits: no second job for it is made."""
    batch, facts, attempts = known
    missing = set(range(batch.chunks)) - facts.parts_there
    verdict = judge_jobs(batch, facts, attempts)
    assert (verdict is Verdict.WAIT) == bool(missing & facts.still_queued)
    if verdict is Verdict.SUBMIT_MISSING:
        assert batch.tries < attempts


@given(known_jobs())
def test_what_storage_did_is_never_counted(known: tuple[Batch, JobFacts, int]) -> None:
    """However many attempts there were, jobs that the storage kept from their results are submitted again."""
    batch, facts, attempts = known
    missing = set(range(batch.chunks)) - facts.parts_there
    verdict = judge_jobs(batch, facts, attempts)
    running = bool(missing & facts.still_queued)
    assert (verdict is Verdict.WAIT_FOR_STORAGE) == (not running and bool(missing & facts.kept_off))


def test_pauses_for_the_storage_grow_and_end() -> None:
    """Jobs are submitted again after longer and longer waits, none so long that work would not go on in a minute."""
    assert [pause_after(setbacks) for setbacks in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert pause_after(10**9) == 30


@given(known_jobs(), st.data())
def test_more_parts_never_make_it_worse(known: tuple[Batch, JobFacts, int], data: st.DataObject) -> None:
    """A batch that would be merged is still merged when more is known to be there."""
    batch, facts, attempts = known
    more = data.draw(st.frozensets(st.integers(0, batch.chunks - 1)))
    better = JobFacts(facts.parts_there | more, facts.still_queued, facts.kept_off)
    if judge_jobs(batch, facts, attempts) is Verdict.MERGE:
        assert judge_jobs(batch, better, attempts) is Verdict.MERGE


@given(st.binary(min_size=1), st.text(max_size=20))
def test_a_batch_survives_being_written_down(name: bytes, reason: str) -> None:
    """Whatever bytes the file's name is made of, the batch reads back as it was written."""
    batch = msgspec.structs.replace(make_batch(), name=name, reason=reason)
    assert msgspec.json.decode(msgspec.json.encode(batch), type=Batch) == batch
