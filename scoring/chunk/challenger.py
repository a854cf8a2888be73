"""Champion against challenger on the same rows: counts that add up over chunks, and what they say together.

The population stability index compares two distributions over the same ranges: the sum of (b - a) * ln(b / a) over
their shares a and b (Siddiqi, Credit Risk Scorecards, 2006, ch. 9). A range is a doubling of the odds of default.
"""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from scoring.contract import Column, Contract
from scoring.models.policy import DECISIONS
from scoring.models.registry import Pin

EDGES = tuple(2.0**doublings / (1 + 2.0**doublings) for doublings in range(-10, 7))
"""Between the ranges of probabilities: odds of default of 1 to 1024, 1 to 512, ... 64 to 1."""

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

_SUM_UNITS = 10**9
_SHIFT_UNITS = 10**3

Probabilities = NDArray[np.float32]
Codes = NDArray[np.uint32]


class Challenger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second version that a batch's rows are scored with as well; pinned with the batch."""

    version: str
    """Its name, as the site file gives it."""
    manifest_sha256: str = ""
    """SHA-256 of its manifest; empty where it could not be read."""
    problem: str = ""
    """Why the batch goes without it, in words; empty: it does not."""

    @property
    def pin(self) -> Pin:
        """The pinned version."""
        return Pin(self.version, self.manifest_sha256)


class Tally(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was counted over some rows. All of it is whole numbers, so the sum does not depend on how a file was cut."""

    rows: int = 0
    """Rows that both scored."""
    champion_only: int = 0
    """Rows that the challenger's contract rejects."""
    challenger_only: int = 0
    """Rows that the champion's contract alone rejects."""
    champion: tuple[int, ...] = (0,) * (len(EDGES) + 1)
    """Rows by range of the champion's `pd`; EDGES lie between the ranges."""
    challenger: tuple[int, ...] = (0,) * (len(EDGES) + 1)
    """Rows by range of the challenger's `pd`."""
    shift_sum: int = 0
    """Sum of the challenger's less the champion's `pd`, each row's rounded to billionths (billionths)."""
    shifts: dict[int, int] = {}
    """Rows by that difference, rounded to thousandths."""
    swaps: dict[str, dict[str, int]] = {}
    """Rows by the champion's decision, then by the challenger's; empty unless both have a policy."""


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tally says."""

    rows: int
    """Rows that both scored."""
    champion_only: int
    """Rows that the challenger's contract rejects."""
    challenger_only: int
    """Rows that the champion's contract alone rejects."""
    mean_shift: float
    """Mean of the challenger's less the champion's `pd`."""
    shift_percentiles: dict[str, float]
    """Percentiles of that difference, to the thousandth."""
    psi: float
    """Population stability index between both distributions of `pd`."""
    edges: tuple[float, ...]
    """Probabilities between the ranges."""
    champion: tuple[int, ...]
    """Rows by range of the champion's `pd`."""
    challenger: tuple[int, ...]
    """Rows by range of the challenger's `pd`."""
    swaps: dict[str, dict[str, int]]
    """Rows by the champion's decision, then by the challenger's; empty unless both versions have a policy."""


def tally_rows(champion: Probabilities, challenger: Probabilities, decided: tuple[Codes, Codes] | None) -> Tally:
    """Count some rows that both scored: (rows,) float32 each, and their decisions where both versions have a policy."""
    shift = challenger.astype(np.float64) - champion
    counts = np.bincount(np.rint(shift * _SHIFT_UNITS).astype(np.int64) + _SHIFT_UNITS)
    found = np.flatnonzero(counts)
    swaps = {}
    if decided is not None:
        size = len(DECISIONS)
        cells = np.bincount(decided[0] * size + decided[1], minlength=size**2).reshape(size, size).tolist()
        swaps = {mine: dict(zip(DECISIONS, row, strict=True)) for mine, row in zip(DECISIONS, cells, strict=True)}
    return Tally(
        rows=len(champion),
        champion=_count_ranges(champion),
        challenger=_count_ranges(challenger),
        shift_sum=int(np.rint(shift * _SUM_UNITS).astype(np.int64).sum()),
        shifts=dict(zip((found - _SHIFT_UNITS).tolist(), counts[found].tolist(), strict=True)),
        swaps=swaps,
    )


def _count_ranges(probabilities: Probabilities) -> tuple[int, ...]:
    places = np.searchsorted(np.array(EDGES, np.float32), probabilities, side="right")
    return tuple(np.bincount(places, minlength=len(EDGES) + 1).tolist())


def add_up(tallies: Sequence[Tally]) -> Tally:
    """Give the tally of all rows together."""
    shifts: Counter[int] = Counter()
    swaps: dict[str, Counter[str]] = {}
    for tally in tallies:
        shifts.update(tally.shifts)
        for mine, row in tally.swaps.items():
            swaps.setdefault(mine, Counter()).update(row)
    return Tally(
        rows=sum(tally.rows for tally in tallies),
        champion_only=sum(tally.champion_only for tally in tallies),
        challenger_only=sum(tally.challenger_only for tally in tallies),
        champion=tuple(sum(tally.champion[place] for tally in tallies) for place in range(len(EDGES) + 1)),
        challenger=tuple(sum(tally.challenger[place] for tally in tallies) for place in range(len(EDGES) + 1)),
        shift_sum=sum(tally.shift_sum for tally in tallies),
        shifts=dict(sorted(shifts.items())),
        swaps={mine: dict(row) for mine, row in swaps.items()},
    )


def summarise(tally: Tally) -> Summary:
    """Say what a tally means."""
    return Summary(
        rows=tally.rows,
        champion_only=tally.champion_only,
        challenger_only=tally.challenger_only,
        mean_shift=tally.shift_sum / _SUM_UNITS / max(tally.rows, 1),
        shift_percentiles=_percentiles(tally.shifts, tally.rows),
        psi=population_stability(tally.champion, tally.challenger),
        edges=EDGES,
        champion=tally.champion,
        challenger=tally.challenger,
        swaps=tally.swaps,
    )


def _percentiles(shifts: dict[int, int], rows: int) -> dict[str, float]:
    """Give the smallest difference that so many per cent of the rows do not exceed (nearest rank)."""
    found = {}
    for percentile in PERCENTILES if rows else ():
        rank, seen = max(-(-rows * percentile // 100), 1), 0
        for thousandths in sorted(shifts):
            seen += shifts[thousandths]
            if seen >= rank:
                found[f"p{percentile}"] = thousandths / _SHIFT_UNITS
                break
    return found


def population_stability(one: Sequence[int], other: Sequence[int]) -> float:
    """Give the population stability index of two counts over the same ranges; 0 for equal ones.

    Half a row is added to every range, so that an empty one does not make it infinite.
    """
    total_one, total_other = sum(one) + len(one) / 2, sum(other) + len(other) / 2
    pairs = [((a + 0.5) / total_one, (b + 0.5) / total_other) for a, b in zip(one, other, strict=True)]
    return math.fsum((b - a) * math.log(b / a) for a, b in pairs)


def reads_alike(champion: Contract, challenger: Contract) -> bool:
    """Tell whether one reading serves both: the same features, in one order, judged by the same rules."""
    return (
        champion.encoding == challenger.encoding
        and champion.missing_texts == challenger.missing_texts
        and [*map(_rule, champion.features)] == [*map(_rule, challenger.features)]
    )


def _rule(column: Column) -> Column:
    return msgspec.structs.replace(column, about="")
