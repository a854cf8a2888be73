"""What the text of well-formed records means, by the contract: numbers, category codes, ids.

Two ways lead to the same answer. The quick one lets the CSV parser type the columns and then checks ranges; it takes
a whole buffer or nothing. The careful one reads every value as text, casts it, and says of each record what is wrong.
The quick one refuses whatever the careful one would reject or would have to look at twice (spaces around a category,
further texts for "missing", records without content), so which of them was taken cannot be seen in the result.
"""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.contract import Column, Contract, Policy, Type
from scoring.csv import rejects
from scoring.csv.source import Source

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_SPACES = " \t"

_TAKEN_FOR_MORE = (codecs.BOM_UTF8, b"x\x01", b"x\x5e", b"x\x9c", b"x\xda", b"\x1f\x8b", b"\x28\xb5")
"""How a BOM and zlib, gzip and zstandard streams begin."""


@dataclass(frozen=True)
class Values:
    """Accepted records as values; all with the same number of rows."""

    ids: pl.DataFrame
    """Id columns as text, verbatim."""
    features: NDArray[np.float32]
    """(rows, features), C order: numbers, category codes, NaN for a missing value."""
    labels: NDArray[np.uint8] | None
    """1 = default; None unless labels were asked for."""
    monitors: Mapping[str, NDArray[np.float32]]
    """Monitor columns that the file has: number or category code, NaN where there is no good value."""
    echo: pl.DataFrame
    """Echoed columns as text, verbatim; without columns where none is echoed."""


@dataclass(frozen=True)
class BadValue:
    """Why one record is rejected."""

    record: int
    """Its place among the records that were given (0-based)."""
    column: str
    """First column to blame."""
    rule: str
    """The broken rule."""
    message: str
    """All that is wrong, for people."""


