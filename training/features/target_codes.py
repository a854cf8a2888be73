"""Target codes: each group of loans is written as its smoothed share of defaults, never from a loan's own label.

The code of a group with `d` defaults among `n` loans is (d + m q) / (n + m), where q is the share of defaults among
all loans and m the smoothing (loans): Micci-Barreca, SIGKDD Explorations 3 (2001). While fitting, the code of a loan
comes from the loans of the other folds alone (cross-fitting), so that a model cannot read a loan's label out of it.
"""

import numpy as np
from numpy.typing import NDArray

Groups = NDArray[np.intp]
"""(loans,) the group of each loan, from 0 on."""


def draw_folds(labels: NDArray[np.uint8], folds: int, seed: int) -> NDArray[np.intp]:
    """Draw the fold of each loan, (loans,), from 0 to `folds` - 1: each fold has the same share of either outcome."""
    stream = np.random.default_rng([seed, 2])
    drawn = np.empty(len(labels), np.intp)
    for label in (0, 1):
        positions = stream.permutation(np.flatnonzero(labels == label))
        drawn[positions] = np.arange(len(positions)) % folds
    return drawn


def smooth_shares(groups: Groups, labels: NDArray[np.uint8], size: int, smoothing: float) -> NDArray[np.float32]:
    """Give the code of each of `size` groups, (size,), from these loans; a group without loans gets the share of all.

    `labels` is (loans,), 1 = default.
    """
    defaults = np.bincount(groups, labels, size)
    loans = np.bincount(groups, minlength=size)
    share = labels.mean() if len(labels) else 0.0
    return np.asarray((defaults + smoothing * share) / (loans + smoothing), np.float32)


def cross_fit(
    groups: Groups, labels: NDArray[np.uint8], folds: NDArray[np.intp], size: int, smoothing: float
) -> NDArray[np.float32]:
    """Give the code of each loan, (loans,), from the loans of the other folds."""
    codes = np.empty(len(labels), np.float32)
    for fold in np.unique(folds):
        held = folds == fold
        codes[held] = smooth_shares(groups[~held], labels[~held], size, smoothing)[groups[held]]
    return codes
