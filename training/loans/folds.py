"""Folds of the train side: stratified, drawn by the seed, and twins never part."""

import numpy as np
from numpy.typing import NDArray

from scoring.errors import LoansError
from training.loans.labelled_loans import LabelledLoans
from training.loans.loan_hash import hash_loans

FEWEST_FOLDS = 2
MOST_FOLDS = 10

FEWEST_IN_FOLD = 2
"""Loans of either outcome that each fold must have, so that an AUC says something of it."""

# Another draw than that of the split, which uses the seed itself.
_STREAM = 0x5EED_F01D


def draw_folds(features: NDArray[np.float32], labels: NDArray[np.uint8], folds: int, seed: int) -> NDArray[np.intp]:
    """Give each loan its fold, 0 to `folds` - 1: (loans, features), (loans,) → (loans,).

    Each outcome is dealt out in turn, in the order of its loans' hashes, so that folds are alike in size and share of
    defaults. Loans of the same features and outcome share a fold. Raises LoansError when a fold has too few of either
    outcome.
    """
    hashes = hash_loans(features, seed ^ _STREAM)
    drawn = np.empty(len(labels), np.intp)
    for outcome in (0, 1):
        chosen = labels == outcome
        _, rank = np.unique(hashes[chosen], return_inverse=True)
        drawn[chosen] = rank % folds
    for outcome, meaning in ((0, "that were repaid"), (1, "that defaulted")):
        fewest = int(np.bincount(drawn[labels == outcome], minlength=folds).min())
        if fewest < FEWEST_IN_FOLD:
            raise LoansError(
                f"With {folds} folds, one has {fewest} loans {meaning}; at least {FEWEST_IN_FOLD} are needed.",
                "Set fewer `folds` under [training] in the site file, or add labelled loans to the history.",
            )
    return drawn


def leave_out(loans: LabelledLoans, drawn: NDArray[np.intp], fold: int) -> tuple[LabelledLoans, LabelledLoans]:
    """Give the loans of all other folds, and those of the fold, both in the order given."""
    return loans.take(np.flatnonzero(drawn != fold)), loans.take(np.flatnonzero(drawn == fold))
