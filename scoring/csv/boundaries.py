r"""Where records begin and end: the grammar of a CSV body, as byte offsets.

A record is a physical line (it ends at `\n`, or at the end of the data; one `\r` before that belongs to the line end),
unless a quoted field carries it over further lines. A quoted field opens with `"` as its first byte, `""` inside it is
one quote, and it closes with a `"` that the separator or a line end follows (RFC 4180).

What breaks these rules costs one line, never the rest of the file. A record that runs over several lines counts only
when all its quotes keep the rules, it has exactly the header's number of fields, and it is at most MAX_RECORD bytes
long. Otherwise its *first line alone* is a damaged record, and reading goes on at the next line. The rule looks only
forward from where a record starts, so it gives the same records wherever a file is cut at record boundaries.

Whole buffers are judged at once (numpy, polars); bytes are walked one record at a time only around damage.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.errors import FileRefusedError

MAX_RECORD = 1 << 20
"""Longest record over several lines (bytes), and longest physical line (bytes before its line feed).

A line beyond it refuses the file."""

LF, CR, QUOTE, SPACE, TAB = b'\n\r" \t'

_CELL = 1 << 18
"""Bytes that are compared at once: small enough for the processor's cache, 20 times faster than a whole file."""

_WALK = 1 << 16
"""Bytes walked record by record after damage, before whole buffers are tried again."""


@dataclass(frozen=True)
class Shape:
    """What the header fixes about every record."""

    separator: int
    """The byte between fields."""
    width: int
    """Fields per record."""
    encoding: str = "utf-8"
    """How text is encoded: UTF-8, or a single-byte superset of ASCII."""


def count_byte(buffer: memoryview, byte: int) -> int:
    """Count the occurrences of a byte at about 10 GB/s (bytes.count does 1.3)."""
    array = np.frombuffer(buffer, np.uint8)
    return sum(int(np.count_nonzero(array[at : at + _CELL] == byte)) for at in range(0, len(array), _CELL))


def find_byte(array: NDArray[np.uint8], byte: int) -> NDArray[np.int64]:
    """Give the offsets of a byte in ascending order."""
    found = [np.flatnonzero(array[at : at + _CELL] == byte) + at for at in range(0, len(array), _CELL)]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def cut_complete(buffer: bytes, *, final: bool) -> int:
    """Give the bytes of a quote-free buffer that belong to complete lines. Raises FileRefusedError for a huge line."""
    half = MAX_RECORD // 2
    # Every line beyond the limit covers a whole window of half its size, wherever it starts.
    if any(buffer.find(b"\n", at, at + half) < 0 for at in range(0, len(buffer) - half, half)):
        refuse_long_lines(find_byte(np.frombuffer(buffer, np.uint8), LF), len(buffer))
    return len(buffer) if final else buffer.rfind(b"\n") + 1


def refuse_long_lines(newlines: NDArray[np.int64], size: int) -> None:
    """Refuse a file with a line that no loan has; `newlines` are the places of the line feeds in `size` bytes.

    Raises FileRefusedError; its line is counted from the first of these bytes (1-based).
    """
    edges = np.concatenate([np.full(1, -1, np.int64), newlines, np.full(1, size, np.int64)])
    long = np.flatnonzero(np.diff(edges) - 1 > MAX_RECORD)
    if not len(long):
        return
    raise FileRefusedError(
        "line_too_long",
        f"The file has a line of more than {MAX_RECORD:,} bytes.",
        "Check that the file is a CSV with one loan per line.",
        line=int(long[0]) + 1,
    )


