"""Loans with equal features: which groups of them are so large that they are always learnt from and never judged by.

Equal loans are never divided between the two sides of the split or between folds. A group that holds a large share of
the history would then make up much of whatever side or fold it falls on, and be predicted by models that saw no such
loan. Why such groups are set aside instead: docs/decisions/0015.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans
from training.records.findings import EqualGroup

LARGE_SHARE: Final = 0.03
"""A group is large if it holds more than this share of the loans ..."""

LARGE: Final = 100
"""... and at least this many: then one loan more or less hardly changes what a model learns of the group."""

ENOUGH_SET_ASIDE: Final = 0.5
"""Once the groups that are set aside, largest first, hold this share of the loans, the others count as small."""


def find_large_groups(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which loans belong to a large group, by the hashes of their features: (loans,) → (loans,)."""
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    ranked = sizes[order]
    before = np.cumsum(ranked) - ranked
    large = np.zeros(len(sizes), bool)
    large[order] = (ranked >= LARGE) & (ranked > LARGE_SHARE * len(hashes)) & (before < ENOUGH_SET_ASIDE * len(hashes))
    return large[group]


def describe_groups(loans: LabelledLoans, seed: int) -> tuple[EqualGroup, ...]:
    """Describe each group of equal loans, the largest first; its key is the hash of its features under `seed`."""
    keys, group, sizes = np.unique(hash_loans(loans.features, seed), return_inverse=True, return_counts=True)
    defaults = np.bincount(group, loans.labels, len(keys)).astype(np.intp)
    return tuple(
        EqualGroup(name_key(keys[at]), int(sizes[at]), int(defaults[at])) for at in np.argsort(-sizes, kind="stable")
    )


def predict_groups(
    predict: Callable[[NDArray[np.float32]], NDArray[np.floating]], loans: LabelledLoans, seed: int
) -> dict[str, float]:
    """Return the probability of default of each group of equal loans, by its key; `predict` maps rows to (rows,)."""
    keys, first = np.unique(hash_loans(loans.features, seed), return_index=True)
    if not len(keys):
        return {}
    return dict(zip(map(name_key, keys), predict(loans.features[first]).tolist(), strict=True))


def name_key(key: np.uint64) -> str:
    """Write the hash of a group of equal loans."""
    return f"{int(key):016x}"


def spread_evenly(
    drawn: NDArray[np.intp], hashes: NDArray[np.uint64], labels: NDArray[np.uint8], folds: int
) -> NDArray[np.intp]:
    """Return the folds `drawn`, (loans,), with either outcome of each group of LARGE loans or more spread evenly.

    For what a model does while it is fitted; no figure comes from such folds.
    """
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    many = np.flatnonzero(sizes[group] >= LARGE)
    spread = drawn.copy()
    # Equal loans with the same outcome are interchangeable, so their order does not matter.
    key = 2 * group[many] + labels[many]
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else np.empty(0, np.intp)
    within = np.arange(len(ranked)) - np.repeat(starts, np.diff(np.append(starts, len(ranked))))
    spread[many[order]] = within % folds
    return spread
