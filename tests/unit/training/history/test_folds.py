"""Folds: equal loans share one, like groups are spread evenly, and neither order nor a large group tilts them."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.errors import LoansError
from tests.unit.training.equal_loans import Loans, draw_banded_loans, draw_thin_files
from training.history.folds import (
    FEWEST_FOLDS,
    FEWEST_IN_FOLD,
    MOST_FOLDS,
    SET_ASIDE,
    count_at_most,
    deal_groups,
    draw_folds,
    leave_out,
    take_judged,
)
from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans

FOLDS = st.integers(FEWEST_FOLDS, MOST_FOLDS)
SEEDS = st.integers(0, 2**32)


def _different_loans(repaid: int, defaulted: int, seed: int) -> Loans:
    stream = np.random.default_rng(seed)
    labels = stream.permutation(np.repeat(np.array([0, 1], np.uint8), [repaid, defaulted]))
    return stream.normal(size=(len(labels), 3)).astype(np.float32), labels


@st.composite
def groups_of_equal_loans(draw: st.DrawFn) -> Loans:
    """Draw groups of equal loans, as (repaid, defaulted) loans each, and write them out in any order."""
    group = st.tuples(st.integers(0, 12), st.integers(0, 4)).filter(any)
    groups = draw(st.lists(group, min_size=1, max_size=80))
    if draw(st.booleans()):
        groups.append((draw(st.integers(0, 400)), draw(st.integers(1, 400))))
    sizes = [repaid + defaulted for repaid, defaulted in groups]
    number = np.repeat(np.arange(len(groups)), sizes)
    labels = np.concatenate([np.repeat([0, 1], group) for group in groups])
    order = np.random.default_rng(draw(SEEDS)).permutation(len(labels))
    return np.column_stack([number, number % 7]).astype(np.float32)[order], labels.astype(np.uint8)[order]


@settings(max_examples=150, deadline=None)
@given(loans=groups_of_equal_loans(), folds=FOLDS, seed=SEEDS)
def test_equal_loans_share_a_fold_whatever_their_order(loans: Loans, folds: int, seed: int) -> None:
    """Loans with equal features lie in one fold, and each keeps its fold when the loans come in another order."""
    features, labels = loans
    drawn = deal_groups(hash_loans(features, seed), labels, folds)
    group = features[:, 0].astype(int)
    assert len(set(zip(group, drawn, strict=True))) == len(set(group))
    order = np.random.default_rng(seed).permutation(len(labels))
    assert (deal_groups(hash_loans(features[order], seed), labels[order], folds) == drawn[order]).all()


@settings(max_examples=150, deadline=None)
@given(loans=groups_of_equal_loans(), folds=FOLDS, seed=SEEDS)
def test_folds_are_as_alike_as_groups_allow(loans: Loans, folds: int, seed: int) -> None:
    """Two folds differ by the loans of one group at most, and no fold lacks what at least as many groups have."""
    features, labels = loans
    drawn = deal_groups(hash_loans(features, seed), labels, folds)
    group = features[:, 0].astype(int)
    loans_of = np.bincount(drawn, minlength=folds)
    assert loans_of.max() - loans_of.min() <= np.bincount(group).max()
    if len(set(group)) >= folds:
        assert loans_of.min() > 0
    rarer = labels if 2 * labels.sum() <= len(labels) else 1 - labels
    rare_of, rare_in = np.bincount(drawn, rarer, folds), np.bincount(group, rarer)
    if np.count_nonzero(rare_in) >= folds:
        assert rare_of.min() > 0
    if rare_in.max() <= count_at_most(int(rarer.sum()), folds):
        assert rare_of.max() - rare_of.min() <= rare_in.max()


@settings(max_examples=60, deadline=None)
@given(counts=st.tuples(st.integers(40, 300), st.integers(40, 300), SEEDS), folds=FOLDS, seed=SEEDS)
def test_different_loans_are_stratified(counts: tuple[int, int, int], folds: int, seed: int) -> None:
    """Where no two loans are equal, folds differ by one loan of either outcome at most; another seed draws others."""
    features, labels = _different_loans(*counts)
    drawn = draw_folds(features, labels, folds, seed)
    for outcome in (0, 1):
        sizes = np.bincount(drawn[labels == outcome], minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    assert (draw_folds(features, labels, folds, seed + 1) != drawn).any()


@pytest.mark.parametrize("outcome", [0, 1])
@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_a_large_group_leaves_the_others_alone(folds: int, outcome: int) -> None:
    """A group of 30 % of the loans, all of one outcome, lies in one fold and does not tilt the others' outcomes."""
    features, labels = draw_banded_loans(7_000, 5)
    large = np.full((3_000, features.shape[1]), 9, np.float32)
    hashes = hash_loans(np.concatenate([large, features]), 0)
    drawn = deal_groups(hashes, np.append(np.full(3_000, outcome, np.uint8), labels), folds)
    assert len(set(drawn[:3_000])) == 1
    shares = np.array([labels[drawn[3_000:] == fold].mean() for fold in range(folds)])
    # Of folds drawn loan by loan, nearly all lie within three standard deviations.
    spread = np.sqrt(labels.mean() * (1 - labels.mean()) * folds / len(labels))
    assert np.abs(shares - labels.mean()).max() < 3 * spread


