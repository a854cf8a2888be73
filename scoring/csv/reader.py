"""A byte range of a CSV file → blocks of typed loans and the records that were rejected. The only reader there is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from scoring.csv.boundaries import count_byte
from scoring.csv.chunks import Chunk, read_ranges, record_stops
from scoring.csv.records import GOOD, Index, index_records, is_regular
from scoring.csv.rejects import STRUCTURE, Reject
from scoring.csv.source import Source
from scoring.csv.values import ValueReader, Values
from scoring.errors import ProofError

_LF = ord("\n")


@dataclass(frozen=True)
class LoanBlock:
    """Some consecutive records of a file."""

    values: Values
    """The accepted ones."""
    rows: NDArray[np.int64]
    """Record numbers in the file of the accepted ones (1-based)."""
    rejects: list[Reject]
    """The others."""
    records: int
    """How many records the block holds, rejected ones included."""
    bare: bool
    """True when no id can need quotes in a comma-separated file: none was quoted, and commas separate the input."""


def read_loans(
    source: Source,
    chunk: Chunk,
    contract: Contract,
    *,
    labelled: bool = False,
    echo: Sequence[str] = (),
    on_bytes: Callable[[bytes], object] = len,
) -> Iterator[LoanBlock]:
    """Read the records of a chunk in order, block by block, in constant memory.

    `echo` names columns to keep as text. `on_bytes` is handed every byte of the range once, in order (for hashing).
    Raises FileRefusedError when a line is too long to be a loan, ProofError when the range does not hold what was
    planned, OSError as the storage does.
    """
    reader = ValueReader(source, contract, labelled=labelled, echo=echo)
    row, line = chunk.first_row, chunk.first_line
    for buffer, index in read_ranges(Path(source.path), chunk.start, chunk.stop, source.shape, on_bytes):
        block = _read_block(buffer, index, reader, source, row, line)
        row += block.records
        line += count_byte(memoryview(buffer), _LF)
        yield block
    if row - chunk.first_row != chunk.rows:
        raise ProofError(
            f"Chunk {chunk.number} holds {row - chunk.first_row} records, {chunk.rows} were planned.",
            "The file was changed after it was claimed; send it again.",
        )


def _read_block(
    buffer: bytes, index: Index | None, reader: ValueReader, source: Source, row: int, line: int
) -> LoanBlock:
    """Read complete records the quick way where all is well, else the careful way."""
    sound = is_regular(buffer, source.shape) if index is None else bool((index.verdicts == GOOD).all())
    if sound:
        values = reader.read_quickly(buffer, quoted=index is not None)
        if values is not None:
            count = len(values.features)
            return LoanBlock(
                values, np.arange(row, row + count), [], count, bare=index is None and source.separator == ","
            )
    if index is None:
        index = index_records(buffer, source.shape, final=True)
    good = np.flatnonzero(index.verdicts == GOOD)
    values, bad = reader.read_carefully(_without_damage(buffer, index), quoted=index.quoted)
    rejects = [
        Reject(row + record, line + int(index.lines[record]), "", *STRUCTURE[int(verdict)], _raw(buffer, index, record))
        for record, verdict in enumerate(index.verdicts.tolist())
        if verdict != GOOD
    ]
    keep = np.ones(len(good), np.bool_)
    for fault in bad:
        record = int(good[fault.record])
        keep[fault.record] = False
        rejects.append(
            Reject(
                row + record,
                line + int(index.lines[record]),
                fault.column,
                fault.rule,
                fault.message,
                _raw(buffer, index, record),
            )
        )
    rejects.sort(key=lambda reject: reject.row)
    if len(values.features) + len(rejects) != len(index.starts):
        raise ProofError(f"{len(index.starts)} records were read as {len(values.features)} + {len(rejects)}.")
    return LoanBlock(
        values, row + good[keep], rejects, len(index.starts), bare=not index.quoted and source.separator == ","
    )


def _without_damage(buffer: bytes, index: Index) -> bytes:
    """Give the sound records alone, in runs."""
    sound = index.verdicts == GOOD
    if sound.all():
        return buffer
    stops = record_stops(index)
    edges = np.flatnonzero(np.diff(sound.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    pieces = [buffer[index.starts[first] : stops[after - 1]] for first, after in edges.tolist()]
    return b"".join(piece if piece.endswith(b"\n") else piece + b"\n" for piece in pieces)


def _raw(buffer: bytes, index: Index, record: int) -> bytes:
    return buffer[index.starts[record] : index.ends[record]]
