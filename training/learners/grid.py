"""Parameter sets of a candidate: its defaults, with every combination of what its grid varies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, isfinite, prod
from types import MappingProxyType
from typing import Final

from scoring.errors import LoansError
from training.learners.blend import BLEND
from training.learners.candidates import CANDIDATES

MOST_SETS: Final = 200
"""Parameter sets that one candidate may have: each is fitted once for every fold, in a job of its own."""

Grid = Mapping[str, Sequence[float]]
ParameterSets = tuple[dict[str, float], ...]


def known_candidates() -> tuple[str, ...]:
    """Name every candidate that can be asked for."""
    return (*(name for name in CANDIDATES if name != BLEND), BLEND)


def expand_grid(defaults: Mapping[str, float], grid: Grid) -> ParameterSets:
    """Give every combination of the grid's values, each completed by the defaults; the last parameter varies fastest.

    An empty grid gives the defaults alone.
    """
    names = list(grid)
    return tuple(
        {**defaults, **dict(zip(names, map(float, values), strict=True))}
        for values in product(*(grid[name] for name in names))
    )


def plan_sets(candidates: Sequence[str], grids: Mapping[str, Grid]) -> dict[str, ParameterSets]:
    """Give the parameter sets of each candidate: by the grid that the site names for it, else by its own.

    A blend has none. Raises LoansError with everything that is wrong with the names and grids.
    """
    problems = grid_problems(grids)
    unknown = [name for name in candidates if name not in known_candidates()]
    if unknown:
        problems.append(f"no such candidate: {', '.join(unknown)} (there are {', '.join(known_candidates())})")
    if problems:
        raise LoansError(
            f"The training run cannot start: {'; '.join(problems)}.", "Correct [training] in the site file."
        )
    return {
        name: () if name == BLEND else expand_grid(CANDIDATES[name].parameters, grids.get(name, CANDIDATES[name].grid))
        for name in candidates
    }


def grid_problems(grids: Mapping[str, Grid]) -> list[str]:
    """List what is wrong with the grids of a site, in words; empty: nothing."""
    problems = []
    for name, grid in grids.items():
        if name == BLEND:
            problems.append(f"grid.{BLEND}: a blend has no parameters of its own")
            continue
        if name not in CANDIDATES:
            problems.append(f"grid.{name}: there is no such candidate")
            continue
        known = CANDIDATES[name].parameters
        for parameter, values in grid.items():
            if parameter not in known:
                problems.append(f"grid.{name}.{parameter}: {name} has no such parameter, it has {', '.join(known)}")
            elif not values:
                problems.append(f"grid.{name}.{parameter} is empty")
            elif not all(map(isfinite, values)):
                problems.append(f"grid.{name}.{parameter} holds something that is no number")
            elif len(set(values)) < len(values):
                problems.append(f"grid.{name}.{parameter} names a value twice")
            else:
                problems += [
                    f"grid.{name}.{parameter} is {value:g}, it must be {RANGES[parameter]}"
                    for value in values
                    if not RANGES[parameter].holds(value)
                ]
        sets = prod(len(values) for values in grid.values())
        if sets > MOST_SETS:
            problems.append(f"grid.{name} makes {sets} parameter sets, there may be {MOST_SETS}")
    return problems


@dataclass(frozen=True)
class Range:
    """The values that a parameter may have."""

    least: float
    """Smallest."""
    most: float = inf
    """Largest."""
    whole: bool = True
    """Whether it is a whole number."""
    above: bool = False
    """Whether `least` itself is too small."""

    def holds(self, value: float) -> bool:
        """Tell whether a value lies in it."""
        enough = value > self.least if self.above else value >= self.least
        return enough and value <= self.most and (not self.whole or float(value).is_integer())

    def __str__(self) -> str:
        """Say it in words: `a whole number, 2 or more`."""
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            return f"{kind} above {self.least:g}" + (f", up to {self.most:g}" if self.most < inf else "")
        return f"{kind}, {self.least:g} " + (f"to {self.most:,.12g}" if self.most < inf else "or more")


RANGES: Final[Mapping[str, Range]] = MappingProxyType(
    {
        "C": Range(0, whole=False, above=True),
        "alpha": Range(0, whole=False),
        "bins": Range(2, 10_000),
        "ccp_alpha": Range(0, whole=False),
        "leaves": Range(2, 100_000),
        "learning_rate": Range(0, 1, whole=False, above=True),
        "max_iter": Range(1),
        "members": Range(1, 64),
        "min_samples_leaf": Range(1),
        "rounds": Range(1, 1_000),
        "smoothing": Range(0, whole=False, above=True),
        "trees": Range(1, 10_000),
        "units": Range(1, 4_096),
    }
)
"""Of every parameter of every candidate."""
