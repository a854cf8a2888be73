"""How large chunks are."""

from hypothesis import given
from hypothesis import strategies as st

from inbox_watcher.batch.planning import (
    FIRST_GUESS,
    LONGEST_JOB_SECONDS,
    SMALL_FILE,
    WAVES,
    choose_chunk_bytes,
    measure_speed,
)
from scoring.chunk.part import Sealed
from scoring.models.registry import Pin
from scoring.results.receipt import Receipt, ReceiptPart

SIZES = st.integers(0, 1 << 44)
PLACES = st.integers(0, 10_000)
SPEEDS = st.floats(1e3, 1e10)


@given(st.integers(0, SMALL_FILE), PLACES, SPEEDS)
def test_a_small_file_is_one_chunk(size: int, places: int, speed: float) -> None:
    """A file that is scored faster than a job is started is one job."""
    chosen = choose_chunk_bytes(size, places, speed)
    assert chosen >= max(size, 1)


@given(SIZES, PLACES, SPEEDS)
def test_chunks_are_neither_tiny_nor_endless(size: int, places: int, speed: float) -> None:
    """A chunk is never too small to be worth a job and, unless that forces it, never too long a job to lose."""
    chosen = choose_chunk_bytes(size, places, speed)
    assert chosen >= 1
    if size > SMALL_FILE:
        assert SMALL_FILE // 2 <= chosen <= size
        assert chosen <= max(speed * LONGEST_JOB_SECONDS, SMALL_FILE // 2)


@given(SIZES, st.integers(1, 10_000))
def test_every_place_gets_its_waves(size: int, places: int) -> None:
    """A file becomes as many jobs for each place as planned where it is large enough, and never tiny ones."""
    chosen = choose_chunk_bytes(size, places)
    assert -(-size // chosen) <= max(2 * size // SMALL_FILE + 1, 1)
    if size >= places * WAVES * SMALL_FILE:
        assert -(-size // chosen) >= places * WAVES


@given(SIZES, PLACES, SPEEDS)
def test_more_places_never_make_longer_jobs(size: int, places: int, speed: float) -> None:
    """A larger pool gets smaller chunks, or the same."""
    assert choose_chunk_bytes(size, places + 1, speed) <= choose_chunk_bytes(size, places, speed)


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
