"""Records without content: nothing but separators, blanks and quoted blanks, as spreadsheet programs leave behind.

Blanks are spaces and tabs, as in every value; the separator is none. Such a record is one physical line, because a line
end inside quotes is content. The planner ignores a run of them at the end of the file, as it ignores empty lines; the
reader rejects them everywhere else.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

from scoring.boundaries import MAX_RECORD

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
