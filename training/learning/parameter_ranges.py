"""What values the parameters of candidates may have: one meaning, and one range, for each name."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Final


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
