"""A policy as float32 cut-points: from a probability of default to points, a band and a decision.

    score = base_score + points_to_double / ln 2 * (ln((1 - pd) / pd) - ln base_odds)

rounded half to even and kept between the lowest and the highest points (Siddiqi, Credit Risk Scorecards, 2006, ch. 6).
Points fall as `pd` rises, so each number of points has a smallest float32 `pd` with no more points than that. These
cut-points are found in decimal arithmetic, which is the same on every machine; a logarithm is not. What is left to do
for a loan is comparing float32 numbers: a replay a year later gives the same bytes.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.models.policy import COLUMNS, DECISIONS, Policy

Probabilities = NDArray[np.float32]
Steps = NDArray[np.int16]

_CARRIED = Context(prec=60, Emax=10**15, Emin=-(10**15))
_KEPT = Context(prec=40, Emax=10**15, Emin=-(10**15))
"""Fewer digits than were carried: a cut-point that is a float32 number is seen as that very number."""
_LEAST = np.float32(2) ** -149
"""The smallest float32 above 0."""
_SHIFT = 13
"""Bits of a float32 that the table of steps leaves out; of usual scales, 97 in 100 loans need no look further."""
_NEEDS_A_LOOK = -1


class Scale:
    """The steps of a policy: ranges of probabilities with the same points, band and decision, by rising probability."""

    def __init__(self, policy: Policy) -> None:
        """Work out the steps of a sound policy (see `find_policy_problems`)."""
        points = _cut_points(policy)
        referred, declined = np.float32(policy.refer_from), np.float32(policy.decline_from)
        self._cuts = np.unique(np.append(points, (referred, declined)))
        lowest = np.append(np.float32(0), self._cuts)  # the lowest probability of each step
        scores = policy.highest_score - np.searchsorted(points, lowest, side="right")
        starts = np.array([band.from_score for band in reversed(policy.bands)])
        self._bands = (len(starts) - np.searchsorted(starts, scores, side="right")).astype(np.uint32)
        self._decisions = (lowest >= referred).astype(np.uint32) + (lowest >= declined)
        self.bands = policy.band_names
        """Names of the bands, from the highest points to the lowest."""
        self.bare = not any(mark in name for name in self.bands for mark in ',"')
        """Whether no name needs quotes in a comma-separated file."""
        meaning = (
            pl.Series(scores.astype(np.int32)),
            pl.Series(self._bands).cat.to(pl.Enum(self.bands)),
            pl.Series(self._decisions).cat.to(pl.Enum(DECISIONS)),
        )
        self._meaning = pl.DataFrame(dict(zip(COLUMNS, meaning, strict=True)))
        self._table = _tabulate(self._cuts)

    def place(self, probabilities: Probabilities) -> Steps:
        """Find the step of each probability: (rows,) float32 from 0 to 1 → (rows,) int16."""
        # The sign of a negative zero does not count.
        steps: Steps = self._table[(probabilities.view(np.uint32) & 0x7FFFFFFF) >> _SHIFT]
        unsure = np.flatnonzero(steps == _NEEDS_A_LOOK)
        steps[unsure] = np.searchsorted(self._cuts, probabilities[unsure], side="right")
        return steps

    def explain(self, steps: Steps) -> pl.DataFrame:
        """Give points, band and decision of each row: the columns of COLUMNS."""
        return self._meaning[pl.Series(steps.astype(np.uint32))]

    def decide(self, steps: Steps) -> NDArray[np.uint32]:
        """Give the decision of each row as its place in DECISIONS: (rows,)."""
        return self._decisions[steps]

    def count(self, steps: Steps) -> NDArray[np.int64]:
        """Count the rows on each step: (rows,) → (steps,). Counts of several blocks may be added."""
        return np.bincount(steps, minlength=self._meaning.height)

    def sum_by_decision(self, counts: NDArray[np.int64]) -> dict[str, int]:
        """Give the rows of every decision, from counts of steps."""
        return _sum_up(self._decisions, counts, DECISIONS)

    def sum_by_band(self, counts: NDArray[np.int64]) -> dict[str, int]:
        """Give the rows of every band, from counts of steps."""
        return _sum_up(self._bands, counts, self.bands)


class Census:
    """Places the rows of one chunk on a model's scale, and counts them."""

    def __init__(self, scale: Scale | None) -> None:
        """Start with no row; without a scale nothing is placed."""
        self._scale = scale
        self._counts = np.zeros(1, np.int64)

    def place(self, probabilities: Probabilities) -> Steps | None:
        """Give the step of each row, and count them."""
        if self._scale is None:
            return None
        steps = self._scale.place(probabilities)
        self._counts = self._counts + self._scale.count(steps)
        return steps

    @property
    def decisions(self) -> dict[str, int]:
        """Rows so far by decision; empty without a scale."""
        return {} if self._scale is None else self._scale.sum_by_decision(self._counts)

    @property
    def bands(self) -> dict[str, int]:
        """Rows so far by band; empty without a scale."""
        return {} if self._scale is None else self._scale.sum_by_band(self._counts)


def _sum_up(codes: NDArray[np.uint32], counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, int]:
    sums = np.zeros(len(names), np.int64)
    np.add.at(sums, codes, counts)
    return dict(zip(names, sums.tolist(), strict=True))


def _cut_points(policy: Policy) -> NDArray[np.float32]:
    """Give, for each number of points from the highest but one down, the smallest `pd` with no more points; rising."""
    cuts = []
    with localcontext(_CARRIED):
        points_to_double = Decimal(policy.points_to_double)
        odds, step = Decimal(policy.base_odds), Decimal(2) ** (-1 / points_to_double)
        above = Decimal(policy.highest_score) - Decimal("0.5") - Decimal(policy.base_score)
        odds *= Decimal(2) ** (above / points_to_double)
        for score in range(policy.highest_score - 1, policy.lowest_score - 1, -1):
            # `odds` are those of half a point above `score`: where rounding to `score` begins.
            cuts.append(_first_float32(_KEPT.plus(1 / (1 + odds)), inclusive=score % 2 == 0))
            odds *= step
    return np.array(cuts, np.float32)


def _first_float32(edge: Decimal, *, inclusive: bool) -> np.float32:
    """Give the smallest float32 above 0 that is at least `edge` (or, not inclusive, above it); 1 is always enough."""
    cut = np.float32(float(edge))
    while (below := np.nextafter(cut, np.float32(-1))) > 0 and _reaches(below, edge, inclusive=inclusive):
        cut = below
    while not _reaches(cut, edge, inclusive=inclusive):
        cut = np.nextafter(cut, np.float32(2))
    # At 0 and 1 the logarithm is infinite: the highest and the lowest points, whatever the odds.
    return min(max(cut, _LEAST), np.float32(1))


def _reaches(value: np.float32, edge: Decimal, *, inclusive: bool) -> bool:
    exact = Decimal(float(value))
    return exact >= edge if inclusive else exact > edge


def _tabulate(cuts: NDArray[np.float32]) -> Steps:
    """Give the step of all float32 numbers from 0 to 1 that share their first bits, where it is one."""
    heads = np.arange((int(np.float32(1).view(np.uint32)) >> _SHIFT) + 2, dtype=np.uint32) << _SHIFT
    first = np.searchsorted(cuts, heads[:-1].view(np.float32), side="right")
    last = np.searchsorted(cuts, (heads[1:] - 1).view(np.float32), side="right")
    return np.where(first == last, first, _NEEDS_A_LOOK).astype(np.int16)
