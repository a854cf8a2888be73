"""Node `train-blend`: the other candidates' probabilities, weighed by their out-of-fold ones, as one candidate.

Nothing is fitted here but weights, calibration and threshold: the members are what the other train nodes fitted.
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
from training.learners.blend import BLEND, find_weights
from training.learners.learnt import Learnt, load_fitted, write_learnt
from training.records.environment import limit_threads, package_versions
from training.records.findings import Fitted, ParameterSet
from training.records.outcome import read_details, run_node
from training.records.request import read_request
from training.records.run_folder import train_node


def train_blend(options: argparse.Namespace) -> Fitted:
    """Do the node's work: pickles and out-of-fold probabilities of the others in, a pickle out."""
    limit_threads(options.threads)
    from sklearn.metrics import log_loss, roc_auc_score

    from training.judging.out_of_fold import choose, gather_predictions, read_fits

    request = read_request(options.request)
    layout = request.layout
    names = [name for name in request.candidates if name != BLEND]
    fitted = {name: read_details(layout.outcome(train_node(name)), Fitted) for name in names}
    loans = load_loans(options.loans)
    train_sha256 = loans.digest()
    if any(one.train_sha256 != train_sha256 for one in fitted.values()):
        raise ProofError("The members of the blend were not fitted on the same loans.", "Start the training run again.")
    drawn = draw_folds(loans.features, loans.labels, request.folds, request.seed)
    judged, fold_of = take_judged(loans, drawn)
    chosen = [read_fits(request, name)[fitted[name].validation.chosen] for name in names]
    foretold = np.stack([gather_predictions(request, fits, fold_of) for fits in chosen])
    began = time.perf_counter()
    weights = find_weights(foretold, judged.labels)
    seconds = time.perf_counter() - began
    members = {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0}
    blended = weights @ foretold
    folds = [fold_of == fold for fold in range(request.folds)]
    aucs = [float(roc_auc_score(judged.labels[fold], blended[fold])) for fold in folds]
    tried = ParameterSet(
        parameters=members,
        auc=float(np.mean(aucs)),
        auc_spread=float(np.std(aucs)),
        log_loss=float(np.mean([log_loss(judged.labels[fold], blended[fold]) for fold in folds])),
        fit_seconds=round(seconds, 3),
    )
    choice = choose(request, blended, judged, (tried,), 0)
    learnt = Learnt(
        members=tuple(load_fitted(layout.fitted(name), fitted[name], request.run_id).members[0] for name in members),
        weights=tuple(members.values()),
        calibration=choice.calibration,
    )
    return Fitted(
        candidate=BLEND,
        run_id=request.run_id,
        rows=len(loans),
        train_sha256=train_sha256,
        fit_seconds=round(seconds, 3),
        converged=all(fitted[name].converged for name in members),
        parameters={
            f"{name}.{parameter}": text for name in members for parameter, text in fitted[name].parameters.items()
        },
        pickle_sha256=write_learnt(options.fitted, learnt),
        packages=package_versions(),
        validation=choice.validation,
        members=members,
        set_aside_pd=predict_groups(learnt.predict, loans.take(np.flatnonzero(drawn == SET_ASIDE)), request.seed),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; give the exit code."""
    parser = argparse.ArgumentParser(prog="training.nodes.train_blend", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--loans", type=Path, required=True)
    parser.add_argument("--fitted", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: train_blend(options), (options.fitted,))


if __name__ == "__main__":
    sys.exit(main())
