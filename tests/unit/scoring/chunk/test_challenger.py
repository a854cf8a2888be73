"""Counts of champion and challenger: the same however a file is cut, and worth what they say."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.chunk.challenger import EDGES, Tally, add_up, population_stability, reads_alike, summarise, tally_rows
from scoring.contract import Column, Role, Type
from scoring.models.policy import DECISIONS
from tests.unit.scoring.csv_bodies import CONTRACT

rows = st.lists(
    st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.integers(0, 2), st.integers(0, 2)), max_size=40
)


def tally(some: list[tuple[float, float, int, int]]) -> Tally:
    """Count rows of champion's and challenger's probability and decision."""
    columns = np.array(some, float).reshape(-1, 4).T
    decided = columns[2].astype(np.uint32), columns[3].astype(np.uint32)
    return tally_rows(columns[0].astype(np.float32), columns[1].astype(np.float32), decided)


@given(some=rows, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_how_rows_were_cut_does_not_show(some: list[tuple[float, float, int, int]], cuts: list[int]) -> None:
    """Whatever the cuts, the tallies of the pieces add up to that of all rows."""
    edges = [0, *sorted(min(cut, len(some)) for cut in cuts), len(some)]
    pieces = [tally(some[start:stop]) for start, stop in itertools.pairwise(edges)]
    assert add_up(pieces) == add_up([tally(some)])
    assert summarise(add_up(pieces)) == summarise(add_up([tally(some)]))


@given(some=rows.filter(bool))
@settings(max_examples=40)
def test_a_summary_says_what_the_rows_say(some: list[tuple[float, float, int, int]]) -> None:
    """Mean and percentiles of the shift are numpy's, the swap set has every row once, ranges have all rows."""
    told = summarise(tally(some))
    one, other = (np.array([row[place] for row in some], np.float32).astype(float) for place in (0, 1))
    assert told.rows == len(some) == sum(told.champion) == sum(told.challenger)
    assert told.mean_shift == pytest.approx((other - one).mean(), abs=1e-9)
    for name, value in told.shift_percentiles.items():
        wanted = np.percentile(other - one, int(name[1:]), method="inverted_cdf")
        assert value == pytest.approx(wanted, abs=5.1e-4)
    for mine, row in told.swaps.items():
        for theirs, count in row.items():
            pair = DECISIONS.index(mine), DECISIONS.index(theirs)
            assert count == sum((a, b) == pair for _, _, a, b in some)


def test_ranges_are_doublings_of_the_odds() -> None:
    """The odds of default double from one edge to the next; an edge itself belongs to the range above it."""
    odds = [edge / (1 - edge) for edge in EDGES]
    assert [round(math.log2(odd), 9) for odd in odds] == list(range(-10, 7))
    told = tally([(0.5, 0.4999, 0, 0)])
    assert told.champion.index(1) == told.challenger.index(1) + 1 == EDGES.index(0.5) + 1


def test_stability_of_known_counts() -> None:
    """Equal distributions have an index of 0; half a row in each range keeps empty ones finite."""
    assert population_stability((5, 0, 7), (5, 0, 7)) == 0
    # Shares of 5.5 and 0.5 in 10.5 change places.
    assert population_stability((5, 0, 4), (0, 5, 4)) == pytest.approx(2 * 5 / 10.5 * math.log(11))


def test_no_rows_say_nothing() -> None:
    """Without a row there is no percentile, and nothing divides by zero."""
    told = summarise(add_up([]))
    assert (told.rows, told.mean_shift, told.psi, told.shift_percentiles) == (0, 0, 0, {})


@pytest.mark.parametrize(
    ("change", "alike"),
    [
        (lambda columns: columns, True),
        (lambda columns: [msgspec.structs.replace(column, about="else") for column in columns], True),
        (lambda columns: [column for column in columns if column.role is not Role.MONITOR], True),
        (lambda columns: [*columns, Column("other", Role.ID)], True),
        (lambda columns: columns[::-1], False),
        (lambda columns: [*columns, Column("more", Role.FEATURE, Type.NUMBER)], False),
        (lambda columns: [columns[0], msgspec.structs.replace(columns[1], maximum=999.0), *columns[2:]], False),
        (lambda columns: [*columns[:4], msgspec.structs.replace(columns[4], categories=("A",)), *columns[5:]], False),
    ],
)
def test_one_reading_serves_contracts_with_the_same_features(change: object, alike: bool) -> None:  # noqa: FBT001
    """What a feature means decides, and their order; ids, columns that only watch and remarks do not."""
    assert callable(change)
    other = msgspec.structs.replace(CONTRACT, columns=tuple(change(list(CONTRACT.columns))))
    assert reads_alike(CONTRACT, other) is alike


def test_missing_texts_and_encodings_are_part_of_a_reading() -> None:
    """Contracts that take other texts for missing, or read another encoding, do not read alike."""
    assert not reads_alike(CONTRACT, msgspec.structs.replace(CONTRACT, missing_texts=("", "NA")))
    assert not reads_alike(CONTRACT, msgspec.structs.replace(CONTRACT, encoding="latin-1"))
