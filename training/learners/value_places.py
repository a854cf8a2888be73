"""The place of a value among those of its column: a known value, else the step of a quantile, or missing.

Whatever a network's first layer makes of a number hangs on its place alone, so that layer is a table with a row for
each place. Places: known values in ascending order, then the parts between the edges (just "unknown" for a category),
then "missing". Values are compared as the float32 that they are, so that a graph finds the very same place; no number,
however large, leads beyond the last part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from training.features.groupings import find_grouping_columns
from training.features.open_graph import INT64, OpenGraph
from training.learners.trees import Tree, convert_trees

SEEN: Final = 2
"""Loans at a place from which on the place has an input of its own."""

FARTHEST: Final = 3.0
"""Standard deviations that a number's level is from the middle, at most."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Places:
    """The places of one column."""

    column: int
    """In the matrix that is asked: the contract's features, then ratios."""
    known: Matrix
    """(values,) ascending."""
    edges: Matrix
    """(edges,) ascending; a part ends with its edge."""

    @property
    def size(self) -> int:
        """The number of places."""
        return len(self.known) + len(self.edges) + 2

    def index(self, matrix: Matrix) -> NDArray[np.intp]:
        """Give the place of each row of (rows, columns): (rows,)."""
        values = matrix[:, self.column]
        place = len(self.known) + np.searchsorted(self.edges, values)
        if len(self.known):
            at = np.minimum(np.searchsorted(self.known, values), len(self.known) - 1)
            place = np.where(self.known[at] == values, at, place)
        return np.where(np.isnan(values), self.size - 1, place)

    def inputs(self, index: NDArray[np.intp]) -> Matrix:
        """Give what a network is told of each place, (places, inputs), by the places of the loans fitted on, (loans,).

        One input for each place that SEEN loans share, parts of a number left out; and a number's level: the standard
        normal quantile of the share of loans below the middle of its part.
        """
        own = np.bincount(index, minlength=self.size) >= SEEN
        first, parts = len(self.known), len(self.edges) + 1
        if not len(self.edges):
            return np.asarray(np.eye(self.size, dtype=np.float32)[:, own])
        own[first : first + parts] = False
        part_of_known = np.searchsorted(self.edges, self.known)
        parts_of_places = np.concatenate([part_of_known, np.arange(parts)])
        loans = np.bincount(parts_of_places[index[index < self.size - 1]], minlength=parts)
        below = (np.cumsum(loans) - loans / 2) / max(1, loans.sum())
        levels = [NormalDist().inv_cdf(min(max(share, 1e-9), 1 - 1e-9)) for share in below]
        level = np.append(np.clip(levels, -FARTHEST, FARTHEST)[parts_of_places], 0.0)
        return np.column_stack([np.eye(self.size, dtype=np.float32)[:, own], level]).astype(np.float32)


def find_places(contract: Contract, matrix: Matrix, parts: int) -> list[Places]:
    """Find the places of every column of (loans, columns), the contract's features first; `parts` parts at most."""
    known = {column.position: column.known for column in find_grouping_columns(contract, matrix)}
    nothing = np.empty(0, np.float32)
    found = []
    for column in range(matrix.shape[1]):
        edges = nothing
        if column >= len(contract.features) or contract.features[column].is_numeric:
            values = matrix[:, column]
            values = values[~np.isnan(values)] + np.float32(0)  # -0.0 is 0.0
            if len(values):
                levels = np.linspace(0, 1, parts + 1)[1:-1]
                edges = np.unique(np.quantile(values, levels, method="inverted_cdf")).astype(np.float32)
        found.append(Places(column, known.get(column, nothing), edges))
    return found


def convert_places(graph: OpenGraph, matrix: str, places: Sequence[Places]) -> list[str]:
    """Add what finds the place of each row in each column; give the names, each of (rows,) int64."""
    zero = graph.constant(np.array([0], np.float32))
    across = graph.constant(np.array([1]))
    found = []
    for one in places:
        value = graph.column(matrix, one.column)
        first = float(len(one.known))
        if len(one.edges):
            place = convert_trees(graph, matrix, [_halve(one)], first)
        else:
            place = graph.constant(np.array([first], np.float32))
        if len(one.known):
            known = graph.find_known(value, one.known, unknown=-1)
            unknown = graph.add("Less", known, zero, version=13)
            place = graph.add("Where", unknown, place, known, version=16)
        whole = graph.add("Cast", graph.replace_missing(value, place, one.size - 1), version=13, to=INT64)
        found.append(graph.add("Squeeze", whole, across, version=13))
    return found


def _halve(places: Places) -> Tree:
    """Make a tree that gives the number of edges below a value, by halving."""
    edges = places.edges
    nodes: list[tuple[int, float, int, int, float]] = []

    def grow(low: int, high: int) -> int:
        at = len(nodes)
        nodes.append((-1, 0.0, 0, 0, float(low)))
        if low < high:
            middle = (low + high) // 2
            nodes[at] = (places.column, float(edges[middle]), grow(low, middle), grow(middle + 1, high), 0.0)
        return at

    grow(0, len(edges))
    feature, threshold, left, right, value = map(np.array, zip(*nodes, strict=True))
    missing = np.zeros(len(nodes), bool)
    return Tree(feature.astype(np.intp), threshold.astype(np.float32), left, right, missing, value)
