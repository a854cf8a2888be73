"""Fitting one candidate: the one way that folds and the whole train side are fitted."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scoring.contract import Contract
from scoring.errors import LoansError, ProofError
from training.learning.candidates import CANDIDATES
from training.loans.labelled_loans import LabelledLoans

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
