"""Which small files share a job: everything that waits goes somewhere, once, soon, and never in too large a company."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.jobs.grouping import (
    LARGEST,
    LONGEST_WAIT,
    PATIENCE,
    SMALL_BYTES,
    WORTH_SPLITTING,
    Waiting,
    choose_groups,
    fits_queue,
    may_share,
)

ATTEMPTS = 3
NOW = 1000.0

ages = st.floats(0, 2 * LONGEST_WAIT)
files = st.lists(st.tuples(ages, st.integers(0, ATTEMPTS - 1)), max_size=3 * LARGEST)


def wait(*facts: tuple[float, int]) -> list[Waiting]:
    """Make files that have waited so long (seconds), suspected so often."""
    return [Waiting(f"b{number}", NOW - age, suspected) for number, (age, suspected) in enumerate(facts)]


def lone(count: int, age: float = 0.0) -> list[Waiting]:
    """Make files that nobody suspects."""
    return wait(*[(age, 0)] * count)


@given(files, st.integers(0, 9), st.integers(1, 4))
def test_each_file_is_in_one_group_at_most(facts: list[tuple[float, int]], outstanding: int, places: int) -> None:
    """Whatever waits, no file is chosen twice, no group is empty or too large, and the suspected are kept apart."""
    waiting = wait(*facts)
    suspected = {item.batch_id: item.suspected for item in waiting}
    groups = choose_groups(waiting, outstanding, places, ATTEMPTS, NOW)
    chosen = [batch_id for group in groups for batch_id in group]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= suspected.keys()
    for group in groups:
        assert 1 <= len(group) <= LARGEST
        assert len({suspected[batch_id] > 0 for batch_id in group}) == 1
        if suspected[group[0]]:
            assert len(group) <= WORTH_SPLITTING
        if suspected[group[0]] == ATTEMPTS - 1:
            assert len(group) == 1


@given(files.filter(bool), st.integers(0, 9), st.integers(1, 4))
def test_nothing_waits_for_ever(facts: list[tuple[float, int]], outstanding: int, places: int) -> None:
    """When the file that waits longest has waited long enough, or a place is free, all that wait go."""
    waiting = wait(*facts)
    groups = choose_groups(waiting, outstanding, places, ATTEMPTS, NOW)
    if outstanding < places or max(age for age, _ in facts) >= LONGEST_WAIT:
        assert sorted(batch_id for group in groups for batch_id in group) == sorted(item.batch_id for item in waiting)


def test_a_lone_file_on_an_idle_pool_goes_at_once() -> None:
    """Latency first: nobody waits for company while a slot has nothing to do."""
    assert choose_groups(lone(1), 0, 2, ATTEMPTS, NOW) == [("b0",)]
    assert choose_groups(lone(3), 1, 2, ATTEMPTS, NOW) == [("b0", "b1", "b2")]


def test_files_gather_while_every_slot_is_at_work() -> None:
    """With a job for each slot a file waits half a second for others; with two for each, until one ends."""
    assert choose_groups(lone(5), 2, 2, ATTEMPTS, NOW) == []
    assert choose_groups(lone(5, PATIENCE), 3, 2, ATTEMPTS, NOW) == [("b0", "b1", "b2", "b3", "b4")]
    assert choose_groups(lone(5, PATIENCE), 4, 2, ATTEMPTS, NOW) == []
    assert len(choose_groups(lone(LARGEST + 1), 4, 2, ATTEMPTS, NOW)) == 1


def test_many_files_use_every_free_slot() -> None:
    """What is enough for several jobs is split evenly over the slots that are free; a few files are one job."""
    assert [len(group) for group in choose_groups(lone(100), 0, 2, ATTEMPTS, NOW)] == [50, 50]
    assert [len(group) for group in choose_groups(lone(WORTH_SPLITTING), 0, 2, ATTEMPTS, NOW)] == [WORTH_SPLITTING]
    assert choose_groups([], 0, 2, ATTEMPTS, NOW) == []


def test_what_may_share_a_job() -> None:
    """One chunk of little content may share; several chunks or a lot of content may not."""
    batch = Batch("b", b"loans.csv", State.PLANNED, "then", "now", "loans", rows=20, bytes=2000, chunks=1)
    assert may_share(batch)
    assert not may_share(msgspec.structs.replace(batch, chunks=2))
    assert not may_share(msgspec.structs.replace(batch, bytes=SMALL_BYTES + 1))


def test_the_queue_is_bounded_but_never_for_a_small_file() -> None:
    """A further cluster waits while many jobs are idle; a single job always goes."""
    assert fits_queue(10_000, idle=0, limit=400)
    assert fits_queue(2, idle=399, limit=400)
    assert not fits_queue(2, idle=400, limit=400)
    assert fits_queue(1, idle=10_000, limit=400)
