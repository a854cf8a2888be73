"""Which candidate is the best, and why: pure decisions on measured figures."""

from collections.abc import Sequence

import msgspec

from scoring.errors import LoansError, ProofError
from training.findings import Evaluation
from training.request import PromoteMode


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a version goes into production."""

    promote: bool
    """Whether it does."""
    why: str
    """The reason, in words."""


def choose_best(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Pick the candidate with the highest AUC; the lower log loss, then the name, decides between equals.

    Raises LoansError when there is none, ProofError when they were not measured on the very same loans.
    """
    if not evaluations:
        raise LoansError("No candidate was evaluated.")
    if len({evaluation.test_sha256 for evaluation in evaluations}) > 1:
        raise ProofError("The candidates were measured on different loans and cannot be compared.")
    return min(evaluations, key=lambda one: (-one.metrics.auc, one.metrics.log_loss, one.candidate))


def decide_promotion(best: Evaluation, mode: PromoteMode) -> Decision:
    """Decide whether the best candidate goes into production."""
    measured = f"{best.candidate} has the best AUC, {best.metrics.auc:.4f}, on {best.rows:,} held-out loans"
    if mode is PromoteMode.NEVER:
        return Decision(promote=False, why=f"{measured}; the run was asked not to promote")
    if mode is PromoteMode.FORCE:
        return Decision(promote=True, why=f"{measured}; the run was asked to promote whatever stands in production")
    return Decision(promote=True, why=measured)
