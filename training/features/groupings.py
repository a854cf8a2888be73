"""Loans in groups: by the exact value of a column, or by the values of several columns together; and the same as ONNX.

A number groups loans when it is near-discrete: asked for in round figures, priced from a table, counted in years. Every
column that groups has an index: known values count from 0 in ascending order, then come "unknown" and "missing". Values
are compared as the float32 that they are, so that a graph finds the very same group; all indices stay below 2^24, which
float32 holds exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract

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
    scope: Any,
    container: Any,
    features: str,
    columns: Sequence[GroupingColumn],
    groupings: Sequence[Grouping],
    tables: Sequence[Matrix],
) -> str:
    """Add what looks up the code of each row in each grouping's table; give the name of (rows, groupings) float32."""
    from onnx import TensorProto

    def name(part: str) -> str:
        return str(scope.get_unique_variable_name(f"codes_{part}"))

    def add(operator: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = name(part)
        container.add_node(
            operator, inputs, output, name=scope.get_unique_operator_name(f"Codes{operator}"), **attributes
        )
        return output

    def constant(part: str, kind: int, shape: list[int], values: list[Any]) -> str:
        given = name(part)
        container.add_initializer(given, kind, shape, values)
        return given

    indices = []
    for column in columns:
        place = constant("column", TensorProto.INT64, [1], [column.position])
        value = add("Gather", [features, place], "value", axis=1)
        known = add(
            "LabelEncoder",
            [value],
            "known",
            op_domain="ai.onnx.ml",
            op_version=2,
            keys_floats=column.known.tolist(),
            values_floats=np.arange(len(column.known), dtype=np.float32).tolist(),
            default_float=float(len(column.known)),
        )
        missing = constant("missing", TensorProto.FLOAT, [1], [float(len(column.known) + 1)])
        absent = add("IsNaN", [value], "absent", op_version=13)
        indices.append(add("Where", [absent, missing, known], "index", op_version=16))
    cells = []
    offset = 0
    for grouping, table in zip(groupings, tables, strict=True):
        cell = constant("offset", TensorProto.FLOAT, [1], [float(offset)])
        for column_place, stride in zip(grouping.columns, grouping.strides, strict=True):
            part = indices[column_place]
            if stride > 1:
                step = constant("stride", TensorProto.FLOAT, [1], [float(stride)])
                part = add("Mul", [part, step], "part", op_version=14)
            cell = add("Add", [part, cell], "cell", op_version=14)
        cells.append(cell)
        offset += len(table)
    together = add("Concat", cells, "cells", axis=1, op_version=13)
    whole = add("Cast", [together], "whole", to=TensorProto.INT64, op_version=13)
    flat = np.concatenate(tables)
    return add("Gather", [constant("table", TensorProto.FLOAT, [len(flat)], flat.tolist()), whole], "codes", axis=0)
