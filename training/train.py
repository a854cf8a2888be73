"""Node `train`: one candidate, fitted on the train side of the split, kept as a pickle for this run alone."""

import argparse
import hashlib
import pickle
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scoring.atomic import write_bytes
from scoring.contract import Contract
from scoring.errors import LoansError, ProofError
from training.candidates import CANDIDATES
from training.findings import Fitted
from training.labelled_loans import LabelledLoans, load_loans
from training.outcome import run_node
from training.packages import package_versions
from training.request import read_request
from training.threads import limit_threads

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def fit_candidate(candidate: str, contract: Contract, loans: LabelledLoans, seed: int) -> tuple["Pipeline", bool]:
    """Fit a candidate on float32 features; give the pipeline and whether fitting came to rest.

    Raises LoansError for a name that is not in CANDIDATES.
    """
    from sklearn.exceptions import ConvergenceWarning

    chosen = CANDIDATES.get(candidate)
    if chosen is None:
        raise LoansError(f"There is no candidate {candidate!r}.", f"Known candidates: {', '.join(CANDIDATES)}.")
    if loans.features.dtype != np.float32:
        raise ProofError(f"Features of type {loans.features.dtype} cannot be fitted on: the graph takes float32.")
    pipeline = chosen.build(contract, chosen.parameters, seed)
    # Warnings are not for stderr, where only a failure is told; bins that fall together are meant to.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(loans.features, loans.labels)
    return pipeline, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def train(options: argparse.Namespace) -> Fitted:
    """Do the node's work: the train side of the split in, a pickle out."""
    limit_threads(options.threads)
    request = read_request(options.request)
    loans = load_loans(options.loans)
    # Fitting time should not hold the first import of scikit-learn.
    import sklearn.pipeline  # noqa: F401

    began = time.perf_counter()
    pipeline, converged = fit_candidate(options.candidate, request.contract, loans, request.seed)
    seconds = time.perf_counter() - began
    content = pickle.dumps(pipeline)
    write_bytes(options.fitted, content)
    return Fitted(
        candidate=options.candidate,
        run_id=request.run_id,
        rows=len(loans),
        train_sha256=loans.digest(),
        fit_seconds=round(seconds, 3),
        converged=converged,
        parameters={name: f"{value:g}" for name, value in CANDIDATES[options.candidate].parameters.items()},
        pickle_sha256=hashlib.sha256(content).hexdigest(),
        packages=package_versions(),
    )


def load_fitted(path: Path, fitted: Fitted, run_id: str) -> "Pipeline":
    """Load the pickle that this very run wrote.

    A pickle can run anything when it is loaded: only bytes with the hash that `train` reported are. Raises ProofError
    for any other, or one of another run; OSError as the storage does.
    """
    content = path.read_bytes()
    if fitted.run_id != run_id or hashlib.sha256(content).hexdigest() != fitted.pickle_sha256:
        raise ProofError(
            f"The fitted candidate {path} is not the one that run {run_id} wrote; it is not opened.",
            "Start the training run again.",
        )
    pipeline: Pipeline = pickle.loads(content)  # noqa: S301 - the bytes are those that this run wrote, by hash
    return pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.train", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--candidate", required=True)
    parser.add_argument("--loans", type=Path, required=True)
    parser.add_argument("--fitted", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: train(options))


if __name__ == "__main__":
    sys.exit(main())
