"""The blend: a weighted mean of other candidates' probabilities, with weights that the out-of-fold ones choose."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLEND: Final = "blend"
"""The candidate that is made of the others."""

LEAST_WEIGHT: Final = 0.05
"""A member with less is dropped: it would cost time at every scoring and change little."""

LIGHT_WEIGHT: Final = 0.125
"""A member with less is dropped where the blend loses next to nothing (WORTH) without it."""

WORTH: Final = 5e-4
"""Log loss that a light member must save to be kept (nats a loan)."""

_ROUNDS: Final = 2000
_SETTLED: Final = 1e-6
# A probability of 0 that came true would make every blend impossible.
_LEAST_CHANCE: Final = 1e-6


def find_weights(foretold: NDArray[np.float64], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Find the weights of the mean with the least log loss: (members, loans), (loans,) → (members,).

    They are 0 or more and sum up to 1; a member with less than LEAST_WEIGHT gets 0, one with less than LIGHT_WEIGHT too
    unless it saves WORTH, and the others are weighed anew.
    The mean is a mixture, whose likelihood has one maximum; expectation maximisation climbs it without a step size
    (Dempster, Laird, Rubin 1977). The same numbers give the same weights.
    """
    chances = np.maximum(np.where(labels == 1, foretold, 1 - foretold), _LEAST_CHANCE)
    kept = np.ones(len(chances), bool)
    while True:
        weights = _weigh(chances, kept)
        # One at a time: the weight of one that goes may keep another. The last of equals goes first.
        lightest = len(weights) - 1 - int(np.argmin(np.where(kept, weights, np.inf)[::-1]))
        if weights[lightest] >= LIGHT_WEIGHT:
            return weights
        without = kept.copy()
        without[lightest] = False
        if weights[lightest] >= LEAST_WEIGHT:
            saved = np.log(weights @ chances).mean() - np.log(_weigh(chances, without) @ chances).mean()
            if saved >= WORTH:
                return weights
        kept = without


def _weigh(chances: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    weights = np.zeros(len(chances))
    weights[kept] = _climb(chances[kept])
    return weights


def _climb(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.full(len(chances), 1 / len(chances))
    for _ in range(_ROUNDS):
        before = weights
        weights = weights * (chances / (weights @ chances)).mean(axis=1)
        weights /= weights.sum()
        if np.abs(weights - before).max() < _SETTLED:
            break
    return weights
