"""Groups of equal loans: which are large, what is said of them, and how a fit spreads them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.training.equal_loans import draw_thin_files
from training.history.equal_loans import (
    LARGE,
    LARGE_SHARE,
    describe_groups,
    find_large_groups,
    predict_groups,
    spread_evenly,
)
from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans


def _hashes(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)


@pytest.mark.parametrize(
    ("sizes", "large"),
    [
        ([LARGE, *[1] * 2_000], [0]),
        ([LARGE - 1, *[1] * 2_000], []),
        ([150, *[1] * 4_850], []),
        ([151, *[1] * 4_849], [0]),
        ([900, 800, 700, *[1] * 600], [0, 1]),
        ([9_000, 500, *[1] * 500], [0]),
        ([], []),
    ],
)
def test_a_group_is_large_by_number_and_share(sizes: list[int], large: list[int]) -> None:
    """A group needs 100 loans and more than 3 % of all; once half of the loans are set aside, no other group is."""
    assert LARGE_SHARE == 0.03
    assert find_large_groups(_hashes(sizes)).sum() == sum(sizes[at] for at in large)


def test_groups_are_described_by_size_and_outcomes() -> None:
    """Each group has a key that the seed decides, its loans and its defaults, and one probability."""
    features, labels = draw_thin_files(1_000, 3)
    features[:300], features[300:500] = 1, 2
    chosen = np.arange(500)
    loans = LabelledLoans(features, labels, np.arange(1_000), np.zeros(1_000, np.int32), {}).take(chosen)
    groups = describe_groups(loans, 7)
    assert [(group.rows, group.defaults) for group in groups] == [
        (300, labels[:300].sum()),
        (200, labels[300:500].sum()),
    ]
    assert {group.key for group in groups} == {
        f"{number:016x}" for number in set(hash_loans(loans.features, 7).tolist())
    }
    assert predict_groups(lambda rows: rows[:, 0] / 10, loans, 7) == pytest.approx(
        {groups[0].key: 0.1, groups[1].key: 0.2}
    )
    assert predict_groups(lambda rows: rows[:, 0], loans.take(chosen[:0]), 7) == {}


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 250), min_size=1, max_size=20),
    folds=st.integers(2, 6),
    seed=st.integers(0, 2**32),
)
def test_groups_of_many_loans_are_spread_and_small_ones_are_not(sizes: list[int], folds: int, seed: int) -> None:
    """Of a group of 100 loans or more, each fold gets as many of either outcome, to one; a small one stays as it is."""
    stream = np.random.default_rng(seed)
    hashes = stream.permutation(_hashes(sizes))
    labels = stream.integers(0, 2, len(hashes)).astype(np.uint8)
    drawn = np.full(len(hashes), 1)
    spread = spread_evenly(drawn, hashes, labels, folds)
    for group, size in enumerate(sizes):
        if size < LARGE:
            assert (spread[hashes == group] == 1).all()
            continue
        for outcome in (0, 1):
            counts = np.bincount(spread[(hashes == group) & (labels == outcome)], minlength=folds)
            assert counts.max() - counts.min() <= 1
    assert (drawn == 1).all()
