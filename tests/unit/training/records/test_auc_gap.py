"""The warning where the AUC out of fold and on the held-out loans differ by more than chance."""

import msgspec
import pytest

from tests.unit.training.made_findings import made_evaluation, made_fitted
from training.records.auc_gap import AucGap, describe_gaps, find_gap
from training.records.findings import Evaluation, Validation


def _measured(out_of_fold: float, held_out: float, *, error: float | None) -> tuple[Validation, Evaluation]:
    validation = made_fitted("tree", out_of_fold).validation
    return (
        msgspec.structs.replace(validation, auc_error=error),
        msgspec.structs.replace(made_evaluation("tree", held_out), auc_error=error),
    )


@pytest.mark.parametrize(
    ("difference", "significant"), [(0.0, False), (0.0361, False), (-0.0361, False), (0.0368, True), (-0.0368, True)]
)
def test_a_difference_counts_from_the_99_percent_interval_on(difference: float, *, significant: bool) -> None:
    """With errors of 0.01 on both sides the interval reaches 2.576 x 0.01414 = 0.0364 either way."""
    gap = find_gap(*_measured(0.8, 0.8 + difference, error=0.01))
    assert gap is not None
    assert gap.difference == pytest.approx(difference)
    assert (gap.high - gap.low) / 2 == pytest.approx(0.03643, abs=1e-5)
    assert gap.is_significant is significant


def test_without_errors_nothing_is_compared() -> None:
    """What a node of an older version left has no standard error: no interval, and no warning."""
    assert find_gap(*_measured(0.5, 0.9, error=None)) is None
    assert describe_gaps({"tree": None}) == ""


def test_only_significant_differences_are_described() -> None:
    """The text holds both figures and the interval of each candidate that is warned of, and of no other."""
    far, near = AucGap(0.488, 0.648, 0.1201, 0.1999), AucGap(0.701, 0.703, -0.01, 0.014)
    told = describe_gaps({"boosting": far, "tree": near})
    for part in ("boosting", "0.4880", "0.6480", "+0.1600", "99 %", "+0.1201", "+0.1999"):
        assert part in told
    assert "tree" not in told
    assert describe_gaps({"tree": near}) == ""
