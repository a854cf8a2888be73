"""The reader, written once more in the plainest way, one record and value at a time: what the quick code must equal.

It shares nothing with `scoring` but the contract's own types and the published bounds: records come from
`naive_grammar`, fields from a loop over bytes, numbers from `float`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.contract import Column, Contract, Policy, Type
from scoring.csv.boundaries import MAX_RECORD
from scoring.csv.records import MAX_FIELD
from tests.unit.scoring.naive_grammar import split_records

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class PlainLoan:
    """An accepted record."""

    row: int
    ids: tuple[str, ...]
    features: tuple[float, ...]


@dataclass(frozen=True)
class PlainReject:
    """A rejected record."""

    row: int
    line: int
    column: str
    raw: bytes
    empty: bool = False


def split_fields(content: bytes, separator: int) -> list[bytes]:
    """Split a sound record, line end taken away, into its fields, quotes undone."""
    fields: list[bytes] = []
    at, field, quoted = 0, b"", False
    while at < len(content):
        byte = content[at : at + 1]
        if quoted and content[at : at + 2] == b'""':
            field, at = field + b'"', at + 1
        elif byte == b'"':
            quoted = not quoted
        elif byte[0] == separator and not quoted:
            fields.append(field)
            field = b""
        else:
            field += byte
        at += 1
    return [*fields, field]


def read_value(text: str, column: Column, missing_texts: Sequence[str]) -> float | None:
    """Give a value as a model sees it, NaN for a missing one; None: the contract rejects it."""
    text = text.strip(" \t")
    if text in missing_texts:
        return None if column.missing is Policy.REJECT else float("nan")
    if column.type is Type.CATEGORY:
        if text in column.categories:
            return float(column.categories.index(text))
        return None if column.unknown is Policy.REJECT else float(len(column.categories))
    if not _DECIMAL.fullmatch(text):
        return None
    number = float(text)
    if abs(number) > float(np.finfo(np.float32).max):
        return None
    if not (column.minimum is None or number >= column.minimum):
        return None
    if not (column.maximum is None or number <= column.maximum):
        return None
    if column.type is Type.INTEGER and number != int(number):
        return None
    return float(np.float32(number))


def is_empty(content: bytes, separator: int) -> bool:
    """Tell whether an undamaged record, line end taken away, has no content; an empty line is another matter."""
    return content != b"" and not any(field.strip(b" \t") for field in split_fields(content, separator))


def trimmed(body: bytes, separator: int = ord(","), width: int = 8) -> bytes:
    """Take the empty lines and the records without content at the end away."""
    end = 0
    for start, stop, damaged in split_records(body, separator, width):
        content = body[start:stop].removesuffix(b"\n").removesuffix(b"\r")
        if damaged or (content.strip(b"\r") and not is_empty(content, separator)):
            end = stop
    return body[:end]


def read_plainly(
    body: bytes, header: Sequence[str], separator: str, contract: Contract, first_line: int = 2
) -> tuple[list[PlainLoan], list[PlainReject]]:
    """Read a whole body whose empty records at the end have been taken away."""
    loans, rejects = [], []
    for row, (start, stop, damaged) in enumerate(split_records(body, ord(separator), len(header)), 1):
        content = body[start:stop].removesuffix(b"\n").removesuffix(b"\r")
        line = first_line + body.count(b"\n", 0, start)
        fields = split_fields(content, ord(separator))
        text: list[str] | None = None
        sound = (
            content != b""
            and not damaged
            and b"\0" not in content
            and content.count(b"\r") == content.count(b"\r\n")
            and not content.endswith(b"\r")
            and len(fields) == len(header)
            and stop - start <= MAX_RECORD
            and all(len(field) <= MAX_FIELD for field in fields)
        )
        if sound:
            try:
                text = [field.decode(contract.encoding) for field in fields]
            except UnicodeDecodeError:
                text = None
        empty = not damaged and is_empty(content, ord(separator))
        if text is None or empty:
            rejects.append(PlainReject(row, line, "", content, empty))
            continue
        by_name = dict(zip(header, text, strict=True))
        values = [read_value(by_name[column.name], column, contract.missing_texts) for column in contract.features]
        blamed = next(
            (column.name for column, value in zip(contract.features, values, strict=True) if value is None), None
        )
        if blamed is not None:
            rejects.append(PlainReject(row, line, blamed, content))
            continue
        loans.append(
            PlainLoan(
                row,
                tuple(by_name[column.name] for column in contract.ids),
                tuple(value for value in values if value is not None),
            )
        )
    return loans, rejects
