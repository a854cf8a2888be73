"""Rows that cannot be scored: which, where, by which rule, in plain words, and the record verbatim."""

from collections.abc import Sequence
from dataclasses import dataclass

from scoring.contract import Column
from scoring.csv import records

COLUMNS = ("row_number", "line", "column", "rule", "message", "raw")
HEADER = (",".join(COLUMNS) + "\n").encode()


@dataclass(frozen=True)
class Reject:
    """One record that is not scored."""

    row: int
    """Record number in the file (1-based, header not counted)."""
    line: int
    """Physical line in the file on which the record starts (1-based, header counted)."""
    column: str
    """The first column to blame; empty where the whole record is."""
    rule: str
    """The broken rule, for programs."""
    message: str
    """What is wrong, for people."""
    raw: bytes
    """The record as it stands in the file, line end not counted (bytes)."""


STRUCTURE = {
    records.TOO_FEW: ("too_few_fields", "The record has fewer fields than the header."),
    records.TOO_MANY: ("too_many_fields", "The record has more fields than the header."),
    records.STRAY_QUOTE: (
        "stray_quote",
        'A quote (") stands where none can stand, or is never closed; write "" for a quote inside a quoted field.',
    ),
    records.BLANK: ("blank_line", "The line is empty."),
    records.NUL_BYTE: ("nul_byte", "The record holds a NUL byte; the file may be damaged."),
    records.LONG_FIELD: ("field_too_long", f"A field is longer than {records.MAX_FIELD:,} bytes."),
    records.STRAY_CR: ("stray_carriage_return", "A carriage return stands inside the record and does not end a line."),
    records.NOT_TEXT: (
        "not_utf8",
        "The record is not UTF-8 text; save the file as UTF-8, or name its encoding in the contract.",
    ),
    records.EMPTY: ("empty_record", "The record has no content: every field is empty or blank."),
}
"""Rule and message for what can be wrong with a record's structure."""

NO_CONTENT = frozenset(STRUCTURE[verdict][0] for verdict in (records.BLANK, records.EMPTY))
"""Rules of records that are no loans at all: they count in no share of rejected rows."""


def missing_value(column: Column) -> tuple[str, str]:
    """Say that a required value is missing."""
    return "missing_value", f"{column.name} is missing."


def not_a_number(column: Column) -> tuple[str, str]:
    """Say that a text is no finite decimal number."""
    return "not_a_number", f"{column.name} is not a number."


DECIMAL_COMMA = "Write its decimals behind a point, not a comma."
"""What to do with a number that a spreadsheet program of another country wrote."""


def has_decimal_comma(column: Column) -> tuple[str, str]:
    """Say that a text is no number, perhaps for its comma."""
    rule, message = not_a_number(column)
    return rule, f"{message} {DECIMAL_COMMA}"


def not_whole(column: Column) -> tuple[str, str]:
    """Say that a number should be whole."""
    return "not_whole", f"{column.name} is not a whole number."


def out_of_range(column: Column) -> tuple[str, str]:
    """Say which range a number has left."""
    low = "" if column.minimum is None else f" from {column.minimum:.17g}"
    high = "" if column.maximum is None else f" up to {column.maximum:.17g}"
    return "out_of_range", f"{column.name} is outside its range{low}{high}."


def unknown_category(column: Column) -> tuple[str, str]:
    """Say which categories there are."""
    return "unknown_category", f"{column.name} is none of {', '.join(column.categories)}."


def encode_rejects(rejects: Sequence[Reject], encoding: str = "utf-8") -> bytes:
    """Write rejects as CSV lines: every text field quoted, so that any record survives verbatim."""
    return b"".join(
        b"%d,%d,%s,%s,%s,%s\n"
        % (
            reject.row,
            reject.line,
            _quoted(reject.column.encode(encoding)),
            reject.rule.encode(),
            _quoted(reject.message.encode(encoding)),
            _quoted(reject.raw),
        )
        for reject in rejects
    )


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b'"', b'""') + b'"'
