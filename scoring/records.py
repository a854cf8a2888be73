"""The records of a buffer and what is to be said of their structure, found for all of them at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.boundaries import (
    CR,
    LF,
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
from scoring.empty_records import is_empty

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
