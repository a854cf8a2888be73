"""What a CSV file says about itself: encoding, separator, header, and where its records begin."""

import codecs
import os
from collections import Counter
from pathlib import Path

import msgspec

from scoring.contract import Contract
from scoring.csv.boundaries import MAX_RECORD, Shape
from scoring.errors import FileRefusedError

SEPARATORS = (",", ";", "\t", "|")
"""Accepted field separators; the header decides."""

GZIP_MAGIC = b"\x1f\x8b"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CSV file whose header fits a contract."""

    path: str
    """Where it is."""
    bytes: int
    """Its size when it was opened (bytes)."""
    separator: str
    """The character between fields."""
    header: tuple[str, ...]
    """Column names as they stand."""
    body: int
    """Where the first record starts (byte offset)."""
    body_line: int
    """The physical line on which it starts (1-based)."""
    encoding: str
    """How its text is encoded."""

    @property
    def shape(self) -> Shape:
        """What the header fixes about every record."""
        return Shape(ord(self.separator), len(self.header), self.encoding)


def open_source(path: Path, contract: Contract, *, labelled: bool = False) -> Source:
    """Look at the start of a file and find out how to read it.

    With `labelled`, the contract's target is required as well. Raises FileRefusedError, all problems of the header
    named at once, and OSError as the storage does.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(MAX_RECORD)
    return describe_source(head, size, path, contract, labelled=labelled)


def describe_source(head: bytes, size: int, path: Path, contract: Contract, *, labelled: bool = False) -> Source:
    """Find out from its first MAX_RECORD bytes how to read a file of `size` bytes; see `open_source`."""
    if not head:
        raise FileRefusedError("empty_file", "The file is empty: it has no header.", "Send the file again.")
    if head.startswith(GZIP_MAGIC):
        raise FileRefusedError(
            "gzip_content", "The file is gzip-compressed, its name does not say so.", "Name it NAME.csv.gz."
        )
    end = 0 if head.startswith(_UTF16) else _find_header_end(head, complete=size <= len(head))
    if b"\0" in head[: end or len(head)]:
        raise FileRefusedError(
            "not_utf8", "The file is UTF-16, or not text at all.", "Save it as CSV UTF-8 and send it again.", line=1
        )
    skip = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    try:
        text = head[skip:end].decode(contract.encoding)
    except UnicodeDecodeError as error:
        raise FileRefusedError(
            "not_utf8",
            f"The header is not {contract.encoding}.",
            "Save the file as CSV UTF-8, or name its encoding in the contract.",
            line=1,
        ) from error
    text = text.rstrip("\r\n")
    wanted = [column.name for column in contract.required]
    if labelled and contract.target is not None:
        wanted.append(contract.target.name)
    separator, header = _choose_separator(text, wanted)
    _check_header(header, wanted)
    return Source(str(path), size, separator, header, end, 2, contract.encoding)


def _find_header_end(head: bytes, *, complete: bool) -> int:
    """Find one past the line end of the first physical line."""
    end = head.find(b"\n") + 1
    if end:
        return end
    if b"\r" in head.rstrip(b"\r"):
        raise FileRefusedError(
            "cr_line_ends",
            "The lines end with a bare carriage return (old Mac style).",
            "Save the file with LF or CRLF line ends and send it again.",
            line=1,
        )
    if not complete:
        raise FileRefusedError(
            "line_too_long",
            f"The first line is longer than {MAX_RECORD:,} bytes.",
            "Check that the file is a CSV with one loan per line.",
            line=1,
        )
    return len(head)


def _choose_separator(text: str, wanted: list[str]) -> tuple[str, tuple[str, ...]]:
    """Split the header at the separator that finds most wanted columns; among equals, most fields.

    Raises FileRefusedError when a quote in it breaks the rules.
    """
    splits = [(separator, names) for separator in SEPARATORS if (names := _split(text, separator)) is not None]
    if not splits:
        raise FileRefusedError(
            "header_quote",
            'A quote (") in the header stands where none can stand, or is not closed on the first line.',
            "Mend the header and send the file again.",
            line=1,
        )
    return max(splits, key=lambda split: (len(set(split[1]) & set(wanted)), len(split[1])))


def _split(text: str, separator: str) -> tuple[str, ...] | None:
    """Split one header line (RFC 4180 quotes; spaces around a name do not count); None for a stray quote."""
    names, at = [], 0
    while True:
        if text[at : at + 1] == '"':
            name, at = _quoted_name(text, at + 1)
            if at > len(text) or text[at : at + 1] not in ("", separator):
                return None
            end = at if at < len(text) else -1
        else:
            end = text.find(separator, at)
            name = text[at:] if end < 0 else text[at:end]
            if '"' in name:
                return None
        names.append(name.strip())
        if end < 0:
            return tuple(names)
        at = end + 1


def _quoted_name(text: str, at: int) -> tuple[str, int]:
    """Give a quoted name whose content starts at `at`, and one past its closing quote (past the end: none)."""
    name = ""
    while True:
        close = text.find('"', at)
        if close < 0:
            return name, len(text) + 1
        name += text[at:close]
        if text[close + 1 : close + 2] != '"':
            return name, close + 1
        name, at = name + '"', close + 2


def _check_header(header: tuple[str, ...], wanted: list[str]) -> None:
    counts = Counter(header)
    missing = [name for name in wanted if name not in counts]
    repeated = [name for name in wanted if counts[name] > 1]
    problems = []
    if missing:
        problems.append(f"required column(s) missing: {', '.join(missing)}")
    if repeated:
        problems.append(f"column(s) present more than once: {', '.join(repeated)}")
    if problems:
        code = "missing_column" if missing else "repeated_column"
        raise FileRefusedError(
            code,
            f"The header does not fit the contract: {'; '.join(problems)}.",
            "Correct the header (names are compared exactly, upper and lower case matter) and send the file again.",
            line=1,
        )
