"""How much a model leans on each feature: AUC lost when the column's values are dealt out anew among loans.

Permutation importance (Breiman, Random Forests, 2001; Fisher, Rudin, Dominici 2019), measured through the graph. Two
columns that say the same share their importance: each can stand in for the other.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from training.loans.labelled_loans import LabelledLoans
from training.records.findings import Importance

SAMPLE: Final = 3_000
"""Held-out loans that are tried, at most."""

REPEATS: Final = 3
"""Shuffles of each column."""

Matrix = NDArray[np.float32]


def measure_importance(
    predict: Callable[[Matrix], Matrix], contract: Contract, loans: LabelledLoans, seed: int = 0
) -> tuple[Importance, ...]:
    """Measure each feature, most important first; `predict` gives (rows, features) → (rows,) probabilities.

    A sample keeps the shares of outcomes, and so both of them.
    """
    from sklearn.metrics import roc_auc_score

    stream = np.random.default_rng([seed, 11])
    sample = _sample(loans, stream)
    whole = float(roc_auc_score(sample.labels, predict(np.ascontiguousarray(sample.features))))
    found = []
    for position, column in enumerate(contract.features):
        lost = []
        for _ in range(REPEATS):
            changed = sample.features.copy()
            changed[:, position] = stream.permutation(changed[:, position])
            lost.append(whole - float(roc_auc_score(sample.labels, predict(changed))))
        found.append(Importance(column.name, float(np.mean(lost)), float(np.std(lost))))
    return tuple(sorted(found, key=lambda one: (-one.auc_lost, one.feature)))


def _sample(loans: LabelledLoans, stream: np.random.Generator) -> LabelledLoans:
    if len(loans) <= SAMPLE:
        return loans
    chosen = []
    for outcome in (0, 1):
        positions = np.flatnonzero(loans.labels == outcome)
        chosen.append(stream.permutation(positions)[: max(1, round(SAMPLE * len(positions) / len(loans)))])
    return loans.take(np.sort(np.concatenate(chosen)))
