"""Fitting one candidate: the one way that folds and the whole train side are fitted."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scoring.contract import Contract
from scoring.errors import LoansError, ProofError
from training.history.labelled_loans import LabelledLoans
from training.learners.candidates import CANDIDATES
from training.records.findings import FoldFit, ParameterSet

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def fit_candidate(
    candidate: str,
    contract: Contract,
    loans: LabelledLoans,
    seed: int,
    parameters: Mapping[str, float] | None = None,
) -> tuple["Pipeline", bool]:
    """Fit a candidate on float32 features; give the pipeline and whether fitting came to rest.

    Without `parameters` it takes its defaults. Raises LoansError for a name that is not in CANDIDATES.
    """
    from sklearn.exceptions import ConvergenceWarning

    chosen = CANDIDATES.get(candidate)
    if chosen is None:
        raise LoansError(f"There is no candidate {candidate!r}.", f"Known candidates: {', '.join(CANDIDATES)}.")
    if loans.features.dtype != np.float32:
        raise ProofError(f"Features of type {loans.features.dtype} cannot be fitted on: the graph takes float32.")
    pipeline = chosen.build(contract, chosen.parameters if parameters is None else parameters, seed)
    # Warnings are not for stderr, where only a failure is told; bins that fall together are meant to.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(loans.features, loans.labels)
    return pipeline, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


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
