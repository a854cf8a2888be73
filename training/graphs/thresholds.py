"""Where a fitted pipeline changes its mind: the numbers at which a loan takes another way, and loans that meet them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from training.learners.candidates import feature_positions

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from training.features.ratios import Ratio
    from training.learners.learnt import LearntPipeline
    from training.learners.trees import Tree

NEIGHBOURS: Final = 3
"""Numbers tried around each threshold: itself, and one float32 step either side."""

MOST_THRESHOLDS: Final = 3_000
"""Thresholds of trees that are tried, spread evenly over all nodes; a single tree has fewer."""

MOST_KNOWN: Final = 1_000
"""Known values of a near-discrete column that are tried, spread evenly."""

LOOKS: Final = 20_000_000
"""Loans times nodes that are looked at to find loans which reach the nodes."""

LARGEST: Final = np.finfo(np.float32).max
"""The reader refuses what is larger."""

Matrix = NDArray[np.float32]
Threshold = tuple[int, float, int]
"""Position of the feature, number, position of the loan to change."""


def build_threshold_rows(pipeline: "Pipeline | LearntPipeline", contract: Contract, features: Matrix) -> Matrix:
    """Build loans at each threshold of `find_thresholds`: (3 x thresholds, features), a float32 step below, at, above.

    The neighbours are those of the float32 that a threshold rounds to, on whichever side it came to lie.
    """
    found = list(find_thresholds(pipeline, contract, features))
    positions = np.array([position for position, _, _ in found], np.intp)
    middle = np.array([number for _, number, _ in found], np.float32)
    bases = np.array([base for _, _, base in found], np.intp)
    rows = np.repeat(features[bases], NEIGHBOURS, axis=0)
    with np.errstate(over="ignore"):
        around = [np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))]
    rows[np.arange(len(rows)), np.repeat(positions, NEIGHBOURS)] = np.clip(
        np.column_stack(around), -LARGEST, LARGEST
    ).ravel()
    return rows


def find_thresholds(pipeline: "Pipeline | LearntPipeline", contract: Contract, features: Matrix) -> Iterator[Threshold]:
    """Give every number at which something changes, with a loan of `features`, (loans, features), to try it on.

    - A threshold on a number: with a loan that reaches its node.
    - A threshold on a ratio: the numerator that takes such a loan's ratio there.
    - An edge between the parts of a number, as a network sees it: with any loan.
    - A threshold on a target code cannot be reached by degrees; the known values of its column are given instead, for
      next to each of them lies an unknown one.

    Of trees, MOST_THRESHOLDS nodes are tried, and of a column MOST_KNOWN values: spread evenly, the same each time.
    """
    from training.learners.coded_trees import CodedTrees
    from training.learners.learnt import LearntPipeline
    from training.learners.network import ValueNetwork

    if not len(features):
        return
    if isinstance(pipeline, LearntPipeline):
        for member in pipeline.members:
            yield from find_thresholds(member, contract, features)
        return
    model = pipeline.named_steps["model"]
    if isinstance(model, CodedTrees):
        yield from _coded(model, contract, features)
        return
    if isinstance(model, ValueNetwork):
        yield from _placed(model, contract, features)
        return
    numeric, _ = feature_positions(contract)
    if not numeric:
        return
    encode = pipeline.named_steps["encode"]
    steps = getattr(encode.named_transformers_["numbers"], "named_steps", {}).get("encode")
    if steps is not None:
        for at, (column, step) in enumerate(zip(steps.columns_, steps.steps_, strict=True)):
            yield numeric[column], float(step), at % len(features)
        return
    # The encoded matrix begins with the numbers, in the contract's order.
    with np.errstate(all="ignore"):  # scikit-learn adds up extremes
        encoded = np.asarray(encode.transform(features), np.float32)
    for column, number, base in _nodes(model, encoded):
        if column < len(numeric):
            yield numeric[column], number, base


def _placed(model: Any, contract: Contract, features: Matrix) -> Iterator[Threshold]:
    for places in model.places_:
        if places.column < features.shape[1]:
            if contract.features[places.column].is_numeric:
                for numbers in (places.edges, places.known[_spread(len(places.known), MOST_KNOWN)]):
                    for at, number in enumerate(numbers):
                        yield places.column, float(number), at % len(features)
            continue
        ratio = model.ratios_[places.column - features.shape[1]]
        for at, edge in enumerate(places.edges):
            yield from _on_ratio(ratio, float(edge), features, at % len(features))


def _on_ratio(ratio: "Ratio", number: float, features: Matrix, base: int) -> Iterator[Threshold]:
    """Give the numerator that takes a loan's ratio to a number, if there is one."""
    factor = 1.0 if ratio.b is None else float(features[base, ratio.b])
    divisor = 1.0 if ratio.c is None else float(features[base, ratio.c])
    numerator = number * divisor / factor if factor else np.nan
    if abs(numerator) < LARGEST:
        yield ratio.a, numerator, base


def _coded(model: Any, contract: Contract, features: Matrix) -> Iterator[Threshold]:
    width = features.shape[1]
    for column, number, base in _nodes(model.model_, model.encode(features)):
        if column < width:
            if contract.features[column].is_numeric:
                yield column, number, base
        elif column < width + len(model.ratios_):
            yield from _on_ratio(model.ratios_[column - width], number, features, base)
    for grouping in model.columns_:
        if contract.features[grouping.position].is_numeric:
            for place in _spread(len(grouping.known), MOST_KNOWN):
                yield grouping.position, float(grouping.known[place]), int(place) % len(features)


def _nodes(model: Any, matrix: Matrix) -> Iterator[Threshold]:
    """Give (column, threshold, position of a row that reaches it) for nodes spread over all trees of a model."""
    from training.learners.trees import read_trees

    trees = list(read_trees(model))
    inner = sum(int((tree.feature >= 0).sum()) for tree in trees)
    chosen = np.zeros(inner, bool)
    chosen[_spread(inner, MOST_THRESHOLDS)] = True
    rows = _spread(len(matrix), max(100, LOOKS // max(1, 2 * inner)))
    first = 0
    for tree in trees:
        nodes = np.flatnonzero(tree.feature >= 0)
        wanted = nodes[chosen[first : first + len(nodes)]]
        first += len(nodes)
        if len(wanted):
            yield from _reached(tree, wanted, matrix, rows)


def _reached(tree: "Tree", nodes: NDArray[np.intp], matrix: Matrix, rows: NDArray[np.intp]) -> Iterator[Threshold]:
    passed = tree.reach(matrix[rows])
    for node in nodes:
        if passed[node].any():
            yield int(tree.feature[node]), float(tree.threshold[node]), int(rows[np.argmax(passed[node])])


def _spread(count: int, most: int) -> NDArray[np.intp]:
    """Give at most `most` of `count` positions, evenly spread, ascending."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp)) if count else np.empty(0, np.intp)
