"""What is due next: every batch is in one place, claims come first, and nothing is forgotten."""

from collections import Counter
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from inbox_watcher.agenda import Agenda, TaskKind
from inbox_watcher.batch.batch import Batch, State


def make(number: int, state: State, **facts: object) -> Batch:
    """Make a small batch in a state."""
    batch = Batch(f"b{number:05d}", b"%d.csv" % number, state, "then", "now", f"{number}", bytes=100, chunks=1)
    return msgspec.structs.replace(batch, state=state, **facts)


def test_claims_come_first() -> None:
    """A file in the inbox is claimed before others are planned, and these are planned before others are ended."""
    agenda = Agenda([make(1, State.MERGING), make(2, State.CLAIMED), make(3, State.CLAIMING)])
    assert agenda.names_being_claimed() == [b"3.csv"]
    taken = [agenda.take_step(lambda _: True, 0.0) for _ in range(4)]
    assert [task and task.batches[0].state for task in taken] == [State.CLAIMING, State.CLAIMED, State.MERGING, None]
    assert len(agenda) == 3
    agenda.put(make(3, State.CLAIMED), 0.0)
    assert agenda.names_being_claimed() == []
    for number in (1, 2, 3):
        agenda.put(make(number, State.DONE), 0.0)
    assert len(agenda) == 0


def test_small_files_go_together_and_are_followed_as_one() -> None:
    """Planned small files become one task; its batches are looked at as one, again and again, until the job ended."""
    agenda = Agenda([make(number, State.PLANNED) for number in range(5)])
    (task,) = agenda.take_groups(1, 3, 0.0)
    assert (task.kind, len(task.batches)) == (TaskKind.SUBMIT_GROUP, 5)
    agenda.put(make(5, State.PLANNED), 0.0)
    assert agenda.take_groups(1, 3, 0.0) == []  # a job is about to be out
    for batch in task.batches:
        agenda.put(msgspec.structs.replace(batch, state=State.RUNNING, group="group-1"), 0.1)
    (look,) = agenda.take_looks(0.2, 0.1)
    assert (look.kind, len(look.batches)) == (TaskKind.FOLLOW_GROUP, 5)
    assert agenda.take_looks(9.0, 0.1) == []
    assert agenda.take_groups(1, 3, 0.3) == []
    for batch in look.batches:
        agenda.put(batch, 0.3)
    assert agenda.take_looks(0.25, 0.1) == []
    (look,) = agenda.take_looks(0.4, 0.1)
    for batch in look.batches:
        agenda.put(msgspec.structs.replace(batch, state=State.MERGING), 0.5)
    assert agenda.take_looks(9.0, 0.1) == []
    assert len(agenda.take_groups(1, 3, 0.5)) == 1


def test_groups_of_an_earlier_life_are_followed() -> None:
    """After a restart, batches of one group are looked at together, a batch of its own alone."""
    running = [make(number, State.RUNNING, group="group-1") for number in range(3)] + [make(3, State.RUNNING)]
    looks = Agenda(running).take_looks(10.0, 0.1)
    assert [(look.kind, len(look.batches)) for look in looks] == [(TaskKind.LOOK, 1), (TaskKind.FOLLOW_GROUP, 3)]


def test_a_large_batch_waits_while_the_queue_is_full() -> None:
    """A planned batch of many jobs is asked for again later, and keeps nobody else."""
    agenda = Agenda([make(1, State.PLANNED, chunks=50), make(2, State.MERGING)])
    task = agenda.take_step(lambda _: False, 1.0)
    assert task is not None
    assert task.batches[0].state is State.MERGING
    agenda.wake(1.1)
    assert agenda.take_step(lambda _: True, 1.1) is None
    agenda.wake(2.0)
    task = agenda.take_step(lambda _: True, 2.0)
    assert task is not None
    assert task.batches[0].chunks == 50


def test_what_failed_is_put_off() -> None:
    """A batch whose step failed is not taken before its time."""
    agenda = Agenda([])
    agenda.put_later(make(1, State.CLAIMED), 5.0)
    agenda.wake(4.9)
    assert agenda.take_step(lambda _: True, 4.9) is None
    assert len(agenda) == 1
    agenda.wake(5.0)
    assert agenda.take_step(lambda _: True, 5.0) is not None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=60), st.integers(1, 3), st.randoms())
def test_every_file_comes_to_its_end(files: list[tuple[int, int]], places: int, chance: Random) -> None:
    """Whenever files arrive and however long their jobs take, each is submitted once, and the agenda runs empty."""
    agenda = Agenda([])
    submitted: Counter[str] = Counter()
    ends: dict[str, float] = {}
    following = dict(zip(State, [*list(State)[1:], State.DONE], strict=True))
    for tick in range(400):
        now = tick / 10
        for number, (arrives, chunks) in enumerate(files):
            if arrives == tick:
                agenda.put(make(number, State.CLAIMING, chunks=chunks), now)
        agenda.wake(now)
        tasks = [*agenda.take_looks(now, 0.1), *agenda.take_groups(places, 3, now)]
        step = agenda.take_step(lambda _: chance.random() < 0.5, now)
        for task in [*tasks, *([step] if step else [])]:
            first = task.batches[0]
            group = f"group-{first.id}" if task.kind is TaskKind.SUBMIT_GROUP else first.group
            if task.kind in (TaskKind.LOOK, TaskKind.FOLLOW_GROUP) and now < ends[first.submitted_as]:
                state = State.RUNNING
            else:
                state = following[first.state]
            for batch in task.batches:
                put = msgspec.structs.replace(batch, state=state, group=group)
                if batch.state is State.PLANNED:
                    submitted[batch.id] += 1
                    ends[put.submitted_as] = now + chance.random() * 3
                agenda.put(put, now)
    assert len(agenda) == 0
    assert set(submitted.values()) <= {1}
    assert len(submitted) == len(files)