class ValueReader:
    """Reads the records of one source by one contract."""

    def __init__(self, source: Source, contract: Contract, *, labelled: bool, echo: Sequence[str] = ()) -> None:
        """Work out once which column of the file is which of the contract; `echo` names columns to keep as text."""
        place = {name: f"column_{number}" for number, name in enumerate(source.header, 1)}
        self._separator = source.separator
        self._encoding = source.encoding
        self._missing = list(contract.missing_texts)
        self._plain_missing = contract.missing_texts == ("",)
        self._ids = [(column.name, place[column.name]) for column in contract.ids]
        self._echo = [(name, place[name]) for name in echo]
        self._features = [(column, place[column.name]) for column in contract.features]
        self._target = (contract.target, place[contract.target.name]) if labelled and contract.target else None
        # Monitor columns belong to evaluation: scoring does not spend time on them.
        self._monitors = (
            [(column, place[column.name]) for column in contract.monitors if column.name in place] if labelled else []
        )
        # Every column has its place, also one whose name stands twice: the parser has to count them all.
        self._text_schema: dict[str, pl.DataType] = {
            f"column_{number}": pl.String() for number in range(1, len(source.header) + 1)
        }
        # A column that is echoed has to be read as text, so its file takes the careful way.
        self._echoes_features = bool({name for _, name in self._echo} & {name for _, name in self._features})
        self._typed_schema = {**self._text_schema, **{name: _parsed(column) for column, name in self._features}}
        # A record without content has no value at all; where one is required, the range checks find it already.
        self._all_may_be_missing = not any(column.missing is Policy.REJECT for column, _ in self._features)
        id_names = [name for _, name in self._ids + self._echo]
        feature_names = [name for _, name in self._features]
        extra = [name for _, name in self._monitors] + ([self._target[1]] if self._target else [])
        self._careful_columns = list(dict.fromkeys(id_names + feature_names + extra))

    def read_quickly(self, records: bytes, *, quoted: bool) -> Values | None:
        """Read a buffer of regular records (see `records.is_regular`) as a whole, or None: take the careful way."""
        if self._target is not None or not self._plain_missing or self._echoes_features:
            return None
        try:
            # Every column has to be parsed: only then does the parser refuse a record with too many fields.
            frame = self._parse(records, self._typed_schema, list(self._typed_schema), quoted=quoted)
        except pl.exceptions.PolarsError:  # a value that does not parse, a record with too many fields
            return None
        if not all(frame.select(self._range_checks()).row(0)):
            return None
        if self._all_may_be_missing and self._has_empty_record(frame):
            return None
        return Values(_take(frame, self._ids), self._matrix(frame), None, {}, _take(frame, self._echo))

    def read_carefully(self, records: bytes, *, quoted: bool) -> tuple[Values, list[BadValue]]:
        """Read well-formed records, with those that break the contract left out and explained."""
        frame = self._parse(records, self._text_schema, self._careful_columns, quoted=quoted)
        faults: dict[int, BadValue] = {}
        feature_columns = []
        for column, name in self._features:
            values, found = self._cast(frame[name], column)
            feature_columns.append(values)
            _note(faults, column, found)
        labels = None
        if self._target is not None:
            column, name = self._target
            values, found = self._cast(frame[name], column, required=True)
            labels = values == column.categories.index(column.positive)
            _note(faults, column, found)
        keep = np.ones(frame.height, np.bool_)
        keep[list(faults)] = False
        monitors = {column.name: self._cast(frame[name], column)[0][keep] for column, name in self._monitors}
        features = np.empty((frame.height, len(feature_columns)), np.float32)
        for number, values in enumerate(feature_columns):
            features[:, number] = values
        accepted = Values(
            _take(frame, self._ids).filter(pl.Series(keep)),
            np.ascontiguousarray(features[keep]),
            labels[keep].astype(np.uint8) if labels is not None else None,
            monitors,
            _take(frame, self._echo).filter(pl.Series(keep)) if self._echo else pl.DataFrame(),
        )
        return accepted, [faults[record] for record in sorted(faults)]

    def _parse(
        self, records: bytes, schema: Mapping[str, pl.DataType], columns: list[str], *, quoted: bool
    ) -> pl.DataFrame:
        if not records:
            return pl.DataFrame(schema={name: schema[name] for name in columns})
        if self._encoding != "utf-8":
            records = records.decode(self._encoding).encode()
        # The parser takes some first bytes for a byte order mark or a compressed file; a row of gaps hides them.
        hidden = records.startswith(_TAKEN_FOR_MORE)
        if hidden:
            records = self._separator.encode() * (len(self._text_schema) - 1) + b"\n" + records
        frame = pl.read_csv(
            records,
            has_header=False,
            schema=dict(schema),
            columns=columns,
            separator=self._separator,
            quote_char='"' if quoted else None,
        )
        return frame[1:] if hidden else frame

    def _has_empty_record(self, frame: pl.DataFrame) -> bool:
        """Tell whether any record has no content; records without any feature are rare, so few texts are looked at."""
        features = [name for _, name in self._features]
        rows = frame
        if features:
            if any(not frame[name].null_count() for name in features):
                return False
            bare = frame.select(pl.all_horizontal(pl.col(features).is_null())).to_series()
            if not bare.any():
                return False
            rows = frame.filter(bare)
        for name in frame.columns:
            if name not in features and rows.height:
                rows = rows.filter(pl.col(name).fill_null("").str.strip_chars(_SPACES) == "")
        return rows.height > 0

    def _range_checks(self) -> list[pl.Expr]:
        """Give one boolean per rule: true when no value of the whole column breaks it."""
        checks = [pl.lit(True).alias("none")]  # noqa: FBT003 (a literal)
        for column, name in self._features:
            value = pl.col(name)
            found = []
            if column.is_numeric:
                low = -_FLOAT32_MAX if column.minimum is None else max(column.minimum, -_FLOAT32_MAX)
                high = _FLOAT32_MAX if column.maximum is None else min(column.maximum, _FLOAT32_MAX)
                # min and max pass over NaN, which only the text "nan" can give here.
                found += [value.min() >= low, value.max() <= high, ~value.is_nan().any()]
            if column.type is Type.INTEGER:
                found.append((value == value.floor()).all())
            if column.missing is Policy.REJECT:
                found.append(value.null_count() == 0)
            checks += [check.fill_null(value=True).alias(f"{name}_{number}") for number, check in enumerate(found)]
        return checks

    def _matrix(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        columns = [
            (pl.col(name).to_physical() if column.type is Type.CATEGORY else pl.col(name)).cast(pl.Float32)
            for column, name in self._features
        ]
        matrix = frame.select(columns).to_numpy(order="c")
        return np.ascontiguousarray(matrix, np.float32)

    def _cast(
        self, text: pl.Series, column: Column, *, required: bool = False
    ) -> tuple[NDArray[np.float32], list[tuple[NDArray[np.bool_], tuple[str, str]]]]:
        """Cast one column of text; give float32 (rows,) and, per broken rule, which rows break it."""
        stripped = text.fill_null("").str.strip_chars(_SPACES)
        missing = stripped.is_in(self._missing).to_numpy()
        found = []
        if required or column.missing is Policy.REJECT:
            found.append((missing, rejects.missing_value(column)))
        if column.type is Type.CATEGORY:
            codes = stripped.cast(pl.Enum(list(column.categories)), strict=False).to_physical().cast(pl.Float32)
            values = codes.fill_null(len(column.categories)).to_numpy().copy()
            if required or column.unknown is Policy.REJECT:
                found.append((codes.is_null().to_numpy() & ~missing, rejects.unknown_category(column)))
        else:
            numbers = stripped.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
            bad = np.isnan(numbers) & ~missing
            if self._separator != "," and bad.any():
                commas = bad & stripped.str.contains(",", literal=True).to_numpy()
                found.append((commas, rejects.has_decimal_comma(column)))
                found.append((bad & ~commas, rejects.not_a_number(column)))
            else:
                found.append((bad, rejects.not_a_number(column)))
            low = -_FLOAT32_MAX if column.minimum is None else max(column.minimum, -_FLOAT32_MAX)
            high = _FLOAT32_MAX if column.maximum is None else min(column.maximum, _FLOAT32_MAX)
            known = ~missing & ~bad
            found.append((known & ~((numbers >= low) & (numbers <= high)), rejects.out_of_range(column)))
            if column.type is Type.INTEGER:
                found.append((known & np.isfinite(numbers) & (numbers != np.floor(numbers)), rejects.not_whole(column)))
            with np.errstate(over="ignore"):
                values = numbers.astype(np.float32)
        values[missing] = np.nan
        return values, found


def _take(frame: pl.DataFrame, columns: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Give columns of text under their names in the file."""
    return frame.select(pl.col(place).alias(name) for name, place in columns)


def _parsed(column: Column) -> pl.DataType:
    return pl.Enum(list(column.categories)) if column.type is Type.CATEGORY else pl.Float64()


def _note(faults: dict[int, BadValue], column: Column, found: list[tuple[NDArray[np.bool_], tuple[str, str]]]) -> None:
    """Keep the first fault of each record, and let its message tell all of them."""
    for rows, (rule, message) in found:
        for record in np.flatnonzero(rows).tolist():
            first = faults.get(record)
            faults[record] = (
                BadValue(record, column.name, rule, message)
                if first is None
                else BadValue(record, first.column, first.rule, f"{first.message} {message}")
            )
