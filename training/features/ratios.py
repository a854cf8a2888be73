"""Numbers against each other: ratios, products and payments of a loan's numbers, in float32; and the same as ONNX.

Each is a x b / c with one rounding per operation, as IEEE 754 has it, so that numpy and a graph give the same bits.
What is no finite number (0/0, x/0, an overflow) counts as missing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from training.features.open_graph import OpenGraph

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Ratio:
    """a x b / c, each a position in the contract's order of features."""

    a: int
    """Always there."""
    b: int | None = None
    """Nothing: 1."""
    c: int | None = None
    """Nothing: 1."""

    @property
    def columns(self) -> frozenset[int]:
        """Which columns it is made of."""
        return frozenset(position for position in (self.a, self.b, self.c) if position is not None)


def compute_ratios(ratios: Sequence[Ratio], features: Matrix) -> Matrix:
    """Give every ratio of each row of (rows, features): (rows, ratios)."""
    computed = np.empty((len(features), len(ratios)), np.float32)
    with np.errstate(all="ignore"):
        for place, ratio in enumerate(ratios):
            value = features[:, ratio.a]
            if ratio.b is not None:
                value = value * features[:, ratio.b]
            if ratio.c is not None:
                value = value / features[:, ratio.c]
            computed[:, place] = np.where(np.isinf(value), np.float32(np.nan), value)
    return computed


def propose_ratios(positions: Sequence[int]) -> Iterator[Ratio]:
    """Propose a ratio and a product of every pair of numbers; a/c and c/a split loans alike, so one of them does."""
    for a, c in combinations(positions, 2):
        yield Ratio(a, c=c)
        yield Ratio(a, b=c)


def extend_ratios(found: Sequence[Ratio], positions: Sequence[int]) -> list[Ratio]:
    """Propose each ratio of two numbers times a third, and each product of two over a third, none of them twice.

    An amount against an income times the interest is a payment; an income times a share over an amount tells whether
    what the applicant stated fits together.
    """
    extended: dict[Ratio, None] = {}
    for ratio in found:
        for third in positions:
            if third in ratio.columns or None not in (ratio.b, ratio.c):
                continue
            a, b = sorted((ratio.a, third if ratio.b is None else ratio.b))
            extended[Ratio(a, b, ratio.c if ratio.b is None else third)] = None
    return list(extended)


def convert_ratios(graph: OpenGraph, features: str, ratios: Sequence[Ratio]) -> str:
    """Add what computes the ratios; give the name of (rows, ratios) float32. There must be at least one."""
    nothing = graph.constant(np.array([np.nan], np.float32))
    computed = []
    for ratio in ratios:
        value = graph.column(features, ratio.a)
        if ratio.b is not None:
            value = graph.add("Mul", value, graph.column(features, ratio.b), version=14)
        if ratio.c is not None:
            value = graph.add("Div", value, graph.column(features, ratio.c), version=14)
        endless = graph.add("IsInf", value, version=10)
        computed.append(graph.add("Where", endless, nothing, value, version=16))
    return graph.add("Concat", *computed, version=13, axis=1)
