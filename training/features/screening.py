"""Which derived features prove themselves: what grouping loans adds to what a first model knows, on held-out loans.

A first model gives each loan a probability p that it was not fitted on. A candidate feature groups the loans; within a
group one Newton step of the log-loss, sum(y - p) / (sum(p (1 - p)) + m), is fitted on four fifths of the loans and
judged on the rest: a loan gains c (y - p) - c^2 p (1 - p) / 2 nats, to second order. A feature proves itself when the
mean gain lies more than PROOF standard errors above 0; of those that do, the few with the largest gain are taken.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

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
