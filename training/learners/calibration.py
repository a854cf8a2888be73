"""Calibration: a monotonous curve from what a model says to how often loans like that default.

Three kinds, of which the out-of-fold probabilities choose: none; a sigmoid in log-odds (Platt 1999); isotonic
(Zadrozny, Elkan 2002). Whatever the kind, the curve is kept as a few knots joined by straight lines, so that Python
and graph compute the same thing, and three properties hold by construction:

- It rises everywhere, by LEAST_SLOPE at least: the ranking stays, and with it the AUC.
- It rises by MOST_SLOPE at most. Graph and scikit-learn differ by a few 1e-7 in what goes in, so by at most MOST_SLOPE
  times that, some 1e-6, in what comes out: below the 1e-5 that the export gate accepts. A curve of steps would turn
  1e-7 into the height of a step, a sigmoid in log-odds is as steep as one near 0 and 1.
- It is continuous, so that it does not matter on which side of a knot a rounded number comes to lie.

The threshold is chosen here as well: from which calibrated probability on a loan is called a default.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

NONE: Final = "none"
SIGMOID: Final = "sigmoid"
ISOTONIC: Final = "isotonic"

MOST_SLOPE: Final = 10.0
"""Steepest that a curve may be."""

LEAST_SLOPE: Final = 0.01
"""Flattest that a curve may be."""

FEWEST: Final = 200
"""Loans in each knot of an isotonic curve, about, at least."""

MOST_KNOTS: Final = 40
"""Knots of an isotonic curve, at most, and the two ends."""

APART: Final = 1e-5
"""Knots are this far apart, so that rounding them to float32 neither flattens nor steepens a line."""

LEAST: Final = 1e-6
"""Where log-odds and log loss are taken, no probability is nearer to 0 or 1."""

NOISE: Final = 2.0
"""Standard errors by which a richer kind must lower the log loss before it is taken."""

TOLERATED: Final = 5e-4
"""F1, or the share of the cheaper of declining all and accepting all, that a steadier threshold may cost."""

NEAR: Final = 0.02
"""How far a steadier threshold may lie from the best one."""

_SIGMOID_KNOTS: Final = 57
# Log-odds up to which the sigmoid has knots: one in 1,100.
_SIGMOID_REACH: Final = 7.0

Array = NDArray[np.float64]
Labels = NDArray[np.uint8]
Knots = tuple[tuple[float, float], ...]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A monotonous curve from probability to probability."""

    kind: str = NONE
    """`none`, `sigmoid` or `isotonic`."""
    slope: float = 1.0
    """Sigmoid: factor of the log-odds."""
    intercept: float = 0.0
    """Sigmoid: added to the log-odds."""
    knots: Knots = ()
    """(said, seen), ascending in both from said 0 to said 1, joined by straight lines; float32 numbers. None: ()."""

    def apply(self, said: Array) -> Array:
        """Calibrate probabilities: (rows,) → (rows,), both float64 between 0 and 1."""
        if not self.knots:
            return said
        across, up = np.array(self.knots).T
        return np.asarray(np.interp(said, across, up), np.float64)


def choose_calibration(said: Array, labels: Labels, seed: int = 0) -> Calibration:
    """Choose and fit a calibration on out-of-fold probabilities, (loans,), and outcomes, (loans,), 1 = default.

    Kinds are compared by log loss on loans that they were not fitted on: fitted on one half, judged on the other, and
    the other way round. The plainer kind stays unless a richer one is better by NOISE standard errors of the loan by
    loan difference. The chosen kind is then fitted on all loans.
    """
    chosen, lowest = NONE, _losses(NONE, said, labels, seed)
    for kind in (SIGMOID, ISOTONIC):
        losses = _losses(kind, said, labels, seed)
        saved = lowest - losses
        if saved.mean() > NOISE * saved.std() / np.sqrt(len(saved)):
            chosen, lowest = kind, losses
    return fit_calibration(chosen, said, labels)


def _losses(kind: str, said: Array, labels: Labels, seed: int) -> Array:
    """Give the log loss of each loan (nats) under a curve that was fitted without it."""
    half = np.random.default_rng([seed, 5]).permutation(len(said)) % 2
    losses = np.empty(len(said))
    for judged in (0, 1):
        inside = half == judged
        curve = fit_calibration(kind, said[~inside], labels[~inside])
        given = np.clip(curve.apply(said[inside]), LEAST, 1 - LEAST)
        losses[inside] = -np.where(labels[inside] == 1, np.log(given), np.log1p(-given))
    return losses


def fit_calibration(kind: str, said: Array, labels: Labels) -> Calibration:
    """Fit a calibration of a kind; none when the loans do not carry it (one outcome only, or a falling curve)."""
    if kind == NONE or not 0 < labels.sum() < len(labels):
        return Calibration()
    return _fit_sigmoid(said, labels) if kind == SIGMOID else _fit_isotonic(said, labels)


