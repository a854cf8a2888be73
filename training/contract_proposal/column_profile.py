"""What the values of one column look like, gathered block by block in constant memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from training.contract_proposal.header_words import CLEARLY_MISSING, PERHAPS_MISSING

MOST_COUNTED = 5_000
"""Different values that are counted one by one; a column with more is no category."""

LONGEST_COUNTED = 200
"""Characters of the longest value that is counted; a column with a longer one is free text."""

_SKETCH = 16_384
"""Hashes that are kept to see whether a value comes twice."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_SPACES = " \t"

_DATE = (
    r"^(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|(?i:\d{1,2}[- ])?[A-Za-z]{3,9}[- ]\d{2,4}"
    r"|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4})([T ]\d{1,2}:\d{2}.*)?$"
)
_MONTH = r"(?i)(^|[- ])(jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-z]*[- ]"
_COMMA = r"^[+-]?\d+,\d+$"
_MARKED = r"^\D{0,4}[+-]?\d[\d.,' \u{a0}]*\D{0,10}$"
_CODE = r"^0\d+$"


@dataclass(frozen=True)
class ColumnProfile:
    """The values of a column; spaces and tabs around them do not count."""

    name: str
    """As in the header."""
    rows: int
    """Records that were looked at."""
    gaps: Mapping[str, int]
    """Texts that may mean "no value" → rows."""
    numbers: int
    """Rows with a finite number that a model can take."""
    whole: int
    """Those of them without a fractional part."""
    low: float | None
    """Smallest number."""
    high: float | None
    """Largest number."""
    codes: int
    """Numbers that begin with a zero which a number would lose."""
    others: int
    """Rows with any other text."""
    dates: int
    """Those of them that look like a date."""
    commas: int
    """Those with a decimal comma."""
    marked: int
    """Those with a number in it, beside a unit, a currency or separators of thousands."""
    counts: Mapping[str, int] | None
    """Value → rows, gaps left out; None: too many or too long ones."""
    unique: bool
    """Whether no value came twice, gaps included (beyond 16,384 values: in a sample of them, the same every time)."""


class ColumnProfiler:
    """Gathers one column's profile."""

    def __init__(self, name: str) -> None:
        """Start with nothing seen."""
        self._name = name
        self._rows = self._numbers = self._whole = self._codes = 0
        self._others = self._dates = self._commas = self._marked = 0
        self._low, self._high = np.inf, -np.inf
        self._gaps: Counter[str] = Counter()
        self._counts: Counter[str] | None = Counter()
        self._seen: _Repeats | None = _Repeats()

    def add(self, text: pl.Series) -> None:
        """Look at the column's values in some consecutive records, as text."""
        # The alias comes first: polars takes a name like "^x$" for a pattern.
        stripped = text.alias("value").fill_null("").str.strip_chars(_SPACES)
        self._rows += len(stripped)
        frame = stripped.value_counts(name="rows").with_columns(
            gap=pl.col("value").str.to_lowercase().is_in(list(CLEARLY_MISSING | PERHAPS_MISSING)),
            number=pl.col("value").cast(pl.Float64, strict=False),
        )
        if self._seen is not None and not self._seen.add(frame["value"], frame["rows"]):
            self._seen = None
        gaps = frame.filter("gap")
        self._gaps.update(dict(zip(gaps["value"], gaps["rows"], strict=True)))
        frame = frame.filter(~pl.col("gap"))
        if self._counts is not None:
            self._count(frame)
        is_number = (pl.col("number").abs() <= _FLOAT32_MAX).fill_null(value=False)
        self._add_numbers(frame.filter(is_number))
        self._add_others(frame.filter(~is_number))

    def _count(self, frame: pl.DataFrame) -> None:
        counts = self._counts
        if counts is None or frame.height > MOST_COUNTED or _longest(frame["value"]) > LONGEST_COUNTED:
            self._counts = None
            return
        counts.update(dict(zip(frame["value"], frame["rows"], strict=True)))
        if len(counts) > MOST_COUNTED:
            self._counts = None

    def _add_numbers(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        numbers, rows = frame["number"].to_numpy(), frame["rows"].to_numpy()
        self._numbers += int(rows.sum())
        self._whole += int(rows[numbers == np.floor(numbers)].sum())
        self._low, self._high = min(self._low, float(numbers.min())), max(self._high, float(numbers.max()))
        self._codes += _rows_like(frame, _CODE)

    def _add_others(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        self._others += int(frame["rows"].sum())
        dates = frame.filter(pl.col("value").str.contains(_DATE))
        lettered = dates["value"].str.contains("[A-Za-z]{3}")
        self._dates += int(dates.filter(~lettered)["rows"].sum()) + _rows_like(dates.filter(lettered), _MONTH)
        self._commas += _rows_like(frame, _COMMA)
        self._marked += _rows_like(frame, _MARKED)

    def profile(self) -> ColumnProfile:
        """Give what was seen."""
        known = self._numbers > 0
        return ColumnProfile(
            name=self._name,
            rows=self._rows,
            gaps=dict(sorted(self._gaps.items())),
            numbers=self._numbers,
            whole=self._whole,
            low=self._low if known else None,
            high=self._high if known else None,
            codes=self._codes,
            others=self._others,
            dates=self._dates,
            commas=self._commas,
            marked=self._marked,
            counts=None if self._counts is None else dict(sorted(self._counts.items())),
            unique=self._seen is not None,
        )


def _longest(values: pl.Series) -> int:
    return int(values.str.len_chars().to_numpy().max(initial=0))


def _rows_like(frame: pl.DataFrame, pattern: str) -> int:
    return int(frame.filter(pl.col("value").str.contains(pattern))["rows"].sum())


class _Repeats:
    """Tells whether a value comes twice, exactly while there are few, in a sample of the values by hash afterwards.

    Adaptive sampling (Wegman; Flajolet, Computing 43, 1990): only hashes below a bound are kept, and the bound is
    halved when there are too many of them.
    """

    def __init__(self) -> None:
        self._bound = np.uint64(2**64 - 1)
        self._hashes = np.empty(0, np.uint64)

    def add(self, values: pl.Series, rows: pl.Series) -> bool:
        """Add different values and how often each came; False when a kept one came twice."""
        hashes = values.hash(seed=0).to_numpy()
        sampled = hashes <= self._bound
        fresh = np.sort(hashes[sampled])
        if (rows.to_numpy()[sampled] > 1).any() or np.isin(fresh, self._hashes, assume_unique=True).any():
            return False
        kept = np.concatenate([self._hashes, fresh])
        while len(kept) > _SKETCH:
            self._bound >>= np.uint64(1)
            kept = kept[kept <= self._bound]
        self._hashes = kept
        return True
