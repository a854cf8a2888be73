"""The standard error of an AUC when loans with equal features are drawn together, as the split and the folds draw them.

The variance of DeLong, DeLong, Clarke-Pearson (Biometrics 44, 1988), summed up by groups of loans as in Obuchowski,
Nonparametric analysis of clustered ROC curve data (Biometrics 53, 1997). Without equal loans it is DeLong's.
"""

import numpy as np
from numpy.typing import NDArray

from training.judging.metrics import Labels, Probabilities


def find_auc_error(default: Probabilities, labels: Labels, groups: NDArray[np.uint64]) -> float:
    """Return the standard error of the AUC; all arrays are (loans,), and loans with equal `groups` are drawn together.

    Both outcomes occur, and there are at least two groups.
    """
    values, place = np.unique(default, return_inverse=True)
    defaulted = np.bincount(place, labels, len(values))
    repaid = np.bincount(place, minlength=len(values)) - defaulted
    # For each probability, the share of repaid loans below it and of defaults above it; a tie counts half.
    repaid_below = (np.cumsum(repaid) - repaid / 2) / repaid.sum()
    defaults_above = 1 - (np.cumsum(defaulted) - defaulted / 2) / defaulted.sum()
    auc = repaid_below @ defaulted / defaulted.sum()
    # How much each loan moves the AUC.
    moves = np.where(
        labels == 1,
        (repaid_below[place] - auc) / defaulted.sum(),
        (defaults_above[place] - auc) / repaid.sum(),
    )
    _, group = np.unique(groups, return_inverse=True)
    together = np.bincount(group, moves)
    return float(np.sqrt(together @ together * len(together) / (len(together) - 1)))