def _fit_sigmoid(said: Array, labels: Labels) -> Calibration:
    from sklearn.linear_model import LogisticRegression

    odds = np.log(np.clip(said, LEAST, 1 - LEAST)) - np.log1p(-np.clip(said, LEAST, 1 - LEAST))
    fitted = LogisticRegression(C=1e6).fit(odds[:, None], labels)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        return Calibration()
    grid = np.linspace(-_SIGMOID_REACH, _SIGMOID_REACH, _SIGMOID_KNOTS)
    knots = _bounded(_logistic(grid), _logistic(slope * grid + intercept), np.ones(len(grid)))
    return Calibration(SIGMOID, slope, intercept, knots)


def _logistic(odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -40, 40))))


def _fit_isotonic(said: Array, labels: Labels) -> Calibration:
    from sklearn.isotonic import isotonic_regression

    # Loans of one probability are one point, and points are put together until each knot has loans enough.
    order = np.argsort(said, kind="stable")
    values, starts = np.unique(said[order], return_index=True)
    knots = max(1, min(MOST_KNOTS, len(said) // FEWEST))
    _, group = np.unique(starts * knots // len(said), return_inverse=True)
    loans = np.diff(np.append(starts, len(said))).astype(np.float64)
    defaults = np.add.reduceat(labels[order].astype(np.float64), starts)
    weight = np.bincount(group, loans).astype(np.float64)
    across = np.bincount(group, loans * values) / weight
    # Half a loan of either outcome: no knot says 0 or 1 for certain.
    seen = (np.bincount(group, defaults) + 0.5) / (weight + 1)
    up = isotonic_regression(seen, sample_weight=weight)
    return Calibration(ISOTONIC, knots=_bounded(across, np.asarray(up, np.float64), weight))


def _bounded(across: Array, up: Array, weight: Array) -> Knots:
    """Join what is too close or too steep, lead the curve to both ends, and round it to float32."""
    joined: list[tuple[float, float, float]] = []
    for point in zip(across.tolist(), up.tolist(), weight.tolist(), strict=True):
        joined.append(point)
        while len(joined) > 1 and not _is_sound(joined[-2], joined[-1]):
            (x, y, w), (u, v, z) = joined.pop(), joined.pop()
            joined.append(((x * w + u * z) / (w + z), (y * w + v * z) / (w + z), w + z))
    (first, low, least), (last, high, most) = joined[0], joined[-1]
    # At the ends a curve says no less than half a loan among those of its last knot: nothing is certain.
    lowest = max(min(low, 0.5 / (least + 1)), low - MOST_SLOPE * first)
    highest = min(max(high, 1 - 0.5 / (most + 1)), high + MOST_SLOPE * (1 - last))
    points = [(0.0, lowest), *((x, y) for x, y, _ in joined if APART <= x <= 1 - APART), (1.0, highest)]
    # A little of the straight line keeps flat pieces rising.
    return tuple((float(np.float32(x)), float(np.float32((1 - LEAST_SLOPE) * y + LEAST_SLOPE * x))) for x, y in points)


def _is_sound(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    across, up = other[0] - one[0], other[1] - one[1]
    return across >= APART and up <= MOST_SLOPE * across


def choose_threshold(default: Array, labels: Labels, cost_of_bad: float, cost_of_lost_good: float) -> float:
    """Choose the probability of default from which a loan is called a default; a float32 number.

    With both costs 0 it has the highest F1 on these loans, else the lowest cost: `cost_of_bad` for each default that is
    not called one, `cost_of_lost_good` for each repaid loan that is. It lies midway between two probabilities that
    occur, and among cuts that are as good as the best (within TOLERATED of it) in the widest gap, so that the last
    digits of a probability decide nothing.
    """
    values, group = np.unique(default, return_inverse=True)
    defaults = np.bincount(group, labels, len(values))
    repaid = np.bincount(group, minlength=len(values)) - defaults
    # At the cut before a value, all loans from that value on are called defaults; at the last cut, none is.
    caught = np.append(defaults[::-1].cumsum()[::-1], 0.0)
    lost = np.append(repaid[::-1].cumsum()[::-1], 0.0)
    missed = caught[0] - caught
    if cost_of_bad or cost_of_lost_good:
        worth = -(cost_of_bad * missed + cost_of_lost_good * lost)
        slack = TOLERATED * min(cost_of_bad * caught[0], cost_of_lost_good * lost[0])
    else:
        worth, slack = 2 * caught / np.maximum(2 * caught + lost + missed, 1), TOLERATED
    below, above = np.append(0.0, values), np.append(values, 1.0)
    middle = ((below + above) / 2).astype(np.float32).astype(np.float64)
    parts = (below < middle) & (middle <= above)
    if not parts.any():
        return 0.5
    good = parts & (worth >= worth[parts].max() - slack)
    # Not further than to where the optimum is: a wide gap far away is another decision.
    best = middle[parts][np.argmax(worth[parts])]
    near = good & (np.abs(middle - best) <= NEAR)
    return float(middle[near][np.argmax((above - below)[near])])
