"""Target codes: smoothed shares of defaults that never look at the loan they are for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.features.groupings import cross_fit, draw_folds, smooth_shares
from training.history.loan_hash import hash_loans

seeds = st.integers(0, 2**32 - 1)


def test_codes_are_smoothed_shares() -> None:
    """Ten loans' worth of the common share is mixed into each group; an empty group has the common share itself."""
    labels = np.array([1, 1, 0, 0, 0, 0, 0, 0], np.uint8)
    codes = smooth_shares(np.array([0, 0, 1, 1, 1, 1, 1, 1]), labels, 3, 10.0)
    assert codes.tolist() == np.array([4.5 / 12, 2.5 / 16, 0.25], np.float32).tolist()


@given(seed=seeds, folds=st.integers(2, 6))
def test_folds_are_alike(seed: int, folds: int) -> None:
    """Where all loans differ, folds differ by at most one loan of either outcome; the seed decides."""
    labels = (np.random.default_rng(seed).random(97) < 0.3).astype(np.uint8)
    hashes = hash_loans(np.arange(97, dtype=np.float32)[:, None], 0)
    drawn = draw_folds(hashes, labels, folds, seed)
    for label in (0, 1):
        counts = np.bincount(drawn[labels == label], minlength=folds)
        assert counts.max() - counts.min() <= 1
    assert (drawn == draw_folds(hashes, labels, folds, seed)).all()
    assert (drawn != draw_folds(hashes, labels, folds, seed + 1)).any()


@given(seed=seeds, folds=st.integers(2, 6))
def test_equal_loans_share_a_fold_unless_they_are_many(seed: int, folds: int) -> None:
    """A few equal loans lie in one fold, in whatever order they come; a hundred of them are spread over all folds."""
    stream = np.random.default_rng(seed)
    number = stream.permutation(np.append(np.arange(300) // 3, np.full(120, 999)))
    labels = stream.integers(0, 2, len(number)).astype(np.uint8)
    hashes = hash_loans(number.astype(np.float32)[:, None], 0)
    drawn = draw_folds(hashes, labels, folds, seed)
    few = number != 999
    assert len(set(zip(number[few], drawn[few], strict=True))) == 100
    assert set(drawn[~few]) == set(range(folds))
    order = stream.permutation(len(number))
    assert (draw_folds(hashes[order], labels[order], folds, seed)[few[order]] == drawn[order][few[order]]).all()


@given(seed=seeds)
def test_own_label_and_own_fold_leave_no_trace(seed: int) -> None:
    """Whatever the labels of a fold are, the codes of its own loans stay the same."""
    stream = np.random.default_rng(seed)
    labels = stream.integers(0, 2, 60).astype(np.uint8)
    groups = stream.integers(0, 7, 60)
    folds = stream.integers(0, 4, 60)
    before = cross_fit(groups, labels, folds, 7, 3.0)
    own = folds == 2
    # All to one outcome: turned about, labels of a group may balance each other.
    altered = np.where(own, 1, labels).astype(np.uint8)
    after = cross_fit(groups, altered, folds, 7, 3.0)
    assert (before[own] == after[own]).all()
    assert (before[~own] != after[~own]).any()
