"""The export gate: a graph gives what scikit-learn gives, on held-out loans and on rows built to tell them apart."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from scoring.errors import ProofError
from scoring.model import Graph
from training.candidates import feature_positions
from training.findings import Proof
from training.learnt import LearntPipeline

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TOLERANCE: Final = 1e-5
"""Largest accepted difference in the probability of default."""

BASES: Final = 200
"""Held-out loans that each built change is tried on."""

EXTREMES: Final = (0.0, -0.0, 1e-38, 1.0, -1.0, 1e9, -1e9, 3e38, -3e38)
"""Numbers that are tried in every numeric column, besides the ends of its range in the contract."""

NEIGHBOURS: Final = 3
"""Numbers tried around each threshold: itself, and one float32 step either side."""

Matrix = NDArray[np.float32]


def prove_equal(
    pipeline: "Pipeline | LearntPipeline",
    graph: Graph,
    contract: Contract,
    features: Matrix,
    threshold: float | None = None,
) -> Proof:
    """Compare scikit-learn and graph on `features`, (loans, features), and on rows built from them.

    Raises ProofError when they differ anywhere by more than TOLERANCE, when either gives no probability, or when a
    held-out loan is called a default (from `threshold` on) by one of them alone.
    """
    steps = build_threshold_rows(pipeline, contract, features)
    built = np.concatenate([build_rows(contract, features), steps])
    largest = _largest_difference(pipeline, graph, features, "held-out loans", threshold)
    largest_built = _largest_difference(pipeline, graph, built, "built rows")
    return Proof(len(features), len(built), len(steps) // NEIGHBOURS, largest, largest_built)


def _largest_difference(
    pipeline: "Pipeline | LearntPipeline",
    graph: Graph,
    features: Matrix,
    where: str,
    threshold: float | None = None,
) -> float:
    if not len(features):
        return 0.0
    # scikit-learn adds the numbers up to see whether all are finite, which extremes overflow.
    with np.errstate(all="ignore"):
        expected = np.asarray(pipeline.predict_proba(features)[:, 1], np.float64)
    given = graph.predict(np.ascontiguousarray(features)).astype(np.float64)
    difference = np.abs(expected - given)
    # A NaN is no agreement, whatever it is compared with.
    apart = ~(difference <= TOLERANCE)
    if apart.any():
        raise ProofError(
            f"The exported model differs from the trained one on {int(apart.sum())} of {len(features)} {where} "
            f"(by up to {np.nanmax(difference, initial=0):.2g}, accepted {TOLERANCE:g}).",
            "The candidate is not published. Check the versions of scikit-learn, skl2onnx and onnxruntime.",
        )
    flipped = 0 if threshold is None else np.count_nonzero((expected >= threshold) != (given >= threshold))
    if flipped:
        raise ProofError(f"The exported model decides otherwise than the trained one on {flipped} {where}.")
    return float(difference.max())


def build_rows(contract: Contract, features: Matrix) -> Matrix:
    """Build rows that real loans do not hold: gaps, unknown categories, extremes, alone and together."""
    bases = features[np.linspace(0, len(features) - 1, min(BASES, len(features))).astype(np.intp)]
    built = [bases, np.full((1, features.shape[1]), np.nan, np.float32)]
    for position, column in enumerate(contract.features):
        if column.is_numeric:
            ends = [end for end in (column.minimum, column.maximum) if end is not None]
            values = [np.nan, *EXTREMES, *ends]
        else:
            values = [np.nan, *range(len(column.categories) + 1)]
        for value in values:
            changed = bases.copy()
            changed[:, position] = value
            built.append(changed)
            alone = np.full((1, features.shape[1]), np.nan, np.float32)
            alone[:, position] = value
            built.append(alone)
    everywhere = np.repeat(np.array(EXTREMES, np.float32)[:, None], features.shape[1], axis=1)
    for position, column in enumerate(contract.features):
        if not column.is_numeric:  # a code is a whole number, always
            everywhere[:, position] = len(column.categories)
    return np.concatenate([*built, everywhere])


def build_threshold_rows(pipeline: "Pipeline | LearntPipeline", contract: Contract, features: Matrix) -> Matrix:
    """Build, for each threshold of the pipeline, loans that reach it with the float32 numbers just around it."""
    built = []
    for position, threshold, base in find_thresholds(pipeline, contract, features):
        # The neighbours are those of the float32 that the threshold rounds to, on whichever side it came to lie.
        middle = np.float32(threshold)
        for value in (np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))):
            row = features[base].copy()
            row[position] = value
            built.append(row)
    return np.array(built, np.float32).reshape(-1, features.shape[1])


def find_thresholds(
    pipeline: "Pipeline | LearntPipeline", contract: Contract, features: Matrix
) -> Iterator[tuple[int, float, int]]:
    """Give (position of the feature, threshold, position of a loan that reaches it) for every numeric threshold."""
    if isinstance(pipeline, LearntPipeline):
        for member in pipeline.members:
            yield from find_thresholds(member, contract, features)
        return
    numeric, _ = feature_positions(contract)
    if not numeric:
        return
    encode, model = pipeline.named_steps["encode"], pipeline.named_steps["model"]
    numbers = encode.named_transformers_["numbers"]
    steps = getattr(numbers, "named_steps", {}).get("encode")
    if steps is not None:
        for at, (column, step) in enumerate(zip(steps.columns_, steps.steps_, strict=True)):
            yield numeric[column], float(step), at % len(features)
        return
    sample = np.asarray(encode.transform(features), np.float32)
    for tree in _trees(model):
        reached = tree.decision_path(sample).tocsc()
        for node in range(tree.tree_.node_count):
            column, first = tree.tree_.feature[node], reached.indptr[node]
            # The encoded matrix begins with the numbers, in the contract's order.
            if 0 <= column < len(numeric) and first < reached.indptr[node + 1]:
                yield numeric[column], float(tree.tree_.threshold[node]), int(reached.indices[first])


def _trees(model: Any) -> list[Any]:
    """Give the scikit-learn trees inside an estimator."""
    if hasattr(model, "tree_"):
        return [model]
    return [tree for tree in np.ravel(getattr(model, "estimators_", [])) if hasattr(tree, "tree_")]
