"""Columns that alone tell how a loan ended: what is known only afterwards, and must not be learnt from."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Column, Contract

TELLING: Final = 0.98
"""Area under the ROC curve of one column from which it is taken for a leak; honest ones stay below 0.9."""

FEWEST: Final = 20
"""Loans of either outcome, and rows of a group, below which nothing is said."""

_GROUPS: Final = 64
_MOST: Final = 32_768


class LeakSample:
    """A bounded, evenly spaced sample of labelled loans: every n-th record, n doubling as the file goes on."""

    def __init__(self) -> None:
        """Start with no loan."""
        self._every = 1
        self._features: list[NDArray[np.float32]] = []
        self._labels: list[NDArray[np.uint8]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._size = 0

    def add(self, features: NDArray[np.float32], labels: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        """Add loans: features (loans, features), labels (loans,), record numbers (loans,)."""
        self._take(features, labels, rows)
        while self._size > _MOST:
            self._every *= 2
            held = list(zip(self._features, self._labels, self._rows, strict=True))
            self._features, self._labels, self._rows, self._size = [], [], [], 0
            for block in held:
                self._take(*block)

    def _take(self, features: NDArray[np.float32], labels: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        kept = rows % self._every == 0
        self._features.append(features[kept])
        self._labels.append(labels[kept])
        self._rows.append(rows[kept])
        self._size += int(kept.sum())

    def find_leaks(self, contract: Contract) -> dict[str, float]:
        """Give the features that alone tell the outcome, with their areas under the ROC curve."""
        if not self._labels:
            return {}
        features, labels = np.concatenate(self._features), np.concatenate(self._labels)
        if min(int(labels.sum()), int((labels == 0).sum())) < FEWEST:
            return {}
        areas = {
            column.name: measure_column(features[:, place], labels, column)
            for place, column in enumerate(contract.features)
        }
        return {name: area for name, area in areas.items() if area >= TELLING}


def measure_column(values: NDArray[np.float32], labels: NDArray[np.uint8], column: Column) -> float:
    """Give the area under the ROC curve of the default rates of a column's groups, measured on the same loans.

    Groups are categories, or up to 64 quantiles of a number; missing values are one more. Groups of fewer than
    FEWEST loans are put together. values (loans,), labels (loans,), 1 = default, both outcomes present.
    """
    missing = np.isnan(values)
    if column.is_numeric:
        known = values[~missing]
        steps = max(2, min(_GROUPS, len(values) // (2 * FEWEST)))
        edges = np.unique(np.quantile(known, np.linspace(0, 1, steps + 1)[1:-1])) if len(known) else known
        groups = np.searchsorted(edges, values) + 1
    else:
        groups = np.where(missing, 0, values).astype(np.int64) + 1
    groups = np.where(missing, 0, groups)
    sizes = np.bincount(groups)
    groups = np.where(sizes[groups] < FEWEST, len(sizes), groups)
    bad = np.bincount(groups, weights=labels).astype(np.float64)
    all_ = np.bincount(groups).astype(np.float64)
    order = np.argsort(bad / np.maximum(all_, 1), kind="stable")
    bad, good = bad[order], (all_ - bad)[order]
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (bad.sum() * good.sum()))
