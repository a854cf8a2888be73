"""How large chunks are: jobs long enough to be worth starting, short enough to be lost without grief."""

from collections.abc import Iterable

from scoring.receipt import Receipt

SMALL_FILE = 32 << 20
"""Bytes below which a file is one chunk: a few seconds of work, about what starting a job costs."""

LONGEST_JOB_SECONDS = 120.0
"""A job that is lost costs at most this much work (seconds)."""

FIRST_GUESS = 40e6
"""Bytes per second that one job is expected to score before any was measured."""

WAVES = 2
"""Jobs per place: with more than one, a slow slot holds up less."""

ASSUMED_PLACES = 16
"""Places of a pool that does not answer, or reports no slot yet: a few jobs too many cost less than an idle pool."""


LARGE_ENOUGH_SECONDS = 1.0
"""Work below which a receipt says more of imports than of speed (seconds)."""


def measure_speed(receipts: Iterable[Receipt]) -> float:
    """Give the bytes per second that one job scored, over all `receipts`; FIRST_GUESS where they tell too little."""
    size = seconds = 0.0
    for receipt in receipts:
        size += receipt.input.bytes
        seconds += sum(sum(part.seconds.values()) for part in receipt.parts)
    return size / seconds if seconds >= LARGE_ENOUGH_SECONDS else FIRST_GUESS


def choose_chunk_bytes(size: int, places: int, bytes_per_second: float = FIRST_GUESS) -> int:
    """Give the bytes of each chunk of a file of `size` bytes for a pool that runs `places` chunk jobs at a time."""
    if size <= SMALL_FILE:
        return max(size, 1)
    even = -(-size // (max(places, 1) * WAVES))
    longest = int(bytes_per_second * LONGEST_JOB_SECONDS)
    return max(min(even, longest), SMALL_FILE // 2)
