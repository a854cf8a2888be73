"""How large chunks are: jobs long enough to be worth starting, short enough to be lost without grief."""

SMALL_FILE = 32 << 20
"""Bytes below which a file is one chunk: a few seconds of work, about what starting a job costs."""

LONGEST_JOB_SECONDS = 120.0
"""A job that is lost costs at most this much work (seconds)."""

FIRST_GUESS = 40e6
"""Bytes per second that one job is expected to score before any was measured."""

WAVES = 2
"""Jobs per slot: with more than one, a slow slot holds up less."""


def choose_chunk_bytes(size: int, slots: int, bytes_per_second: float = FIRST_GUESS) -> int:
    """Give the bytes of each chunk of a file of `size` bytes for a pool with `slots` places."""
    if size <= SMALL_FILE:
        return max(size, 1)
    even = -(-size // (max(slots, 1) * WAVES))
    longest = int(bytes_per_second * LONGEST_JOB_SECONDS)
    return max(min(even, longest), SMALL_FILE // 2)