def mark_quoted(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mark with 1 every byte that an odd number of quotes stand before or on: inside a field, where they are sound."""
    marks: NDArray[np.uint8] = np.bitwise_xor.accumulate((array == QUOTE).view(np.uint8))
    return marks


def find_boundaries(
    buffer: bytes,
    array: NDArray[np.uint8],
    newlines: NDArray[np.int64],
    quotes: NDArray[np.int64],
    shape: Shape,
    *,
    final: bool,
) -> tuple[NDArray[np.int64], set[int], int]:
    """Find where records stop (one past their line end), the stops of those with a stray quote, and the bytes used."""
    found: list[NDArray[np.int64]] = []
    broken: set[int] = set()
    at = 0
    size = len(buffer)
    while at < size:
        first_quote = int(np.searchsorted(quotes, at))
        if first_quote == len(quotes):
            rest = newlines[np.searchsorted(newlines, at) :] + 1
            found.append(rest)
            at = int(rest[-1]) if len(rest) else at
            if at < size and final:
                found.append(np.array([size], np.int64))
                at = size
            break
        stops, after = _take_regular(array, newlines, quotes, at, shape)
        found.append(stops)
        at = after
        if at >= size:
            break
        limit = at + _WALK
        while at < size and at < limit:
            step = _walk(buffer, at, shape, final=final)
            if step is None:
                return _joined(found), broken, at
            stop, damaged = step
            if damaged:
                broken.add(stop)
            found.append(np.array([stop], np.int64))
            at = stop
    return _joined(found), broken, at


def _joined(found: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _take_regular(
    array: NDArray[np.uint8],
    newlines: NDArray[np.int64],
    quotes: NDArray[np.int64],
    at: int,
    shape: Shape,
) -> tuple[NDArray[np.int64], int]:
    """Take the records from `at` on, up to the first that a broken quote or a wrong count of fields over lines touches.

    Gives their stops and where the first record that was not taken starts.
    """
    mine = quotes[np.searchsorted(quotes, at) :] - at
    view = array[at:]
    sound = _first_broken(view, mine, shape.separator)
    if sound == len(mine) and len(mine) % 2:
        sound -= 1  # an open field: where it closes is not known here
    bound = int(mine[sound]) if sound < len(mine) else len(view)
    ends = newlines[np.searchsorted(newlines, at) :] - at
    ends = ends[: np.searchsorted(ends, bound)]
    quoted = mark_quoted(view[:bound])
    outside = quoted[ends] == 0
    stops = ends[outside] + 1
    # Records over several lines must have exactly the header's number of fields, and a bounded length.
    inner = ends[~outside]
    if len(inner):
        starts = np.concatenate([np.zeros(1, np.int64), stops])
        owners = np.unique(np.searchsorted(stops, inner, side="right"))
        owners = owners[owners < len(stops)]
        separators = find_byte(view[:bound], shape.separator)
        separators = separators[quoted[separators] == 0]
        fields = np.searchsorted(separators, stops[owners]) - np.searchsorted(separators, starts[owners]) + 1
        long = stops[owners] - starts[owners] > MAX_RECORD
        wrong = owners[(fields != shape.width) | long]
        if len(wrong):
            stops = stops[: int(wrong[0])]
    after = int(stops[-1]) if len(stops) else 0
    return stops + at, after + at


def _first_broken(array: NDArray[np.uint8], quotes: NDArray[np.int64], separator: int) -> int:
    """Give the index of the first quote that breaks the rules (the number of quotes: none does).

    Quotes alternate between opening and closing. A closing quote with an opening one right behind it is an escaped
    quote. Every other opening quote starts its field, every other closing one ends it.
    """
    size = len(array)
    opening, closing = quotes[::2], quotes[1::2]
    before = array[opening - 1]
    if len(opening) and opening[0] == 0:
        before[0] = LF
    odd = np.flatnonzero((before != separator) & (before != LF))
    # Only what follows a closing quote directly may open where no field starts.
    bad_opening = odd[(odd == 0) | (closing[odd - 1] + 1 != opening[odd])] if len(closing) else odd
    after = array[np.minimum(closing + 1, size - 1)]
    odd = np.flatnonzero((after != separator) & (after != LF))
    places = closing[odd]
    last = places + 1 >= size
    line_end = (after[odd] == CR) & ((places + 2 >= size) | (array[np.minimum(places + 2, size - 1)] == LF))
    following = opening[np.minimum(odd + 1, len(opening) - 1)]
    escape = (odd + 1 < len(opening)) & (following == places + 1)
    bad_closing = odd[~(last | line_end | escape)]
    firsts = [2 * int(bad[0]) + half for half, bad in enumerate((bad_opening, bad_closing)) if len(bad)]
    return min(firsts, default=len(quotes))


def _walk(buffer: bytes, start: int, shape: Shape, *, final: bool) -> tuple[int, bool] | None:
    """Find where the record at `start` stops and whether a quote damages it; None: the buffer ends too early."""
    line_end = buffer.find(b"\n", start)
    line_stop = line_end + 1 if line_end >= 0 else len(buffer)
    if line_end < 0 and not final:
        return None
    if buffer.find(b'"', start, line_stop) < 0:
        return line_stop, False
    at, fields = start, 1
    separator = bytes([shape.separator])
    limit = min(len(buffer), start + MAX_RECORD + 1)
    capped = limit == start + MAX_RECORD + 1
    while True:
        if buffer[at : at + 1] == b'"':
            close = _find_close(buffer, at + 1, limit)
            if close < 0:
                return (line_stop, True) if capped or final else None
            at = close + 1
            if buffer[at : at + 2] == b"\r\n":
                at += 1
            elif buffer[at : at + 2] == b"\r":
                if not final:
                    return None
                at += 1
            if at >= len(buffer):
                if not final:
                    return None
                return _accept(start, line_stop, at, fields, shape)
            if buffer[at] == shape.separator:
                at, fields = at + 1, fields + 1
                continue
            if buffer[at] == LF:
                return _accept(start, line_stop, at + 1, fields, shape)
            return line_stop, True
        next_separator = buffer.find(separator, at, limit)
        next_line = buffer.find(b"\n", at, limit)
        stop = next_line if next_line >= 0 else limit
        if 0 <= next_separator < stop:
            if buffer.find(b'"', at, next_separator) >= 0:
                return line_stop, True
            at, fields = next_separator + 1, fields + 1
            continue
        if buffer.find(b'"', at, stop) >= 0:
            return line_stop, True
        if next_line >= 0:
            return _accept(start, line_stop, next_line + 1, fields, shape)
        if capped:
            return line_stop, True
        return _accept(start, line_stop, len(buffer), fields, shape) if final else None


def _accept(start: int, line_stop: int, stop: int, fields: int, shape: Shape) -> tuple[int, bool]:
    """Let a record over several lines count only with the header's number of fields and a bounded length."""
    whole = stop == line_stop or (fields == shape.width and stop - start <= MAX_RECORD)
    return (stop, False) if whole else (line_stop, True)


def _find_close(buffer: bytes, at: int, limit: int) -> int:
    """Find the quote that closes a field whose content starts at `at`, escaped quotes passed over; -1: none."""
    while True:
        close = buffer.find(b'"', at, limit)
        if close < 0 or buffer[close + 1 : close + 2] != b'"':
            return close
        at = close + 2
