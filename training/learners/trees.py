"""Fitted trees of any estimator as plain arrays, with float32 thresholds; and many of them as one ONNX operator.

scikit-learn keeps a threshold as float64, most often halfway between two float32 numbers. A float32 number lies at or
below it exactly when it lies at or below the largest float32 that is not above it: with that one, scikit-learn and a
graph send every loan the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.features.open_graph import LEARNING_DOMAIN, OpenGraph

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Tree:
    """One tree; every array is (nodes,), parents before their children, node 0 the root."""

    feature: NDArray[np.intp]
    """Column that a node asks for; -1 at a leaf."""
    threshold: NDArray[np.float32]
    """A number up to this one goes left."""
    left: NDArray[np.intp]
    """Node on the left."""
    right: NDArray[np.intp]
    """Node on the right."""
    missing_left: NDArray[np.bool_]
    """Whether a missing number goes left."""
    value: NDArray[np.float64]
    """What a leaf adds."""

    def reach(self, matrix: Matrix) -> NDArray[np.bool_]:
        """Tell which nodes each row of (rows, columns) passes: (nodes, rows)."""
        passed = np.zeros((len(self.feature), len(matrix)), bool)
        passed[0] = True
        for node in np.flatnonzero(self.feature >= 0):
            values = matrix[:, self.feature[node]]
            left = np.where(np.isnan(values), self.missing_left[node], values <= self.threshold[node])
            passed[self.left[node]] = passed[node] & left
            passed[self.right[node]] = passed[node] & ~left
        return passed


def round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give the largest finite float32 not above each threshold; the lowest one where none is."""
    limit = np.finfo(np.float32).max
    rounded = np.clip(thresholds, -limit, limit).astype(np.float32)
    with np.errstate(over="ignore"):  # what lies below the lowest float32 is not taken
        below = np.nextafter(rounded, np.float32(-np.inf))
    return np.asarray(np.where((rounded > thresholds) & (rounded > -limit), below, rounded), np.float32)


def exact_unit(bound: float) -> float:
    """Give the power of two of which leaves must be whole multiples so that float32 adds them without rounding.

    `bound` is the most that a sum of them can be, either way: it is less than 2^24 units. Then the sum is the same in
    whatever order, and however many threads, the trees are added.
    """
    return float(2.0 ** np.ceil(np.log2(max(bound, 1e-30) / 2**23)))


def read_trees(model: Any) -> Iterator[Tree]:
    """Give the trees of a scikit-learn tree, forest or histogram gradient boosting of two outcomes, in their order.

    A leaf's value is the share of defaults in it, or, in boosting, a step in log-odds.
    """
    if hasattr(model, "_predictors"):
        for (predictor,) in model._predictors:  # noqa: SLF001 - scikit-learn shows its nodes nowhere else
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            yield Tree(
                np.where(leaf, -1, nodes["feature_idx"]).astype(np.intp),
                round_down(nodes["num_threshold"]),
                nodes["left"].astype(np.intp),
                nodes["right"].astype(np.intp),
                nodes["missing_go_to_left"].astype(bool),
                nodes["value"].copy(),
            )
        return
    for one in [model] if hasattr(model, "tree_") else np.ravel(getattr(model, "estimators_", [])):
        tree = one.tree_
        leaf = tree.children_left < 0
        yield Tree(
            np.where(leaf, -1, tree.feature).astype(np.intp),
            round_down(tree.threshold),
            tree.children_left.astype(np.intp),
            tree.children_right.astype(np.intp),
            tree.missing_go_to_left.astype(bool),
            tree.value[:, 0, 1].copy(),
        )


def convert_trees(graph: OpenGraph, matrix: str, trees: Sequence[Tree], base: float) -> str:
    """Add `base` + the sum of the trees; give the name of (rows, 1) float32."""
    sizes = [len(tree.feature) for tree in trees]
    feature = np.concatenate([tree.feature for tree in trees])
    leaf = feature < 0
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    values = (np.concatenate([tree.value for tree in trees])[leaf]).astype(np.float32)

    def side(name: str) -> list[int]:
        nodes = np.concatenate([getattr(tree, name) for tree in trees])
        return list(np.where(leaf, 0, nodes).tolist())

    return graph.add(
        "TreeEnsembleRegressor",
        matrix,
        version=3,
        domain=LEARNING_DOMAIN,
        n_targets=1,
        base_values=[base],
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_featureids=np.where(leaf, 0, feature).tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_values=np.where(leaf, 0, np.concatenate([tree.threshold for tree in trees])).tolist(),
        nodes_truenodeids=side("left"),
        nodes_falsenodeids=side("right"),
        nodes_missing_value_tracks_true=np.where(
            leaf, 0, np.concatenate([tree.missing_left for tree in trees]).astype(int)
        ).tolist(),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=values.tolist(),
    )
