"""Node `fit`: one parameter set of a candidate, fitted on all folds of the train side but one and measured on that one.

Its probabilities for the fold's loans stay: together with those of the other folds they tell what the parameter set
says of every loan that it was not fitted on.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.history.folds import draw_folds, leave_out
from training.history.labelled_loans import load_loans
from training.learners.fitting import fit_candidate
from training.records.environment import limit_threads
from training.records.findings import FoldFit
from training.records.outcome import run_node, write_predictions
from training.records.request import read_request


def fit(options: argparse.Namespace) -> FoldFit:
    """Do the node's work: the train side of the split in, the fold's probabilities out."""
    limit_threads(options.threads)
    request = read_request(options.request)
    parameters = request.parameter_sets[options.candidate][options.parameter_set]
    loans = load_loans(options.loans)
    drawn = draw_folds(loans.features, loans.labels, request.folds, request.seed)
    others, fold = leave_out(loans, drawn, options.fold)
    # Fitting time should not hold the first import of scikit-learn.
    from sklearn.metrics import log_loss, roc_auc_score

    began = time.perf_counter()
    pipeline, converged = fit_candidate(options.candidate, request.contract, others, request.seed, parameters)
    seconds = time.perf_counter() - began
    foretold = np.asarray(pipeline.predict_proba(fold.features)[:, 1], np.float64)
    content = write_predictions(options.predictions, foretold)
    return FoldFit(
        candidate=options.candidate,
        parameter_set=options.parameter_set,
        fold=options.fold,
        parameters=parameters,
        rows=len(fold),
        train_sha256=loans.digest(),
        auc=float(roc_auc_score(fold.labels, foretold)),
        log_loss=float(log_loss(fold.labels, foretold)),
        fit_seconds=round(seconds, 3),
        converged=converged,
        predictions_sha256=hashlib.sha256(content).hexdigest(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; give the exit code."""
    parser = argparse.ArgumentParser(prog="training.nodes.fit", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--candidate", required=True)
    parser.add_argument("--parameter-set", type=int, required=True, help="position among the candidate's, 0-based")
    parser.add_argument("--fold", type=int, required=True, help="0-based")
    parser.add_argument("--loans", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: fit(options), (options.predictions,))


if __name__ == "__main__":
    sys.exit(main())
