"""Trees as plain arrays: thresholds rounded so that float32 numbers fall on the same side."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.learners.trees import exact_unit, round_down

single = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(threshold=st.floats(allow_nan=False) | single | st.just(1e300), number=single)
def test_rounding_a_threshold_moves_no_number(threshold: float, number: float) -> None:
    """A float32 number lies at or below a threshold exactly when it does so after rounding, however close it is."""
    (rounded,) = round_down(np.array([threshold]))
    assert rounded.dtype == np.float32
    assert np.isfinite(rounded)
    with np.errstate(over="ignore"):
        above = np.nextafter(rounded, np.float32(np.inf))
    for near in (np.float32(number), rounded, above):
        # Below every float32 there is no number left to move; boosting and forests cut between two that occur.
        if np.isfinite(near) and threshold >= -float(np.finfo(np.float32).max):
            assert (np.float64(near) <= threshold) == (near <= rounded)


@given(seed=st.integers(0, 2**32 - 1), size=st.floats(1e-3, 1e3))
def test_leaves_add_up_in_any_order(seed: int, size: float) -> None:
    """Leaves that are multiples of the unit have the same float32 sum in any order, which is the exact one."""
    stream = np.random.default_rng(seed)
    leaves = stream.normal(scale=size, size=400)
    unit = exact_unit(float(np.abs(leaves).sum()))
    rounded = np.round(leaves / unit) * unit
    assert np.abs(rounded - leaves).max() <= unit / 2
    for order in (np.arange(400), stream.permutation(400)):
        total = np.float32(0)
        for leaf in rounded[order].astype(np.float32):
            total += leaf
        assert total == rounded.sum()
