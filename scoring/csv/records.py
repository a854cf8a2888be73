"""The records of a buffer and what is to be said of their structure, found for all of them at once."""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.csv.boundaries import (
    CR,
    LF,
    MAX_RECORD,
    QUOTE,
    SPACE,
    TAB,
    Shape,
    count_byte,
    find_boundaries,
    find_byte,
    mark_quoted,
    refuse_long_lines,
)

MAX_FIELD = 1 << 16
"""Longest field (bytes); a longer one rejects its row."""

GOOD, TOO_FEW, TOO_MANY, STRAY_QUOTE, BLANK, NUL_BYTE, LONG_FIELD, STRAY_CR, NOT_TEXT, EMPTY = range(10)
"""What is to be said of a record's structure."""


@dataclass(frozen=True)
class Index:
    """The records of a buffer, as offsets into it; all arrays have one entry a record."""

    starts: NDArray[np.int64]
    """First byte."""
    ends: NDArray[np.int64]
    """One past the last byte, line end not counted."""
    lines: NDArray[np.int64]
    """Physical lines in the buffer before the record."""
    verdicts: NDArray[np.uint8]
    """GOOD, or what is wrong with the structure."""
    consumed: int
    """Bytes of the buffer that belong to these records, line ends included."""
    quoted: bool
    """Whether any record holds a quote."""


def is_regular(buffer: bytes, shape: Shape) -> bool:
    """Tell at once that every record of a buffer of complete, quote-free records has a sound structure.

    True means: no NUL byte, no blank line, no stray carriage return, no long field, text throughout, and as many
    separators as sound records have together. A parser that refuses records with too many fields then proves that
    each has exactly the right number. False means only that `index_records` has to look closer. Records without
    content count as sound here: whoever knows the values finds them at less cost (see `values`).
    """
    if not buffer or shape.width < 2 or buffer.find(0) >= 0 or not _has_short_fields(buffer, shape):
        return False
    if not buffer.isascii() and not _is_text(buffer, shape.encoding):
        return False
    if buffer.find(b"\r") >= 0 and len(_stray_returns(np.frombuffer(buffer, np.uint8))):
        return False
    records = count_byte(memoryview(buffer), LF) + (buffer[-1] != LF)
    return count_byte(memoryview(buffer), shape.separator) == records * (shape.width - 1)


def index_records(buffer: bytes, shape: Shape, *, final: bool, judged: bool = True) -> Index:
    """Find every record of a buffer that starts at a record boundary, and judge its structure unless told not to.

    Unless `final`, a last record that may go on beyond the buffer is left for the next one (see `consumed`).
    Raises FileRefusedError for a line longer than MAX_RECORD.
    """
    array = np.frombuffer(buffer, np.uint8)
    newlines = find_byte(array, LF)
    quotes = find_byte(array, QUOTE)
    refuse_long_lines(newlines, len(buffer))
    stops, broken, consumed = find_boundaries(buffer, array, newlines, quotes, shape, final=final)
    starts = np.concatenate([np.zeros(1, np.int64), stops[:-1]]) if len(stops) else stops
    ends = stops.copy()
    if len(stops):
        ends -= array[ends - 1] == LF
        ends -= (ends > starts) & (array[np.maximum(ends - 1, 0)] == CR)
    verdicts = np.zeros(len(starts), np.uint8)
    if judged:
        verdicts = _judge(array, quotes, starts, stops, ends, broken, shape)
        _mark_text(buffer[:consumed], starts, verdicts, shape.encoding)
        _mark_empty(buffer, array, starts, ends, verdicts, shape.separator)
    lines = np.searchsorted(newlines, starts)
    return Index(starts, ends, lines, verdicts, consumed, quoted=bool(len(quotes)))


def _has_short_fields(buffer: bytes, shape: Shape) -> bool:
    """Tell, by a look into each half of that size, that no field exceeds MAX_FIELD."""
    separator, half = bytes([shape.separator]), MAX_FIELD // 2
    return all(buffer.find(separator, at, at + half) >= 0 for at in range(0, len(buffer) - half, half))


