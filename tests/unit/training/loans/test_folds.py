"""Folds: alike in size and share of defaults, decided by the seed, and twins never part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.errors import LoansError
from training.loans.folds import FEWEST_FOLDS, FEWEST_IN_FOLD, MOST_FOLDS, draw_folds, leave_out
from training.loans.labelled_loans import LabelledLoans


def _loans(repaid: int, defaulted: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    labels = stream.permutation(np.repeat(np.array([0, 1], np.uint8), [repaid, defaulted]))
    return stream.normal(size=(len(labels), 3)).astype(np.float32), labels


@settings(max_examples=60, deadline=None)
@given(
    counts=st.tuples(st.integers(40, 300), st.integers(40, 300), st.integers(0, 2**32)),
    folds=st.integers(FEWEST_FOLDS, MOST_FOLDS),
    seed=st.integers(0, 2**32),
)
def test_folds_are_stratified(counts: tuple[int, int, int], folds: int, seed: int) -> None:
    """Each outcome is dealt out evenly, to a loan; the order of the loans does not matter, the seed does."""
    features, labels = _loans(*counts)
    drawn = draw_folds(features, labels, folds, seed)
    for outcome in (0, 1):
        sizes = np.bincount(drawn[labels == outcome], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(seed).permutation(len(labels))
    assert (draw_folds(features[order], labels[order], folds, seed) == drawn[order]).all()
    assert (draw_folds(features, labels, folds, seed + 1) != drawn).any()


def test_twins_share_a_fold() -> None:
    """The same loan several times is never fitted on and foretold at once."""
    features, labels = _loans(60, 40, 1)
    drawn = draw_folds(np.concatenate([features] * 3), np.concatenate([labels] * 3), 5, 0).reshape(3, -1)
    assert (drawn == drawn[0]).all()


def test_a_fold_without_an_outcome_is_refused() -> None:
    """More folds than there are defaults is told, with the way out."""
    features, labels = _loans(100, 11, 2)
    with pytest.raises(LoansError, match=f"one has 1 loans that defaulted; at least {FEWEST_IN_FOLD}") as caught:
        draw_folds(features, labels, 10, 0)
    assert "folds" in caught.value.way_out


def test_leaving_out_parts_the_loans(loans: LabelledLoans) -> None:
    """A fold and the others together are all loans, in their order; no loan is in both."""
    drawn = draw_folds(loans.features, loans.labels, 3, 0)
    for fold in range(3):
        others, left = leave_out(loans, drawn, fold)
        assert (others.rows == loans.rows[drawn != fold]).all()
        assert (left.rows == loans.rows[drawn == fold]).all()
        assert len(others) + len(left) == len(loans)
