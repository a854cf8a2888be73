"""Whether a file ends in the middle of its last record: a look at its end, by the one grammar there is."""

import os
from pathlib import Path
from typing import BinaryIO

from scoring.contract import Contract
from scoring.csv.boundaries import LF, MAX_RECORD, QUOTE, Shape, count_byte
from scoring.csv.chunks import BLOCK
from scoring.csv.records import BLANK, EMPTY, NUL_BYTE, STRAY_QUOTE, TOO_FEW, count_fields, index_records
from scoring.csv.source import describe_source
from scoring.errors import FileRefusedError

_TAIL = 2 * MAX_RECORD
"""Bytes at the end that are looked at. No record is longer than half of it, so it holds a whole one."""

_CUT = (TOO_FEW, STRAY_QUOTE, NUL_BYTE)
"""What a record looks like that is not all there; NUL bytes are what a copy has reserved and not yet written."""


def is_cut(file: BinaryIO, path: Path, contract: Contract) -> bool:
    """Tell whether an open file ends within a record, or has not even begun; its header and its end are read.

    A file that is refused for another reason is not cut. Raises OSError as the storage does.
    """
    number = file.fileno()
    size = os.fstat(number).st_size
    start = max(0, size - _TAIL)
    tail = os.pread(number, size - start, start)
    if not tail:
        return True
    if tail.endswith(b"\n") and b'"' not in tail:
        return False  # the common case needs no header
    head = os.pread(number, MAX_RECORD, 0)
    try:
        source = describe_source(head, size, path, contract)
    except FileRefusedError as error:
        return error.code in ("missing_column", "header_quote") and b"\n" not in head
    if source.body >= start:
        return _ends_within_record(tail[source.body - start :], source.shape)
    return _ends_within_record(tail[tail.find(b"\n") + 1 :], source.shape)


def _ends_within_record(records: bytes, shape: Shape) -> bool:
    """Tell whether what a stream may continue, by the grammar, would not do as it stands."""
    # Text does not matter here, and a character may be cut as well.
    shape = Shape(shape.separator, shape.width, "latin-1")
    try:
        whole = index_records(records, shape, final=False, judged=False)
        rest = records[whole.consumed :]
        if not rest:
            return False
        index = index_records(rest, shape, final=True)
    except FileRefusedError:  # a line that is too long to be a loan
        return records.endswith(b"\0")
    if index.verdicts[-1] == EMPTY and not rest.endswith(b"\n"):
        last = rest[index.starts[-1] : index.ends[-1]]
        if (shape.separator in last or QUOTE in last) and count_fields(last, shape.separator) < shape.width:
            return True  # more of it was to come, perhaps content; blanks alone do not say so
    verdicts = index.verdicts[(index.verdicts != BLANK) & (index.verdicts != EMPTY)]
    return bool(len(verdicts)) and int(verdicts[-1]) in _CUT


def refuse_cut(path: Path, contract: Contract) -> None:
    """Refuse a file that ends within a record. Raises FileRefusedError, OSError as the storage does."""
    with path.open("rb", buffering=0) as file:
        if not is_cut(file, path, contract):
            return
        file.seek(0)
        lines = 0
        last = b"\n"
        while block := file.read(BLOCK):
            lines += count_byte(memoryview(block), LF)
            last = block[-1:]
    raise FileRefusedError(
        "truncated",
        "The file ends in the middle of its last record: fields or a closing quote are missing.",
        "Send the whole file again, best under another name first and then by renaming it.",
        line=lines + (last != b"\n"),
    )
