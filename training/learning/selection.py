"""Which parameter set of a candidate is the best: a pure decision on what its folds showed."""

from collections.abc import Sequence

import numpy as np

from scoring.errors import ProofError
from training.records.findings import FoldFit, ParameterSet


def choose_set(fits: Sequence[Sequence[FoldFit]]) -> tuple[tuple[ParameterSet, ...], int]:
    """Sum up the folds of each parameter set, given in the order of the grid, and tell the position of the best.

    The highest mean AUC of the folds is best; the lower log loss, then the earlier place in the grid, decides between
    equals. Raises ProofError when the fits are not of the same train side.
    """
    if len({fit.train_sha256 for folds in fits for fit in folds}) != 1:
        raise ProofError("The fits of a candidate were not made on the same loans.", "Start the training run again.")
    tried = tuple(
        ParameterSet(
            parameters=folds[0].parameters,
            auc=float(np.mean([fit.auc for fit in folds])),
            auc_spread=float(np.std([fit.auc for fit in folds])),
            log_loss=float(np.mean([fit.log_loss for fit in folds])),
            fit_seconds=round(float(np.mean([fit.fit_seconds for fit in folds])), 3),
        )
        for folds in fits
    )
    best = min(range(len(tried)), key=lambda position: (-tried[position].auc, tried[position].log_loss, position))
    return tried, best