def _stray_returns(array: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find the carriage returns that no line feed follows; the parser would drop some of them without a word."""
    places = find_byte(array, CR)
    following = array[np.minimum(places + 1, len(array) - 1)]
    stray: NDArray[np.int64] = places[following != LF]
    return stray


def _is_text(buffer: bytes, encoding: str) -> bool:
    try:
        buffer.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _judge(
    array: NDArray[np.uint8],
    quotes: NDArray[np.int64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    ends: NDArray[np.int64],
    broken: set[int],
    shape: Shape,
) -> NDArray[np.uint8]:
    """Give each record its verdict; where several apply, the one that explains most."""
    verdicts = np.zeros(len(starts), np.uint8)
    if not len(starts):
        return verdicts
    content = array[: int(ends[-1])]
    separators = find_byte(content, shape.separator)
    if broken:
        # Quotes pair up within a sound record only: one is quoted when an odd number of its record's stand before it.
        owner = np.searchsorted(starts, separators, side="right") - 1
        own = np.searchsorted(quotes, separators) - np.searchsorted(quotes, starts[owner])
        separators = separators[own % 2 == 0]
    elif len(quotes):
        separators = separators[mark_quoted(content)[separators] == 0]
    fields = np.searchsorted(separators, ends) - np.searchsorted(separators, starts) + 1
    verdicts[fields < shape.width] = TOO_FEW
    verdicts[fields > shape.width] = TOO_MANY
    if int((ends - starts).max()) > MAX_FIELD:
        marks = np.sort(np.concatenate([starts, separators + 1]))
        widths = np.sort(np.concatenate([separators, ends])) - marks
        verdicts[np.searchsorted(starts, marks[widths > MAX_FIELD], side="right") - 1] = LONG_FIELD
    # One return before a line end, or before the end of the data, belongs to the line end.
    for places, verdict in ((_stray_returns(content), STRAY_CR), (find_byte(content, 0), NUL_BYTE)):
        verdicts[np.searchsorted(starts, places, side="right") - 1] = verdict
    if broken:
        verdicts[np.isin(stops, np.fromiter(broken, np.int64))] = STRAY_QUOTE
    verdicts[starts == ends] = BLANK
    return verdicts


def _mark_text(consumed: bytes, starts: NDArray[np.int64], verdicts: NDArray[np.uint8], encoding: str) -> None:
    """Mark every record that is not text in the encoding."""
    if consumed.isascii() or _is_text(consumed, encoding):
        return
    stops = np.append(starts[1:], len(consumed))
    beyond_ascii = np.flatnonzero(np.frombuffer(consumed, np.int8) < 0)
    for record in np.unique(np.searchsorted(starts, beyond_ascii, side="right") - 1).tolist():
        if not _is_text(consumed[starts[record] : stops[record]], encoding):
            verdicts[record] = NOT_TEXT


def _mark_empty(
    buffer: bytes,
    array: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    verdicts: NDArray[np.uint8],
    separator: int,
) -> None:
    """Mark every record without content, whatever its number of fields; a look at both ends rules most others out."""
    if not len(starts):
        return
    first, second = array[starts], array[np.minimum(starts + 1, len(array) - 1)]
    blank = np.zeros(256, np.bool_)
    blank[[separator, SPACE, TAB]] = True
    blank_or_quote = blank.copy()
    blank_or_quote[QUOTE] = True
    likely = np.flatnonzero(blank[first] | ((first == QUOTE) & blank_or_quote[second]))
    likely = likely[blank_or_quote[array[ends[likely] - 1]]]
    known: set[bytes] = set()
    for record, start, end in zip(likely.tolist(), starts[likely].tolist(), ends[likely].tolist(), strict=True):
        content = buffer[start:end]
        if content in known or is_empty(content, separator):
            known.add(content)
            verdicts[record] = EMPTY


_BLANKS = b" \t"

_FIRST_WINDOW = 1 << 16
"""Bytes at the end of a file that are looked at first; more only where all of them are empty records."""

_MOST_WINDOW = 2 * MAX_RECORD
"""Most bytes looked at at once; a line that fills them is left to the planner, which refuses it as too long."""


@lru_cache(maxsize=16)
def _prepare(separator: int) -> tuple[bytes, re.Pattern[bytes]]:
    """Give the bytes that an empty record may hold, and a pattern of its quoted fields."""
    mark = bytes([separator])
    outside = b"[^" + re.escape(mark) + b"]"
    return mark + _BLANKS + b'"', re.compile(b"(?<!" + outside + b')"[ \\t]*"(?!' + outside + b")")


def is_empty(record: bytes, separator: int) -> bool:
    """Tell whether a record (its line end taken away) has no content."""
    marks, quoted_blanks = _prepare(separator)
    if record.translate(None, marks):
        return False
    # A quote that is left is one of a field that holds a separator or a quote, or stands where none can.
    return b'"' not in record or b'"' not in quoted_blanks.sub(b"", record)


def count_fields(record: bytes, separator: int) -> int:
    """Count the fields of a record without content."""
    _, quoted_blanks = _prepare(separator)
    return quoted_blanks.sub(b"", record).count(separator) + 1


def find_content_end(path: Path, body: int, separator: int) -> int:
    """Give the byte offset one past the last record that has content, its line end included (`body`: there is none).

    `body` is where the first record starts (byte offset). Reads backwards, at most a few megabytes at once.

    The lines alone decide: one that looks empty has an even number of quotes, so a quoted field that was open before a
    run of them at the file's end is still open there. Therefore no record that keeps the rules reaches into such a run,
    and each of its lines is a record. Raises OSError as the storage does.
    """
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        window = _FIRST_WINDOW
        while end > body:
            start = max(body, end - window)
            file.seek(start)
            lines = file.read(end - start)
            whole = 0 if start == body else lines.find(b"\n") + 1
            if start > body and whole in (0, len(lines)):  # one line fills the window
                if window >= _MOST_WINDOW:
                    return end
            else:
                kept = _find_last_content(lines[whole:], separator)
                if kept:
                    return start + whole + kept
                end = start + whole
            window = min(4 * window, _MOST_WINDOW)
    return body


def _find_last_content(lines: bytes, separator: int) -> int:
    """Give one past the last line with content (0: none has any) of whole lines."""
    known: set[bytes] = set()
    at = len(lines)
    while at:
        start = lines.rfind(b"\n", 0, at - 1) + 1
        line = lines[start:at]
        if line not in known:
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            if record.strip(b"\r") and not is_empty(record, separator):
                return at
            known.add(line)
            if at == len(lines):
                start = _skip_plain(lines, start, separator)
        at = start
    return 0


def _skip_plain(lines: bytes, at: int, separator: int) -> int:
    """Pass over the lines before `at` that are empty and hold neither quotes nor stray carriage returns, at once."""
    other = len(lines[:at].rstrip(bytes([separator]) + _BLANKS + b"\r\n"))
    start = lines.find(b"\n", other, at) + 1 if other else 0
    passed = lines[start:at]
    return start if passed.count(b"\r") == passed.count(b"\r\n") else at
