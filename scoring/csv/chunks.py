"""Plan a file into chunks: byte ranges that begin and end at records, numbered and hashed, without copying the file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from scoring.csv.boundaries import Shape, count_byte, cut_complete
from scoring.csv.records import Index, find_content_end, index_records
from scoring.csv.source import Source
from scoring.errors import FileRefusedError, ProofError

_LF = ord("\n")


class Chunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some consecutive records of a file: what one job scores."""

    number: int
    """Its place in the plan (0-based)."""
    start: int
    """Where its first record starts (byte offset)."""
    stop: int
    """One past its last byte (byte offset)."""
    first_row: int
    """Record number of its first record (1-based)."""
    rows: int
    """Records that it holds."""
    first_line: int
    """Physical line of its first record (1-based)."""
    blake3: str
    """BLAKE3 of its bytes, hexadecimal."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file as chunks."""

    source: Source
    """The file."""
    rows: int
    """Records in all."""
    blake3: str
    """BLAKE3 of the whole file, hexadecimal."""
    chunks: tuple[Chunk, ...]
    """Without a gap or an overlap, from the first record to the last."""


def plan_chunks(source: Source, chunk_bytes: int) -> Plan:
    """Cut a file at the first record boundary after every `chunk_bytes` bytes; one pass, constant memory.

    Empty lines and records without content at the end of the file belong to no chunk. The bytes that are hashed are the
    ones that are planned.
    Raises FileRefusedError when a line is too long to be a loan, OSError as the storage does.
    """
    path = Path(source.path)
    whole = blake3()
    chunks: list[Chunk] = []
    at, row, line = source.body, 1, source.body_line
    end = find_content_end(path, source.body, source.shape.separator)
    with path.open("rb", buffering=0) as file:
        whole.update(file.read(source.body))
        start, first_row, first_line, part = at, row, line, blake3()
        buffers = read_ranges(path, source.body, end, source.shape, whole.update, judged=False)
        while (found := _next_buffer(buffers, line)) is not None:
            buffer, index = found
            used = 0
            while used < len(buffer):
                cut = _find_cut(buffer, index, used, start + chunk_bytes - at + used)
                piece = memoryview(buffer)[used:cut]
                part.update(piece)
                rows, lines = _count(piece, index, used, cut)
                at, row, line, used = at + len(piece), row + rows, line + lines, cut
                if at - start >= chunk_bytes or at == end:
                    chunks.append(
                        Chunk(len(chunks), start, at, first_row, row - first_row, first_line, part.hexdigest())
                    )
                    start, first_row, first_line, part = at, row, line, blake3()
        file.seek(end)
        while rest := file.read(BLOCK):
            whole.update(rest)
    return Plan(source, row - 1, whole.hexdigest(), tuple(chunks))


def _next_buffer(buffers: Iterator[tuple[bytes, Index | None]], line: int) -> tuple[bytes, Index | None] | None:
    """Give the next buffer, which begins on a physical line of the file (1-based), so that a refusal names its line."""
    try:
        return next(buffers, None)
    except FileRefusedError as error:
        error.line = line + error.line - 1 if error.line else None
        raise


def _find_cut(buffer: bytes, index: Index | None, used: int, wanted: int) -> int:
    """Give the first record boundary at or after `wanted` and after `used`, or the buffer's end."""
    if index is None:
        line_end = buffer.find(b"\n", max(wanted - 1, used))
        return line_end + 1 if line_end >= 0 else len(buffer)
    stops = record_stops(index)
    return int(stops[min(int(np.searchsorted(stops, max(wanted, used + 1))), len(stops) - 1)])


def _count(piece: memoryview, index: Index | None, used: int, cut: int) -> tuple[int, int]:
    """Count the records and the physical lines of a piece that ends at a record boundary."""
    lines = count_byte(piece, _LF)
    if index is None:
        return lines + (piece[-1] != _LF), lines
    return int(np.searchsorted(index.starts, cut) - np.searchsorted(index.starts, used)), lines


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
