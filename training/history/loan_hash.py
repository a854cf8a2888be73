"""A number for each loan that its own features and a seed decide: which side it lies on does not hang on its position.

Columns are taken up one by one through the finalizer of SplitMix64 (Steele, Lea, Flood 2014), a bijection of 64 bits in
which every bit of the input moves about half of the output; all loans at once, in numpy.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def hash_loans(features: NDArray[np.float32], seed: int) -> NDArray[np.uint64]:
    """Hash each row of (loans, features) float32 under a seed (0 or more): (loans,) uint64.

    Rows that are equal as numbers get the same hash: -0 is 0, and one missing value is as good as another.
    """
    values = np.asarray(features, np.float32) + np.float32(0)
    values[np.isnan(values)] = np.nan
    start = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
    state = np.repeat(_mix(start + _GOLDEN), len(values))
    for column in values.T:
        state = _mix(state + _GOLDEN + _mix(np.ascontiguousarray(column).view(np.uint32).astype(np.uint64) + _GOLDEN))
    return state


def rehash(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return other hashes of the same loans, (loans,), under a further seed: equal ones stay equal, no others meet."""
    start = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
    return _mix(hashes ^ _mix(start + _GOLDEN))


def _mix(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    number = (number ^ (number >> np.uint64(30))) * _FIRST
    number = (number ^ (number >> np.uint64(27))) * _SECOND
    return number ^ (number >> np.uint64(31))
