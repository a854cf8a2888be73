"""What a candidate foretells for the loans of the train side, each by the fit that left it out; and what that shows.

All choices before the held-out loans are seen - parameters, calibration, threshold, weights of a blend - are made here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.errors import ProofError
from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans
from training.judging.auc_error import find_auc_error
from training.judging.metrics import measure
from training.learners.calibration import Calibration, choose_calibration, choose_threshold
from training.records.findings import Evaluation, Fitted, FoldFit, ParameterSet, ShardCounts, SplitFigures, Validation
from training.records.outcome import read_details, read_predictions
from training.records.request import RunRequest
from training.records.run_folder import SPLIT, evaluate_node, fit_node, preprocess_node, train_node


@dataclass(frozen=True)
class Choice:
    """How out-of-fold probabilities become probabilities of default and calls."""

    calibration: Calibration
    """The curve that was chosen."""
    validation: Validation
    """What it shows."""


def read_fits(request: RunRequest, candidate: str) -> list[list[FoldFit]]:
    """Read how the fits of a candidate went, by parameter set and fold. Raises LoansError when one is not done."""
    return [
        [
            read_details(request.layout.outcome(fit_node(candidate, parameter_set, fold)), FoldFit)
            for fold in range(request.folds)
        ]
        for parameter_set in range(len(request.parameter_sets[candidate]))
    ]


def gather_predictions(request: RunRequest, fits: Sequence[FoldFit], drawn: NDArray[np.intp]) -> NDArray[np.float64]:
    """Put the folds of one parameter set together: probabilities in the order of the train side, (loans,).

    `drawn` is the fold of each loan. Raises ProofError when a fold's probabilities are not those that its fit wrote.
    """
    foretold = np.full(len(drawn), np.nan)
    for fit in fits:
        path = request.layout.predictions(fit.candidate, fit.parameter_set, fit.fold)
        foretold[drawn == fit.fold] = read_predictions(path, fit)
    return foretold


def choose(
    request: RunRequest,
    foretold: NDArray[np.float64],
    loans: LabelledLoans,
    tried: tuple[ParameterSet, ...],
    chosen: int,
) -> Choice:
    """Choose calibration and threshold by out-of-fold probabilities, (loans,), and measure them on these."""
    calibration = choose_calibration(foretold, loans.labels, request.seed)
    default = calibration.apply(foretold)
    threshold = choose_threshold(
        default, loans.labels, cost_of_bad=request.cost_of_bad, cost_of_lost_good=request.cost_of_lost_good
    )
    shown = measure(default, loans.labels, threshold)
    validation = Validation(
        auc=shown.auc,
        log_loss=shown.log_loss,
        ece=shown.ece,
        f1=shown.f1,
        threshold=threshold,
        calibration=calibration.kind,
        tried=tried,
        chosen=chosen,
        auc_error=find_auc_error(default, loans.labels, hash_loans(loans.features, 0)),
    )
    return Choice(calibration, validation)


@dataclass(frozen=True)
class Gathered:
    """What the nodes before found out."""

    shards: tuple[ShardCounts, ...]
    """Of each shard, in order."""
    split: SplitFigures
    """Of the split."""
    fitted: dict[str, Fitted]
    """By candidate."""
    evaluations: dict[str, Evaluation]
    """By candidate."""

    @property
    def rejected(self) -> dict[str, int]:
        """Rows of the whole history that broke the contract, by rule."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.rejected)
        return dict(sorted(total.items()))


def gather(request: RunRequest) -> Gathered:
    """Read what the nodes before found out.

    Raises LoansError when one of them is not done, ProofError when they did not all work on the same split.
    """
    outcome = request.layout.outcome
    gathered = Gathered(
        shards=tuple(read_details(outcome(preprocess_node(shard.number)), ShardCounts) for shard in request.shards),
        split=read_details(outcome(SPLIT), SplitFigures),
        fitted={name: read_details(outcome(train_node(name)), Fitted) for name in request.candidates},
        evaluations={name: read_details(outcome(evaluate_node(name)), Evaluation) for name in request.candidates},
    )
    foreign = [
        name
        for name in request.candidates
        if gathered.fitted[name].train_sha256 != gathered.split.train.sha256
        or gathered.evaluations[name].test_sha256 != gathered.split.test.sha256
    ]
    if foreign:
        raise ProofError(f"Not trained or not measured on this run's split: {', '.join(foreign)}.")
    return gathered
