"""Target codes: each group of loans is written as its smoothed share of defaults, never from a loan's own label.

The code of a group with `d` defaults among `n` loans is (d + m q) / (n + m), where q is the share of defaults among
all loans and m the smoothing (loans): Micci-Barreca, SIGKDD Explorations 3 (2001). While fitting, the code of a loan
comes from the loans of the other folds alone (cross-fitting), so that a model cannot read a loan's label out of it.
"""

import numpy as np
from numpy.typing import NDArray

from training.loans.equal_loans import spread_evenly
from training.loans.folds import deal_groups
from training.loans.loan_hash import rehash

Groups = NDArray[np.intp]
"""(loans,) the group of each loan, from 0 on."""


def draw_folds(hashes: NDArray[np.uint64], labels: NDArray[np.uint8], folds: int, seed: int) -> NDArray[np.intp]:
    """Draw the fold of each loan, (loans,), from 0 to `folds` - 1.

    Loans with equal `hashes` (loans,) share a fold, so that a code does not hold the outcome of the same loan on
    another row. Groups of many equal loans are spread evenly over the folds instead: a code from the other loans alone
    would not be the one that the fitted model uses for them.
    """
    drawn = deal_groups(rehash(hashes, seed), labels, folds)
    return spread_evenly(drawn, hashes, labels, folds)


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
