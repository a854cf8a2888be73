"""How large chunks are."""

from hypothesis import given
from hypothesis import strategies as st

from inbox_watcher.sizing import (
    FIRST_GUESS,
    LONGEST_JOB_SECONDS,
    SMALL_FILE,
    WAVES,
    choose_chunk_bytes,
    measure_speed,
)
from scoring.part import Sealed
from scoring.receipt import Receipt, ReceiptPart
from scoring.registry import Pin

SIZES = st.integers(0, 1 << 44)
SLOTS = st.integers(0, 10_000)
SPEEDS = st.floats(1e3, 1e10)


@given(st.integers(0, SMALL_FILE), SLOTS, SPEEDS)
def test_a_small_file_is_one_chunk(size: int, slots: int, speed: float) -> None:
    """A file that is scored faster than a job is started is one job."""
    chosen = choose_chunk_bytes(size, slots, speed)
    assert chosen >= max(size, 1)


@given(SIZES, SLOTS, SPEEDS)
def test_chunks_are_neither_tiny_nor_endless(size: int, slots: int, speed: float) -> None:
    """A chunk is never too small to be worth a job and, unless that forces it, never too long a job to lose."""
    chosen = choose_chunk_bytes(size, slots, speed)
    assert chosen >= 1
    if size > SMALL_FILE:
        assert SMALL_FILE // 2 <= chosen <= size
        assert chosen <= max(speed * LONGEST_JOB_SECONDS, SMALL_FILE // 2)


@given(SIZES, st.integers(1, 10_000))
def test_every_slot_gets_its_waves(size: int, slots: int) -> None:
    """Where a file is large enough for it, every slot gets as many jobs as planned."""
    chosen = choose_chunk_bytes(size, slots)
    if size >= slots * WAVES * SMALL_FILE:
        assert -(-size // chosen) >= slots * WAVES


@given(SIZES, SLOTS, SPEEDS)
def test_more_slots_never_make_longer_jobs(size: int, slots: int, speed: float) -> None:
    """A larger pool gets smaller chunks, or the same."""
    assert choose_chunk_bytes(size, slots + 1, speed) <= choose_chunk_bytes(size, slots, speed)


def test_speed_is_learnt_from_receipts() -> None:
    """Bytes per second come from what jobs took; too little work says nothing and leaves the first guess."""
    part = ReceiptPart(0, 1, 10, 10, 0, "", Sealed(0, ""), Sealed(0, ""), "node", "", {"read": 3.0, "predict": 1.0})
    receipt = Receipt(
        format=1,
        batch="b",
        name="n",
        input=Sealed(200_000_000, ""),
        header=("id",),
        separator=",",
        encoding="utf-8",
        rows_in=20,
        scored=20,
        rejected=0,
        plan_sha256="",
        predictions=Sealed(0, ""),
        rejects=Sealed(0, ""),
        model=Pin("v", ""),
        model_sha256="",
        packages={},
        parts=[part, part],
        published="",
    )
    assert measure_speed([receipt, receipt]) == 25e6
    assert measure_speed([]) == FIRST_GUESS
