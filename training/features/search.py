"""The search for features: which ratios, and which pairs of grouping columns, prove themselves on the loans fitted on.

What each adds is measured on loans held out, against what a first boosting on single columns already knows.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from scoring.contract import Contract
from training.features.groupings import (
    MOST_CELLS,
    Grouping,
    GroupingColumn,
    cross_fit,
    draw_folds,
    index_columns,
    join,
    smooth_shares,
)
from training.features.ratios import Ratio, compute_ratios, extend_ratios, propose_ratios
from training.history.loan_hash import hash_loans

Matrix = NDArray[np.float32]

FEWEST: Final = 50
"""Loans of either outcome from which on features are screened; with fewer, chance looks like proof."""

FIRST_LOOK: Final[dict[str, Any]] = {
    "max_iter": 60,
    "learning_rate": 0.15,
    "max_leaf_nodes": 6,
    "max_features": 0.5,
    "l2_regularization": 5.0,
    "early_stopping": False,
}
"""The boosting that tells what is known before a feature is added."""

SCREENED: Final = 50_000
"""Loans that features are screened on, at most."""

EXTENDED: Final = 40
"""Ratios and products of two numbers, the best first, that are tried with a third number."""


def search_features(
    contract: Contract,
    columns: Sequence[GroupingColumn],
    features: Matrix,
    labels: NDArray[np.uint8],
    *,
    ratios: int,
    pairs: int,
    folds: int,
    smoothing: float,
    seed: int,
) -> tuple[list[Ratio], list[Grouping]]:
    """Choose at most `ratios` ratios and `pairs` pairs of grouping columns that prove themselves.

    `features` is (loans, features), `labels` is (loans,); `folds` and `smoothing` are those of the target codes.
    """
    if not (ratios or pairs) or min(np.bincount(labels, minlength=2)) < FEWEST:
        return [], []
    stream = np.random.default_rng([seed, 3])
    rows = np.sort(stream.permutation(len(labels))[:SCREENED])
    features, labels = features[rows], labels[rows]
    index = index_columns(columns, features)
    singles = [join(columns, place) for place in range(len(columns))]
    hashes = hash_loans(features, 0)
    thirds = draw_folds(hashes, labels, 3, seed + 1)
    if any(len(np.unique(labels[thirds != third])) < 2 for third in range(3)):
        return [], []  # Too few different loans of one outcome to learn from.
    known = _look_first(singles, features, index, labels, hashes, thirds, folds, smoothing, seed)
    screening = draw_folds(hashes, labels, 5, seed)
    found_ratios: list[Ratio] = []
    if ratios:
        numbers = [position for position, column in enumerate(contract.features) if column.is_numeric]

        def judge(ratio: Ratio) -> tuple[Ratio, Gain]:
            groups = cut(compute_ratios([ratio], features)[:, 0])
            return ratio, measure_gain(groups, BINS + 1, labels, known, screening)

        twos = rank(map(judge, propose_ratios(numbers)))
        threes = map(judge, extend_ratios([ratio for ratio, _ in twos[:EXTENDED]], numbers))
        found_ratios = choose(rank([*twos, *threes]), ratios)
    if not pairs:
        return found_ratios, []
    proposed = (join(columns, *places) for places in combinations(range(len(columns)), 2))
    gains = [
        (pair, measure_gain(pair.groups(index), pair.size, labels, known, screening))
        for pair in proposed
        if pair.size <= MOST_CELLS
    ]
    return found_ratios, choose(rank(gains), pairs)


def cross_fit_codes(
    groupings: Sequence[Grouping],
    index: NDArray[np.intp],
    labels: NDArray[np.uint8],
    folds: NDArray[np.intp],
    smoothing: float,
) -> Matrix:
    """Give each loan's target codes from the other folds' loans: (loans, groupings)."""
    codes = [cross_fit(grouping.groups(index), labels, folds, grouping.size, smoothing) for grouping in groupings]
    return np.column_stack(codes) if codes else np.empty((len(labels), 0), np.float32)


def fill_empty(matrix: Matrix) -> Matrix:
    """Put zeros into columns without a value, which scikit-learn cannot bin; no tree splits on either."""
    return np.where(np.isnan(matrix).all(axis=0), np.float32(0), matrix)


def _look_first(
    singles: Sequence[Grouping],
    features: Matrix,
    index: NDArray[np.intp],
    labels: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    thirds: NDArray[np.intp],
    folds: int,
    smoothing: float,
    seed: int,
) -> NDArray[np.float64]:
    """Give each loan a probability from a boosting on single columns that was fitted without its third."""
    known = np.empty(len(labels))
    for third in range(3):
        held = thirds == third
        drawn = draw_folds(hashes[~held], labels[~held], folds, seed)
        codes = cross_fit_codes(singles, index[~held], labels[~held], drawn, smoothing)
        tables = [smooth_shares(g.groups(index[~held]), labels[~held], g.size, smoothing) for g in singles]
        seen = [table[g.groups(index[held])] for table, g in zip(tables, singles, strict=True)]
        model = HistGradientBoostingClassifier(**FIRST_LOOK, random_state=seed)
        model.fit(fill_empty(np.column_stack([features[~held], codes])), labels[~held])
        known[held] = model.predict_proba(np.column_stack([features[held], *seen]))[:, 1]
    return known


PROOF: Final = 0.5
"""Standard errors by which the mean gain must exceed 0: a feature too many costs little, one too few is lost."""

SMOOTHING: Final = 10.0
"""Weight of "no change" in a group, in units of p (1 - p)."""

BINS: Final = 64
"""Groups of like size that a number is cut into to be judged."""

Kind = TypeVar("Kind", bound=Hashable)


@dataclass(frozen=True)
class Gain:
    """What a feature adds."""

    mean: float
    """Nats per loan."""
    errors: float
    """Its standard errors above 0."""


def measure_gain(
    groups: NDArray[np.intp],
    size: int,
    labels: NDArray[np.uint8],
    known: NDArray[np.float64],
    folds: NDArray[np.intp],
) -> Gain:
    """Measure what `groups`, (loans,) from 0 to `size` - 1, add to the probabilities `known`, (loans,)."""
    residual, weight = labels - known, known * (1 - known)
    gains = np.empty(len(labels))
    for fold in np.unique(folds):
        held = folds == fold
        steps = np.bincount(groups[~held], residual[~held], size) / (
            np.bincount(groups[~held], weight[~held], size) + SMOOTHING
        )
        step = steps[groups[held]]
        gains[held] = step * residual[held] - step**2 * weight[held] / 2
    spread = float(gains.std())
    mean = float(gains.mean())
    return Gain(mean, mean / spread * len(gains) ** 0.5 if spread > 0 else 0.0)


def cut(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Cut numbers, (loans,), into BINS groups of like size, and one more for missing ones."""
    present = ~np.isnan(values)
    groups = np.full(len(values), BINS, np.intp)
    if present.any():
        levels = np.linspace(0, 1, BINS + 1)[1:-1]
        edges = np.unique(np.quantile(values[present], levels, method="inverted_cdf"))
        groups[present] = np.searchsorted(edges, values[present], side="left")
    return groups


def rank(gains: Iterable[tuple[Kind, Gain]]) -> list[tuple[Kind, Gain]]:
    """Sort features, the largest gain first."""
    return sorted(gains, key=lambda pair: -pair[1].mean)


def choose(ranked: Iterable[tuple[Kind, Gain]], most: int) -> list[Kind]:
    """Choose of ranked features those that prove themselves, at most `most`."""
    return [kind for kind, gain in ranked if gain.errors > PROOF and gain.mean > 0][:most]
