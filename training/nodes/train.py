"""Node `train`: the best parameter set of a candidate by its folds, fitted on the whole train side of the split.

Calibration and threshold come from the out-of-fold probabilities of that set. What was learnt is kept as a pickle for
this run alone.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scoring.errors import ProofError
from training.history.equal_loans import predict_groups
from training.history.folds import SET_ASIDE, draw_folds, take_judged
from training.history.labelled_loans import load_loans
from training.learners.fitting import choose_set, fit_candidate
from training.learners.learnt import Learnt, write_learnt
from training.records.environment import limit_threads, package_versions
from training.records.findings import Fitted
from training.records.outcome import run_node
from training.records.request import read_request


def train(options: argparse.Namespace) -> Fitted:
    """Do the node's work: the train side of the split and the fits of all folds in, a pickle out."""
    limit_threads(options.threads)
    from training.judging.out_of_fold import choose, gather_predictions, read_fits

    request = read_request(options.request)
    loans = load_loans(options.loans)
    fits = read_fits(request, options.candidate)
    tried, best = choose_set(fits)
    drawn = draw_folds(loans.features, loans.labels, request.folds, request.seed)
    judged, folds = take_judged(loans, drawn)
    choice = choose(request, gather_predictions(request, fits[best], folds), judged, tried, best)
    train_sha256 = loans.digest()
    if fits[best][0].train_sha256 != train_sha256:
        raise ProofError("The fits were not made on this run's split.", "Start the training run again.")
    parameters = tried[best].parameters
    began = time.perf_counter()
    pipeline, converged = fit_candidate(options.candidate, request.contract, loans, request.seed, parameters)
    seconds = time.perf_counter() - began
    learnt = Learnt(members=(pipeline,), weights=(1.0,), calibration=choice.calibration)
    return Fitted(
        candidate=options.candidate,
        run_id=request.run_id,
        rows=len(loans),
        train_sha256=train_sha256,
        fit_seconds=round(seconds, 3),
        converged=converged,
        parameters={name: f"{value:g}" for name, value in parameters.items()},
        pickle_sha256=write_learnt(options.fitted, learnt),
        packages=package_versions(),
        validation=choice.validation,
        set_aside_pd=predict_groups(learnt.predict, loans.take(np.flatnonzero(drawn == SET_ASIDE)), request.seed),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; give the exit code."""
    parser = argparse.ArgumentParser(prog="training.nodes.train", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--candidate", required=True)
    parser.add_argument("--loans", type=Path, required=True)
    parser.add_argument("--fitted", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: train(options), (options.fitted,))


if __name__ == "__main__":
    sys.exit(main())
