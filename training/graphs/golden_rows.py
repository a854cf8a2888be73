"""Which rows a version is sealed with: built from held-out loans, none of which can be found again in them."""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from training.graphs.thresholds import NEIGHBOURS, build_threshold_rows

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from training.learning.learnt import LearntPipeline

MIXED: Final = 16
"""Rows put together from values of different loans."""

AROUND_THRESHOLDS: Final = 30
"""Rows a float32 step below, at and above thresholds, at most."""

Matrix = NDArray[np.float32]


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
