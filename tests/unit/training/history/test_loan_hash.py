"""The number that decides a loan's side and fold: of its own values and the seed, and evenly spread."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.history.loan_hash import hash_loans

FEATURES = arrays(
    np.float32, st.tuples(st.integers(1, 30), st.integers(1, 6)), elements=st.floats(width=32, allow_nan=True)
)


@settings(max_examples=100, deadline=None)
@given(features=FEATURES, seed=st.integers(0, 2**70), shuffle=st.integers(0, 2**32))
def test_position_does_not_matter(features: np.ndarray, seed: int, shuffle: int) -> None:
    """However the loans are ordered, and whichever others are there, each keeps its number."""
    hashes = hash_loans(features, seed)
    order = np.random.default_rng(shuffle).permutation(len(features))
    assert (hash_loans(features[order], seed) == hashes[order]).all()
    assert hash_loans(features[:1], seed)[0] == hashes[0]
    assert hashes.dtype == np.uint64


def test_equal_numbers_are_the_same_loan() -> None:
    """Minus zero is zero, and one missing value is as good as another, whatever bits it has."""
    other_nan = np.array([0x7FC00123], np.uint32).view(np.float32)[0]
    rows = np.array([[0.0, np.nan, 1.0], [-0.0, other_nan, 1.0], [0.0, np.nan, 1.5]], np.float32)
    one, twin, other = hash_loans(rows, 3)
    assert one == twin
    assert one != other


def test_seed_and_columns_matter() -> None:
    """Another seed, and the same numbers in other columns, are other loans."""
    rows = np.array([[1.0, 2.0], [2.0, 1.0]], np.float32)
    assert len({*hash_loans(rows, 0).tolist(), *hash_loans(rows, 1).tolist()}) == 4


def test_numbers_are_spread_evenly() -> None:
    """Loans that differ by little fall into 16 parts alike, and every bit of the number is set half of the time."""
    rows = np.arange(64_000, dtype=np.float32)[:, None] // np.array([1, 7], np.float32)
    hashes = hash_loans(rows, 0)
    assert len(np.unique(hashes)) == len(rows)
    parts = np.bincount((hashes >> np.uint64(60)).astype(np.intp), minlength=16)
    assert np.abs(parts - 4_000).max() < 5 * np.sqrt(4_000)
    bits = np.unpackbits(hashes.view(np.uint8)).reshape(len(rows), 64).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / np.sqrt(len(rows))
