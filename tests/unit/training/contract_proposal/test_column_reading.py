"""What a column is taken for: its type, its role, and why it is left out."""

from collections.abc import Sequence

import polars as pl
import pytest

from scoring.contract import Policy, Type
from training.contract_proposal.column_profile import MOST_COUNTED, ColumnProfile, ColumnProfiler
from training.contract_proposal.column_reading import clear_gaps, is_mostly_numbers, read_column
from training.contract_proposal.header_words import (
    guess_positive,
    names_something,
    protected_characteristic,
    rate_target,
)


def profile(texts: Sequence[str], name: str = "x", blocks: int = 1) -> ColumnProfile:
    """Profile a column in so many blocks."""
    profiler = ColumnProfiler(name)
    size = -(-len(texts) // blocks)
    for start in range(0, len(texts), size):
        profiler.add(pl.Series("any", texts[start : start + size], pl.String))
    return profiler.profile()


MANY = 200
WHOLE = [str(number * 7) for number in range(MANY)]
READ = {
    "numbers": ([f"{number}.5" for number in range(MANY)], Type.NUMBER),
    "whole numbers": (WHOLE, Type.NUMBER),
    "counts": ([str(number % 5) for number in range(MANY)], Type.INTEGER),
    "numbers and a word for none": ([*WHOLE, "none", "-", "N/A", ""], Type.NUMBER),
    "numbers and few mistakes": ([*WHOLE, "12k"], Type.NUMBER),
    "spaces around numbers": ([f" {number}.5\t" for number in range(MANY)], Type.NUMBER),
    "flags": (["Y", "N"] * MANY, Type.CATEGORY),
    "a mark": (["x", "", ""] * MANY, Type.CATEGORY),
    "grades among numbers": (["1", "2", "3", "A"] * MANY, Type.CATEGORY),
    "codes": ([f"0{number % 9}" for number in range(MANY)], Type.CATEGORY),
    "a long tail": ([*["north", "south"] * MANY, *(f"village {number}" for number in range(99))], Type.CATEGORY),
    "names": ([f"Ann {number}" for number in range(MANY)], None),
    "long codes": ([f"0{number}" for number in range(MANY)], None),
    "one value": (["x"] * MANY, None),
    "one number": (["5"] * MANY, None),
    "nothing": (["", "NA"] * MANY, None),
    "dates": ([f"2020-01-{number % 28 + 1:02d}" for number in range(MANY)], None),
    "months": (["Dec-2015", "Jan-2016"] * MANY, None),
    "days": (["3.12.2015", "24.1.2016 10:30"] * MANY, None),
    "decimal commas": ([f"{number % 7},5" for number in range(MANY)], None),
    "money": ([f"$1,{number:03d}.00" for number in range(MANY)], None),
    "shares": ([f"{number / 7:.3f} %" for number in range(MANY)], None),
    "row numbers": ([str(number + 17) for number in range(MANY)], None),
    "too long": (["y" * 201, "x"] * MANY, None),
}


@pytest.mark.parametrize("kind", READ)
def test_each_kind_of_column(kind: str) -> None:
    """A column is read as a person would read it, and what a model cannot take is left out with a reason."""
    texts, wanted = READ[kind]
    seen = profile(texts)
    reading = read_column(seen, clear_gaps(seen) | {""})
    assert reading.type is wanted, reading.why
    assert reading.why


@pytest.mark.parametrize("kind", READ)
def test_blocks_make_no_difference(kind: str) -> None:
    """A profile is the same however the file falls into blocks."""
    texts, _ = READ[kind]
    assert profile(texts) == profile(texts, blocks=7)


@pytest.mark.parametrize(
    ("header", "texts", "wanted"),
    [
        ("branch_id", [str(number % 9) for number in range(MANY)], Type.CATEGORY),
        ("officer_id", [str(number * 3 % 997) for number in range(MANY)], None),
        ("number_of_cards", [str(number * 3 % 997) for number in range(MANY)], Type.NUMBER),
        ("date_opened", ["20200131", "20191224", "20180704"] * MANY, None),
        ("amount", ["20200131", "20191224", "20180704"] * MANY, Type.INTEGER),
    ],
)
def test_the_header_has_a_say(header: str, texts: list[str], wanted: Type | None) -> None:
    """Numbers that name something are no quantities, and eight digits are a date where the header says so."""
    seen = profile(texts, header)
    assert read_column(seen, {""}).type is wanted


def test_the_reason_fits_what_was_seen() -> None:
    """Prices with a currency are to be written as plain numbers; codes of letters and digits are names."""
    prices = [f"{number % 150},{number % 10}00 EUR" for number in range(900)]
    assert "currency" in read_column(profile(prices), {""}).why
    assert "names" in read_column(profile([f"K-{number:05d}" for number in range(900)]), {""}).why


def test_categories_stand_by_frequency() -> None:
    """The most frequent category comes first, equals by their text; a rare one leaves the list open."""
    closed = read_column(profile(["b"] * 20 + ["a"] * 20 + ["c"] * 30), {""})
    assert (closed.categories, closed.unknown) == (("c", "a", "b"), Policy.REJECT)
    opened = read_column(profile(["b"] * 20 + ["a"] * 20 + ["c"]), {""})
    assert (opened.categories, opened.unknown) == (("a", "b", "c"), Policy.ALLOW)


def test_what_means_no_value_depends_on_the_column() -> None:
    """Among numbers "none" is a gap; among texts it is a category, unless it is clearly no value."""
    assert clear_gaps(profile([*WHOLE, "none", "NA"])) == {"none", "NA"}
    assert clear_gaps(profile(["none", "guarantor", "NA", "null"] * MANY)) == {"NA", "null"}
    assert read_column(profile(["none", "guarantor", "NA"] * MANY), {"", "NA"}).categories == ("guarantor", "none")


def test_a_column_of_any_length_is_profiled_in_bounded_memory() -> None:
    """Beyond the bounds values are counted no more, and whether one comes twice is still found out."""
    texts = [f"L{number}" for number in range(60_000)]
    assert profile(texts, blocks=20).unique
    assert profile(texts[: MOST_COUNTED + 1], blocks=5).counts is None
    assert len(profile(texts[:MOST_COUNTED], blocks=5).counts or ()) == MOST_COUNTED
    assert not profile([*texts[:16_000], "L3"], blocks=3).unique
    assert not profile([*texts, *texts[::10]], blocks=20).unique
    assert not profile(["", "a", ""]).unique


def test_numbers_that_a_model_cannot_take_are_none() -> None:
    """What the reader would reject (too large for float32, not a number) is not counted as a number."""
    seen = profile(["1e39", "inf", "1_0", "0x1", "1", "2.5"])
    assert (seen.numbers, seen.whole, seen.others, seen.low, seen.high) == (2, 1, 4, 1, 2.5)
    assert not is_mostly_numbers(seen)


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("person_age", "age"),
        ("ApplicantAge", "age"),
        ("AGE", "age"),
        ("date_of_birth", "age"),
        ("Sex", "sex"),
        ("gender_code", "sex"),
        ("MaritalStatus", "marital status"),
        ("nationality", "national origin"),
        ("mortgage", ""),
        ("vehicle_age", ""),
        ("wage", ""),
        ("loan_percent_income", ""),
        ("Essex branch", ""),
        ("emp_title", ""),
    ],
)
def test_protected_characteristics(header: str, what: str) -> None:
    """Headers are read by word, so that a mortgage is no age."""
    assert protected_characteristic(header) == what


