"""Folds of the train side: loans with equal features share a fold, and like groups of them are spread over all folds.

The seed and the features decide, not the order of the loans. How groups are dealt, and why a large group is not paid
for by the others: docs/decisions/0015.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.errors import LoansError
from training.history.equal_loans import find_large_groups
from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans

FEWEST_FOLDS = 2
MOST_FOLDS = 10

FEWEST_IN_FOLD = 2
"""Loans of either outcome that each fold must have, so that an AUC says something of it."""

SET_ASIDE: Final = -1
"""Stands in place of a fold for loans of large groups: every fit learns from them, and they are in no figure."""

PAID_BACK: Final = 0.05
"""Most that one group counts for when outcomes are balanced: this share of a fold's fair number of the rarer outcome.

A fold that gets a large group of defaults would otherwise get too few defaults among its other loans.
"""

# Another draw than that of the split, which uses the seed itself.
_STREAM = 0x5EED_F01D


def draw_folds(features: NDArray[np.float32], labels: NDArray[np.uint8], folds: int, seed: int) -> NDArray[np.intp]:
    """Return the fold of each loan, 0 to `folds` - 1 or SET_ASIDE: (loans, features), (loans,) → (loans,).

    Raises LoansError when a fold has too few loans of either outcome.
    """
    hashes = hash_loans(features, seed ^ _STREAM)
    drawn = np.full(len(labels), SET_ASIDE, np.intp)
    judged = ~find_large_groups(hashes)
    drawn[judged] = deal_groups(hashes[judged], labels[judged], folds)
    for outcome, meaning in ((0, "that were repaid"), (1, "that defaulted")):
        dealt = judged & (labels == outcome)
        fewest = int(np.bincount(drawn[dealt], minlength=folds).min())
        if fewest < FEWEST_IN_FOLD:
            raise LoansError(
                f"With {folds} folds, one has {fewest} loans {meaning}; at least {FEWEST_IN_FOLD} are needed.",
                f"Loans with equal features share a fold, and large groups of them are in none: "
                f"{np.count_nonzero(dealt):,} loans {meaning} are left to be dealt to folds, with "
                f"{len(np.unique(hashes[dealt])):,} different sets of features. Set fewer `folds` under [training] in "
                "the site file, or add labelled loans to the history.",
            )
    return drawn


def deal_groups(hashes: NDArray[np.uint64], labels: NDArray[np.uint8], folds: int) -> NDArray[np.intp]:
    """Return the fold of each loan, 0 to `folds` - 1, by its hash: loans with equal hashes share a fold; (loans,).

    Groups with as many loans and as many defaults as each other are dealt in turn, in the order of their hashes. What
    this leaves over, fewer than `folds` groups of each kind, is dealt from the largest down, one to each fold before
    the next round begins. So

    - two folds differ by no more loans than the largest group has;
    - of the rarer outcome they differ by no more loans than one group has, if no group has more than
      `count_at_most` of them;
    - if at least `folds` groups have loans of the rarer outcome, every fold does.

    The order of the loans does not matter.
    """
    _, group = np.unique(hashes, return_inverse=True)
    sizes = np.bincount(group)
    defaults = np.bincount(group, labels).astype(np.intp)
    rare = defaults if 2 * defaults.sum() <= len(labels) else sizes - defaults
    order = np.lexsort((-rare, -sizes))  # stable: within a kind the order of the hashes stays
    new_kind = (np.diff(sizes[order]) != 0) | (np.diff(rare[order]) != 0)
    starts = np.flatnonzero(np.append(True, new_kind))
    counts = np.diff(np.append(starts, len(order)))
    within = np.arange(len(order)) - np.repeat(starts, counts)
    fold_of = np.empty(len(order), np.intp)
    fold_of[order] = within % folds
    left = order[within >= np.repeat(counts - counts % folds, counts)]
    counted = np.minimum(rare[left], count_at_most(int(rare.sum()), folds))
    fold_of[left] = _deal_in_rounds(sizes[left].tolist(), counted.tolist(), folds)
    return fold_of[group]


def count_at_most(rare: int, folds: int) -> int:
    """Return how many loans of the rarer outcome one group counts for at most, of `rare` in all."""
    return max(FEWEST_IN_FOLD, int(PAID_BACK * rare / folds))


def _deal_in_rounds(sizes: list[int], counted: list[int], folds: int) -> list[int]:
    """Return the fold of each group; groups come in descending order of size, and a round gives one to each fold.

    Within a round, groups with loans of the rarer outcome go to the folds with the fewest of these so far, most to
    fewest; the other groups go to the smallest of the remaining folds, and of these to one with few of their outcome.
    """
    fold_of = [0] * len(sizes)
    loans, rare = [0] * folds, [0] * folds
    for begin in range(0, len(sizes), folds):
        dealt = range(begin, min(begin + folds, len(sizes)))
        urgent = sorted((at for at in dealt if counted[at]), key=lambda at: -counted[at])
        takers = sorted(range(folds), key=lambda fold: (rare[fold], loans[fold]))
        rest = sorted(takers[len(urgent) :], key=lambda fold: (loans[fold], -rare[fold]))
        others = (at for at in dealt if not counted[at])
        for at, fold in (*zip(urgent, takers, strict=False), *zip(others, rest, strict=False)):
            fold_of[at] = fold
            loans[fold] += sizes[at]
            rare[fold] += counted[at]
    return fold_of


def leave_out(loans: LabelledLoans, drawn: NDArray[np.intp], fold: int) -> tuple[LabelledLoans, LabelledLoans]:
    """Give the loans to fit on (all other folds, and what is set aside), and those of the fold, in the order given."""
    return loans.take(np.flatnonzero(drawn != fold)), loans.take(np.flatnonzero(drawn == fold))


def take_judged(loans: LabelledLoans, drawn: NDArray[np.intp]) -> tuple[LabelledLoans, NDArray[np.intp]]:
    """Give the loans that have a fold, and their folds, in the order given."""
    judged = np.flatnonzero(drawn != SET_ASIDE)
    return loans.take(judged), drawn[judged]
