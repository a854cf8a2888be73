"""Which type a column has, by the profile of its values: number, integer, category, or none that a model takes."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from scoring.contract import Policy, Type
from training.contract_proposal.column_profile import ColumnProfile
from training.contract_proposal.header_words import CLEARLY_MISSING, names_something, split_words

MOST_CATEGORIES: Final = 100
"""Categories that are listed; where there are more, the rest is "unknown" to the model."""

_COVERED: Final = 0.8
"""Share of the rows that the listed categories must have, where not all are listed."""

_REPEATED: Final = 0.5
"""Share of the rows whose value must come at least twice; below it, values are names or free text."""

_CLOSED: Final = 10
"""A list of categories looks closed when each was seen in so many rows."""

_STRAY: Final = 0.05
"""Share of texts among numbers that are taken for mistakes in a column of numbers."""

_FEW: Final = 12
"""Different whole numbers up to which they are taken for counts, where a fraction can only be a mistake."""

_OFTEN: Final = 20
"""Rows a different value, on average, from which whole numbers are taken for counts."""

_DATED: Final = frozenset({"date", "datum", "day", "dob", "birth", "birthdate", "opened"})
"""Words in the header of a column whose numbers of eight digits are dates."""


@dataclass(frozen=True)
class Reading:
    """How a column is read."""

    type: Type | None
    """None: a model cannot take it."""
    why: str
    """The reason, for people."""
    categories: tuple[str, ...] = ()
    """For a category: the most frequent value first."""
    unknown: Policy = Policy.REJECT
    """For a category: what becomes of any other value."""


def is_mostly_numbers(profile: ColumnProfile) -> bool:
    """Tell whether what is no gap is numbers, but for a few mistakes."""
    if not profile.numbers or profile.codes:
        return False
    strays = profile.others / (profile.numbers + profile.others)
    return not profile.others or (strays <= _STRAY and not _is_short(profile.counts))


def _is_short(counts: Mapping[str, int] | None) -> bool:
    return counts is not None and len(counts) <= MOST_CATEGORIES


def count_values(profile: ColumnProfile, missing_texts: AbstractSet[str]) -> dict[str, int] | None:
    """Give value → rows, with those that may mean "no value" and are not among `missing_texts`; None: too many."""
    if profile.counts is None:
        return None
    kept = {text: rows for text, rows in profile.gaps.items() if text not in missing_texts and text}
    return {**profile.counts, **kept}


def read_column(profile: ColumnProfile, missing_texts: AbstractSet[str]) -> Reading:
    """Say how a column is read, when `missing_texts` mean "no value"."""
    gaps = sum(rows for text, rows in profile.gaps.items() if text in missing_texts)
    present = profile.rows - gaps
    values = count_values(profile, missing_texts)
    if not present:
        return Reading(None, "no row has a value")
    if _is_date(profile):
        return Reading(None, "dates or times, which a model cannot take as they are")
    if values is not None and len(values) == 1:
        if not gaps:
            return Reading(None, "every row has the same value")
        return Reading(Type.CATEGORY, "one value or none: a mark", tuple(values), Policy.ALLOW)
    if profile.commas > present / 2:
        return Reading(None, "numbers with a decimal comma, which are not read; write decimals behind a point")
    named = names_something(profile.name) and profile.whole + profile.others == present
    if is_mostly_numbers(profile):
        if named or _counts_rows(profile, present):
            return _read_names(profile, values, present)
        return _read_numbers(profile, values, present)
    return _read_texts(profile, values, present)


def _is_date(profile: ColumnProfile) -> bool:
    if profile.dates * 2 > profile.others and profile.dates * 2 > profile.numbers:
        return True
    low, high = profile.low, profile.high
    if low is None or high is None or profile.others or not _DATED & set(split_words(profile.name)):
        return False
    return profile.whole == profile.numbers and low >= 19_000_101 and high <= 21_001_231


def _counts_rows(profile: ColumnProfile, present: int) -> bool:
    """Tell whether the numbers are those of the rows: each once, without a hole."""
    if profile.low is None or profile.high is None or profile.whole != present or present < _OFTEN:
        return False
    return profile.unique and profile.high - profile.low + 1 == present


def _read_names(profile: ColumnProfile, values: Mapping[str, int] | None, present: int) -> Reading:
    if values is not None and _is_short(values) and _repeated(values) >= _REPEATED * present:
        return _read_texts(profile, values, present)
    return Reading(None, "its numbers name something or count the rows; a model would learn them by heart")


def _read_numbers(profile: ColumnProfile, values: Mapping[str, int] | None, present: int) -> Reading:
    strays = f"; {profile.others:,} of them are no number, and such rows are rejected" if profile.others else ""
    whole = profile.whole == profile.numbers and not profile.others
    if whole and values is not None and len(values) <= min(_FEW, present // _OFTEN):
        return Reading(Type.INTEGER, "few different whole numbers, each of them often: counts")
    seen = ", whole ones so far" if whole else ""
    return Reading(Type.NUMBER, f"numbers{seen}{strays}")


def _read_texts(profile: ColumnProfile, values: Mapping[str, int] | None, present: int) -> Reading:
    if profile.marked * 2 > present and not _is_short(values) and not profile.unique:
        return Reading(None, "numbers beside a unit, a currency or separators of thousands; write plain numbers")
    if values is None:
        return Reading(None, "free text, or too many different values")
    ranked = sorted(values, key=lambda value: (-values[value], value))
    listed = tuple(ranked[:MOST_CATEGORIES])
    if _repeated(values) < _REPEATED * present or sum(values[value] for value in listed) < _COVERED * present:
        return Reading(None, "almost every row has a value of its own (names or free text)")
    if len(listed) < len(ranked):
        why = f"the {len(listed)} most frequent of {len(ranked):,} values; the others count as unknown"
        return Reading(Type.CATEGORY, why, listed, Policy.ALLOW)
    codes = "codes with leading zeros, " if profile.codes else ""
    if min(values.values()) >= _CLOSED:
        why = f"{codes}each value was seen {_CLOSED} times or more: the list looks closed, another value is rejected"
        return Reading(Type.CATEGORY, why, listed, Policy.REJECT)
    why = f"{codes}some values are rare: there may be others, which count as unknown"
    return Reading(Type.CATEGORY, why, listed, Policy.ALLOW)


def _repeated(values: Mapping[str, int]) -> int:
    return sum(rows for rows in values.values() if rows > 1)


def clear_gaps(profile: ColumnProfile) -> set[str]:
    """Give the texts of a column that mean "no value": among numbers all that may, elsewhere those that clearly do."""
    if is_mostly_numbers(profile):
        return set(profile.gaps)
    return {text for text in profile.gaps if text.casefold() in CLEARLY_MISSING}
