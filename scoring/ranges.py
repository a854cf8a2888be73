"""A byte range of a file as buffers of complete records; what the planner and the reader both stand on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.boundaries import Shape, cut_complete
from scoring.errors import ProofError
from scoring.records import Index, index_records

BLOCK = 4 << 20
"""Bytes read at once: large enough that calls cost nothing, small enough that memory stays flat."""


def read_ranges(
    path: Path, start: int, stop: int, shape: Shape, on_bytes: Callable[[bytes], object], *, judged: bool = True
) -> Iterator[tuple[bytes, Index | None]]:
    """Give the bytes from `start` to `stop`, both record boundaries, as buffers of complete records, in order.

    A buffer with quotes comes with its index, which finding its end needs anyway (verdicts only if `judged`); one
    without comes with None. `on_bytes` is handed every byte once, in order (for hashing). Raises ProofError when the
    file is shorter, FileRefusedError when a line is too long to be a loan, OSError as the storage does.
    """
    left = stop - start
    carried = b""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while left:
            fresh = file.read(min(BLOCK, left))
            if not fresh:
                raise ProofError(
                    f"{path} ends {left} bytes before byte {stop}, which it had when it was planned.",
                    "It was cut after it was claimed; send it again.",
                )
            on_bytes(fresh)
            left -= len(fresh)
            buffer = carried + fresh if carried else fresh
            index = None
            if buffer.find(b'"') < 0:
                used = cut_complete(buffer, final=not left)
            else:
                index = index_records(buffer, shape, final=not left, judged=judged)
                used = index.consumed
            carried = buffer[used:]
            if used:
                yield (buffer[:used] if carried else buffer), index


def record_stops(index: Index) -> NDArray[np.int64]:
    """Give one past the last byte of each record, line end included."""
    return np.append(index.starts[1:], index.consumed)