@pytest.mark.parametrize(
    ("header", "values", "positive"),
    [
        ("status", {"good": 5, "bad": 50}, "bad"),
        ("loan_status", {"Fully Paid": 5, "Charged Off": 50}, "Charged Off"),
        ("loan_status", {"0": 5, "1": 50}, "1"),
        ("default", {"yes": 5, "no": 5}, "yes"),
        ("repaid", {"yes": 50, "no": 5}, "no"),
        ("paid_back", {"1": 50, "0": 5}, "0"),
        ("outcome", {"paid": 50, "trouble": 70}, "trouble"),
        ("class", {"1": 70, "2": 30}, "2"),
        ("class", {"A": 70, "B": 30}, "B"),
        ("class", {"A": 30, "B": 30}, "A"),
    ],
)
def test_which_value_means_default(header: str, values: dict[str, int], positive: str) -> None:
    """Words come first, the rarer value next; the reason is told."""
    assert guess_positive(header, values)[0] == positive
    assert guess_positive(header, values)[1]


def test_which_column_looks_like_a_label() -> None:
    """A label's header or its values make it likely; two values alone do not."""
    flag = {"Y": 1, "N": 2}
    assert rate_target("loan_status", flag) > rate_target("cb_person_default_on_file", flag) > 0
    assert rate_target("how it went", {"good": 1, "bad": 1}) >= 2
    assert rate_target("owns_a_car", flag) == 0


@pytest.mark.parametrize(
    ("header", "named"),
    [("id", True), ("LoanID", True), ("application_number", True), ("number_of_cards", False), ("paid", False)],
)
def test_which_headers_name_something(header: str, named: bool) -> None:  # noqa: FBT001 (a table's column)
    """`id` is a word of its own, and a number is a name only beside what it names."""
    assert names_something(header) is named
