"""The export gate: a graph gives what scikit-learn gives, on held-out loans and on rows built to tell them apart."""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from scoring.errors import ProofError
from scoring.models.model import Graph
from training.graphs.thresholds import NEIGHBOURS, build_threshold_rows
from training.records.findings import Proof

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from training.learners.learnt import LearntPipeline

TOLERANCE: Final = 1e-5
"""Largest accepted difference in the probability of default."""

BASES: Final = 200
"""Held-out loans that each built change is tried on."""

EXTREMES: Final = (0.0, -0.0, 1e-38, 1.0, -1.0, 1e9, -1e9, 3e38, -3e38)
"""Numbers that are tried in every numeric column, besides the ends of its range in the contract."""

Matrix = NDArray[np.float32]


def prove_equal(
    pipeline: "Pipeline | LearntPipeline",
    graph: Graph,
    contract: Contract,
    features: Matrix,
    threshold: float | None = None,
) -> Proof:
    """Compare scikit-learn and graph on `features`, (loans, features), and on rows built from them.

    Raises ProofError when they differ anywhere by more than TOLERANCE, when either gives no probability, or when a row
    reaches `threshold`, the probability of default from which on a loan is called a default, in one and not in the
    other, however small the difference.
    """
    steps = build_threshold_rows(pipeline, contract, features)
    built = np.concatenate([build_rows(contract, features), steps])
    largest = _largest_difference(pipeline, graph, features, threshold, "held-out loans")
    largest_built = _largest_difference(pipeline, graph, built, threshold, "built rows")
    return Proof(len(features), len(built), len(steps) // NEIGHBOURS, largest, largest_built)


def _largest_difference(
    pipeline: "Pipeline | LearntPipeline", graph: Graph, features: Matrix, threshold: float | None, where: str
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
    if threshold is not None:
        flipped = (expected >= threshold) != (given >= threshold)
        if flipped.any():
            raise ProofError(
                f"The exported model decides otherwise than the trained one on {int(flipped.sum())} of "
                f"{len(features)} {where}: they lie on different sides of the threshold {threshold:g}.",
                "The candidate is not published. Take a threshold that lies between two probabilities, not on one.",
            )
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


MIXED: Final = 16
"""Rows put together from values of different loans."""

AROUND_THRESHOLDS: Final = 30
"""Rows a float32 step below, at and above thresholds, at most."""


def build_golden_rows(pipeline: "Pipeline | LearntPipeline", contract: Contract, features: Matrix) -> Matrix:
    """Build a few dozen rows that differ wherever nodes could: mixed values, gaps, unknown categories, thresholds.

    Each column of `features`, (loans, features), is shuffled by itself first, so that no row is an applicant's.
    """
    stream = np.random.default_rng(len(features))
    strangers = np.column_stack([stream.permutation(column) for column in features.T])[:2000]
    built = [strangers[:MIXED], np.full((1, features.shape[1]), np.nan, np.float32)]
    for position, column in enumerate(contract.features):
        gap = strangers[position % len(strangers)].copy()
        gap[position] = np.nan
        built.append(gap[None])
        if not column.is_numeric:
            unknown = strangers[position % len(strangers)].copy()
            unknown[position] = len(column.categories)
            built.append(unknown[None])
    steps = build_threshold_rows(pipeline, contract, strangers).reshape(-1, NEIGHBOURS, features.shape[1])
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(AROUND_THRESHOLDS // NEIGHBOURS, len(steps))).astype(np.intp))
    built.append(steps[chosen].reshape(-1, features.shape[1]))
    return np.ascontiguousarray(np.concatenate(built), np.float32)