def test_large_groups_have_no_fold() -> None:
    """Loans without a bureau record, 6 % of all, are in no fold, so every fit learns from them and none is judged."""
    features, labels = draw_thin_files(6_000, 1)
    thin = features[:, 0] == -9
    drawn = draw_folds(features, labels, 3, 0)
    assert ((drawn == SET_ASIDE) == thin).all()
    loans = LabelledLoans(features, labels, np.arange(6_000), np.zeros(6_000, np.int32), {})
    judged, folds = take_judged(loans, drawn)
    assert (judged.rows == np.flatnonzero(~thin)).all()
    assert (folds == drawn[~thin]).all()
    for fold in range(3):
        others, left = leave_out(loans, drawn, fold)
        assert thin[others.rows].sum() == thin.sum()
        assert not thin[left.rows].any()


def test_a_fold_without_an_outcome_is_refused() -> None:
    """More folds than there are defaults is an error, with the way out."""
    features, labels = _different_loans(100, 11, 2)
    with pytest.raises(LoansError, match=f"one has 1 loans that defaulted; at least {FEWEST_IN_FOLD}") as caught:
        draw_folds(features, labels, 10, 0)
    assert "folds" in caught.value.way_out


def test_defaults_that_are_all_equal_are_refused() -> None:
    """A hundred defaults with two sets of features cannot fill three folds, and the error gives both numbers."""
    features, labels = _different_loans(300, 100, 3)
    features[labels == 1] = np.arange(100)[:, None] % 2
    with pytest.raises(LoansError, match="one has 0 loans that defaulted") as caught:
        draw_folds(features, labels, 3, 0)
    assert "100" in caught.value.way_out
    assert "2 different" in caught.value.way_out
    assert set(draw_folds(features, labels, 2, 0)[labels == 1]) == {0, 1}


@pytest.mark.parametrize("values", [3, 40, 1_000_000])
def test_a_million_loans_take_seconds(values: int) -> None:
    """Folds of 1,000,000 loans, few or many of them equal, take less than five seconds of one core."""
    stream = np.random.default_rng(0)
    features = stream.integers(0, values, (1_000_000, 4)).astype(np.float32)
    labels = (stream.random(len(features)) < 0.05 + 0.3 * (features[:, 0] == 0)).astype(np.uint8)
    begin = time.process_time()
    drawn = draw_folds(features, labels, 5, 0)
    seconds = time.process_time() - begin
    print(f"{values} values a column: {seconds:.2f} s")
    assert seconds < 5
    sizes = np.bincount(drawn[drawn != SET_ASIDE])
    assert sizes.max() - sizes.min() <= 30_000


def test_leaving_out_parts_the_loans(loans: LabelledLoans) -> None:
    """A fold and the others together are all loans, in their order; no loan is in both."""
    drawn = draw_folds(loans.features, loans.labels, 3, 0)
    for fold in range(3):
        others, left = leave_out(loans, drawn, fold)
        assert (others.rows == loans.rows[drawn != fold]).all()
        assert (left.rows == loans.rows[drawn == fold]).all()
        assert len(others) + len(left) == len(loans)
