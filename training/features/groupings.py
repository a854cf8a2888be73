"""Loans in groups: by the exact value of a column, or by the values of several columns together; and the same as ONNX.

A number groups loans when it is near-discrete: asked for in round figures, priced from a table, counted in years. Every
column that groups has an index: known values count from 0 in ascending order, then come "unknown" and "missing". Values
are compared as the float32 that they are, so that a graph finds the very same group; all indices stay below 2^24, which
float32 holds exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from training.features.open_graph import INT64, OpenGraph
from training.history.equal_loans import spread_evenly
from training.history.folds import deal_groups
from training.history.loan_hash import rehash

REPEATS: Final = 5
"""Loans with the same number from which on the number counts as one that comes back."""

COMING_BACK: Final = 0.5
"""Share of a column's numbers that must come back for the column to count as near-discrete."""

MOST_VALUES: Final = 20_000
"""Known values of a column, at most: the most frequent ones."""

MOST_CELLS: Final = 50_000
"""Cells of a group of columns, at most."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class GroupingColumn:
    """A column whose exact values group loans."""

    position: int
    """In the contract's order of features."""
    known: Matrix
    """(values,) ascending."""

    @property
    def size(self) -> int:
        """The number of groups: each known value, unknown, missing."""
        return len(self.known) + 2

    def index(self, features: Matrix) -> NDArray[np.intp]:
        """Give the index of each row of (rows, features): (rows,)."""
        values = features[:, self.position]
        at = np.searchsorted(self.known, values)
        found = (
            self.known[np.minimum(at, len(self.known) - 1)] == values if len(self.known) else np.zeros(len(at), bool)
        )
        index = np.where(found, at, len(self.known))
        return np.where(np.isnan(values), len(self.known) + 1, index)


@dataclass(frozen=True)
class Grouping:
    """Columns whose values together group loans."""

    columns: tuple[int, ...]
    """Places in the sequence of grouping columns."""
    sizes: tuple[int, ...]
    """Groups of each of them."""

    @property
    def size(self) -> int:
        """Cells: every combination."""
        return int(np.prod(self.sizes, dtype=np.int64))

    @property
    def strides(self) -> tuple[int, ...]:
        """How much a step of each column's index counts."""
        return tuple(int(np.prod(self.sizes[at + 1 :], dtype=np.int64)) for at in range(len(self.sizes)))

    def groups(self, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """Give the cell of each row of (rows, grouping columns): (rows,)."""
        return np.asarray(index[:, list(self.columns)] @ np.array(self.strides, np.intp), np.intp)


def find_grouping_columns(contract: Contract, features: Matrix) -> list[GroupingColumn]:
    """Find the columns that group: each category, and each number most of whose values come back."""
    found = []
    for position, column in enumerate(contract.features):
        if not column.is_numeric:
            found.append(GroupingColumn(position, np.arange(len(column.categories), dtype=np.float32)))
            continue
        values = features[:, position]
        values = values[~np.isnan(values)] + np.float32(0)  # -0.0 is 0.0
        known, counts = np.unique(values, return_counts=True)
        if len(known) < 2 or counts[counts >= REPEATS].sum() < COMING_BACK * len(values):
            continue
        repeated = np.flatnonzero(counts >= 2)
        kept = repeated[np.argsort(-counts[repeated], kind="stable")[:MOST_VALUES]]
        found.append(GroupingColumn(position, known[np.sort(kept)]))
    return found


def index_columns(columns: Sequence[GroupingColumn], features: Matrix) -> NDArray[np.intp]:
    """Give the index of every grouping column: (rows, grouping columns)."""
    if not columns:
        return np.empty((len(features), 0), np.intp)
    return np.column_stack([column.index(features) for column in columns])


def join(columns: Sequence[GroupingColumn], *places: int) -> Grouping:
    """Group by the columns at `places` together."""
    return Grouping(places, tuple(columns[place].size for place in places))


def convert_codes(
    graph: OpenGraph,
    features: str,
    columns: Sequence[GroupingColumn],
    groupings: Sequence[Grouping],
    tables: Sequence[Matrix],
) -> str:
    """Add what looks up the code of each row in each grouping's table; give the name of (rows, groupings) float32."""
    indices = []
    for column in columns:
        value = graph.column(features, column.position)
        place = graph.find_known(value, column.known, unknown=len(column.known))
        indices.append(graph.replace_missing(value, place, len(column.known) + 1))
    cells = []
    offset = 0
    for grouping, table in zip(groupings, tables, strict=True):
        cell = graph.constant(np.array([offset], np.float32))
        for column_place, stride in zip(grouping.columns, grouping.strides, strict=True):
            part = indices[column_place]
            if stride > 1:
                part = graph.add("Mul", part, graph.constant(np.array([stride], np.float32)), version=14)
            cell = graph.add("Add", part, cell, version=14)
        cells.append(cell)
        offset += len(table)
    together = graph.add("Concat", *cells, version=13, axis=1)
    whole = graph.add("Cast", together, version=13, to=INT64)
    return graph.add("Gather", graph.constant(np.concatenate(tables)), whole, version=13, axis=0)


Groups = NDArray[np.intp]
"""(loans,) the group of each loan, from 0 on."""


def draw_folds(hashes: NDArray[np.uint64], labels: NDArray[np.uint8], folds: int, seed: int) -> NDArray[np.intp]:
    """Draw the fold of each loan, (loans,), from 0 to `folds` - 1.

    Loans with equal `hashes` (loans,) share a fold, so that a code does not hold the outcome of the same loan on
    another row. Groups of many equal loans are spread evenly over the folds instead: a code from the other loans alone
    would not be the one that the fitted model uses for them.
    """
    drawn = deal_groups(rehash(hashes, seed), labels, folds)
    return spread_evenly(drawn, hashes, labels, folds)


def smooth_shares(groups: Groups, labels: NDArray[np.uint8], size: int, smoothing: float) -> NDArray[np.float32]:
    """Give the code of each of `size` groups, (size,), from these loans; a group without loans gets the share of all.

    `labels` is (loans,), 1 = default.
    """
    defaults = np.bincount(groups, labels, size)
    loans = np.bincount(groups, minlength=size)
    share = labels.mean() if len(labels) else 0.0
    return np.asarray((defaults + smoothing * share) / (loans + smoothing), np.float32)


def cross_fit(
    groups: Groups, labels: NDArray[np.uint8], folds: NDArray[np.intp], size: int, smoothing: float
) -> NDArray[np.float32]:
    """Give the code of each loan, (loans,), from the loans of the other folds."""
    codes = np.empty(len(labels), np.float32)
    for fold in np.unique(folds):
        held = folds == fold
        codes[held] = smooth_shares(groups[~held], labels[~held], size, smoothing)[groups[held]]
    return codes
