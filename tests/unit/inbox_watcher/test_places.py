"""How many jobs a file becomes: by what the pool could run at a time, not by how many slots it reports."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import count

import pytest

from dag_specs import scoring_cluster
from dag_specs.jobs import Slot
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.planning import ASSUMED_PLACES, WAVES
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from scoring.chunk.plan import read_batch_plan
from tests.unit.dag_specs.in_memory_scheduler import SLOT
from tests.unit.inbox_watcher.batch_steps import Drop, OpenBatch
from tests.unit.inbox_watcher.conftest import loans, with_scoring
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess

ROWS = 1500

WIDE = replace(SLOT, cpus=64, memory_mb=64 * 512, disk_mb=64 * 1024, free_cpus=64, free_memory_mb=64 * 512)
"""One partitionable slot of 64 cores."""
STATIC = replace(WIDE, cpus=1, memory_mb=1024, partitionable=False)

Plan = Callable[..., Batch]


@pytest.fixture
def wide_pool(monkeypatch: pytest.MonkeyPatch) -> PoolInProcess:
    """Give a pool of one slot of 64 cores; files count as large from a few loans on."""
    monkeypatch.setattr("inbox_watcher.batch.planning.SMALL_FILE", 64)
    pool = PoolInProcess(lazy=True)
    pool._slots = (WIDE,)
    return pool


@pytest.fixture
def steps(site: Site, journal: Journal, wide_pool: PoolInProcess) -> Callable[..., Steps]:
    """Give a function that starts the daemon's steps on that pool, whose clock goes on by a minute at each look."""
    moments = count(0.0, 60.0)

    def make(**scoring: object) -> Steps:
        changed = with_scoring(site, **({"chunk_bytes": 0} | scoring))
        return Steps(changed, journal, lambda: nullcontext(wide_pool), lambda: next(moments))

    return make


@pytest.fixture
def plan(drop: Drop, open_batch: OpenBatch) -> Plan:
    """Give a function that drops a file and has it planned."""

    def plan(steps: Steps, name: str = "may.csv", number: int = 1) -> Batch:
        drop(name, rows=ROWS, seed=number)
        batch = open_batch(name, f"20261122-150801-00000{number}")
        while batch.state is not State.PLANNED:
            batch = steps.take(batch)
        return batch

    return plan


def largest_chunk(layout: Layout, batch: Batch) -> int:
    """Give the bytes of a batch's largest chunk."""
    chunks = read_batch_plan(layout.batch(batch.id).plan).plan.chunks
    return max(chunk.stop - chunk.start for chunk in chunks)


def check_chunks(layout: Layout, batch: Batch, places: int) -> None:
    """Check that a file became about WAVES jobs for each of `places`: cuts fall on records, so a few fewer."""
    size = len(loans(ROWS))
    even = size / (places * WAVES)
    record = 2 * size / ROWS
    assert size / (even + record) - 1 <= batch.chunks <= places * WAVES
    assert largest_chunk(layout, batch) <= even + record


@pytest.mark.parametrize(
    ("slots", "scoring", "places"),
    [
        ((WIDE,), {}, 64),
        ((WIDE, replace(WIDE, name="slot1@other", host="other")), {}, 128),
        ((WIDE,), {"cpus": 4}, 16),
        ((WIDE,), {"memory_mb": 2048}, 16),
        ((WIDE,), {"disk_mb": 8192}, 8),
        # Jobs ask for less than the site says, as no slot has that much: for a whole slot.
        ((WIDE,), {"memory_mb": 1_000_000}, 1),
        ((STATIC,) * 5, {}, 5),
        ((STATIC,) * 5 + (WIDE,), {"memory_mb": 1024}, 5 + 32),
        ((), {}, ASSUMED_PLACES),
    ],
)
def test_a_large_file_uses_the_whole_pool(
    wide_pool: PoolInProcess,
    steps: Callable[..., Steps],
    plan: Plan,
    layout: Layout,
    slots: tuple[Slot, ...],
    scoring: dict[str, object],
    places: int,
) -> None:
    """A file becomes two jobs for each that the pool could run of the size that jobs really ask for."""
    wide_pool._slots = slots
    check_chunks(layout, plan(steps(**scoring)), places)


def test_a_pool_that_does_not_answer_is_as_large_as_it_was(
    wide_pool: PoolInProcess, steps: Callable[..., Steps], plan: Plan, layout: Layout
) -> None:
    """Planning goes on without the pool: with its size as last counted, and with a guess before that."""
    wide_pool.down = True
    daemon = steps()
    check_chunks(layout, plan(daemon, "early.csv", 1), ASSUMED_PLACES)
    wide_pool.down = False
    check_chunks(layout, plan(daemon, "may.csv", 2), 64)
    wide_pool.down = True
    check_chunks(layout, plan(daemon, "june.csv", 3), 64)
    wide_pool.down, wide_pool._slots = False, ()
    check_chunks(layout, plan(daemon, "july.csv", 4), 64)


def test_small_files_are_grouped_by_the_same_count(
    wide_pool: PoolInProcess, steps: Callable[..., Steps], plan: Plan
) -> None:
    """What bounds the jobs of small files is counted with the memory that jobs really ask for."""
    daemon = steps(memory_mb=1_000_000, chunk_bytes=1_000_000)
    wide_pool._slots = (WIDE, replace(WIDE, name="slot1@other", host="other"))
    assert daemon.places == 1
    assert daemon.take(plan(daemon)).group
    assert daemon.places == 2


def test_the_queue_holds_enough_for_a_large_pool(
    wide_pool: PoolInProcess, steps: Callable[..., Steps], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch that is larger than the queue may be, as many jobs may run, and as many wait, as the pool can run."""
    monkeypatch.setattr(scoring_cluster, "MAX_MATERIALIZE", 10)
    monkeypatch.setattr(scoring_cluster, "MAX_IDLE", 2)
    daemon = steps(cpus=4)
    batch = plan(daemon)
    wide_pool._slots = (replace(WIDE, cpus=32),)
    batch = daemon.take(batch)
    assert batch.state is State.RUNNING
    assert batch.chunks > 16
    assert wide_pool.descriptions[-1].endswith("max_materialize = 16\nmax_idle = 8\n")
