"""The difference between a candidate's AUC out of fold and on the held-out loans, and whether chance explains it.

The loans of the train side and the held-out ones are independent samples, so the variances of both AUCs add up.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from training.records.findings import Evaluation, Validation

CODE: Final = "auc_gap"
"""Names the warning for programs."""

CERTAINTY: Final = 99
"""Per cent of the interval: of 100 candidates without a fault, one is warned of."""

_ERRORS: Final = 2.5758
"""Standard errors on either side that make that interval."""

_MEANINGS: Final = {
    True: "Where the held-out loans were ranked better, the figures out of fold may be too low (the fits of the folds "
    "learn from fewer loans), or the held-out loans may be easier to rank.",
    False: "Where the held-out loans were ranked worse, the figures out of fold may be too good (the best of many "
    "parameter sets is partly luck), or the held-out loans may be harder to rank.",
}
"""What a difference may mean, by whether the held-out loans were ranked better."""


class AucGap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The AUC of one candidate on two sets of loans that it was not fitted on."""

    out_of_fold: float
    """On the train side, each loan predicted by the fit that left it out."""
    held_out: float
    """On the held-out loans."""
    low: float
    """Lower end of the 99 % interval of `held_out` - `out_of_fold`."""
    high: float
    """Upper end."""

    @property
    def difference(self) -> float:
        """The AUC on the held-out loans less that out of fold."""
        return self.held_out - self.out_of_fold

    @property
    def is_significant(self) -> bool:
        """Whether chance does not explain the difference: the interval does not hold 0."""
        return not self.low <= 0 <= self.high


def find_gap(validation: Validation, evaluation: Evaluation) -> AucGap | None:
    """Compare both AUCs of a candidate; None where a standard error is missing (a run that an older version began)."""
    if validation.auc_error is None or evaluation.auc_error is None:
        return None
    difference = evaluation.metrics.auc - validation.auc
    reach = _ERRORS * math.hypot(validation.auc_error, evaluation.auc_error)
    return AucGap(validation.auc, evaluation.metrics.auc, difference - reach, difference + reach)


def describe_gaps(gaps: Mapping[str, AucGap | None]) -> str:
    """Describe, for the candidates with a significant difference, what differs and what it may mean; empty for none."""
    found = {name: gap for name, gap in gaps.items() if gap is not None and gap.is_significant}
    if not found:
        return ""
    figures = "; ".join(
        f"{name} {gap.out_of_fold:.4f} out of fold, {gap.held_out:.4f} held out (difference {gap.difference:+.4f}, "
        f"{CERTAINTY} % interval {gap.low:+.4f} to {gap.high:+.4f})"
        for name, gap in found.items()
    )
    signs = {gap.difference > 0 for gap in found.values()}
    return (
        f"AUC differs by more than chance between loans predicted out of fold and held-out loans: {figures}. "
        f"{' '.join(_MEANINGS[sign] for sign in sorted(signs, reverse=True))} Candidate, parameters, calibration and "
        "threshold were chosen by the figures out of fold. To find the cause, look in the history for "
        "loans that appear more than once and for kinds of loans that are rare or all of one outcome, and retrain with "
        "another `seed` under [training] in the site file."
    )
