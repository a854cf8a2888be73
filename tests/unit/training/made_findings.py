"""Findings that are made up, for tests of decisions."""

import msgspec

from training.records.findings import (
    Comparison,
    Curves,
    Evaluation,
    Fitted,
    Interval,
    Metrics,
    ParameterSet,
    Proof,
    Segment,
    Validation,
)


def made_metrics(auc: float = 0.9, ece: float = 0.01) -> Metrics:
    """Make figures."""
    return Metrics(auc, 2 * auc - 1, 0.7, 0.6, 0.9, 0.8, 0.7, 0.75, 0.3, 0.05, ece)


def made_evaluation(
    candidate: str,
    auc: float = 0.9,
    *,
    ece: float = 0.01,
    speed: float = 100_000.0,
    test: str = "same",
    refused: str = "",
) -> Evaluation:
    """Make an evaluation with these figures."""
    return Evaluation(
        candidate=candidate,
        rows=9_400,
        test_sha256=test,
        threshold=0.4,
        metrics=made_metrics(auc, ece),
        intervals={},
        segments=(),
        curves=Curves((), (), (), (), ()),
        importance=(),
        rows_per_second=speed,
        proof=None if refused else Proof(100, 10, 1, 0.0, 0.0),
        graph_sha256="",
        golden_sha256="",
        refused=refused,
    )


def made_fitted(candidate: str, auc: float = 0.9, log_loss: float = 0.3) -> Fitted:
    """Make a fit whose out-of-fold figures are these."""
    tried = (ParameterSet({}, auc, 0.0, log_loss, 1.0),)
    validation = Validation(auc, log_loss, 0.01, 0.75, 0.4, "none", tried, 0)
    return Fitted(candidate, "run", 37_500, "train", 1.0, True, {}, "00", {}, validation)  # noqa: FBT003


def made_comparison(gain: float, low: float, high: float, *, fresh: bool = True) -> Comparison:
    """Make a comparison with a champion of AUC 0.9."""
    return Comparison("v-champion", made_metrics(0.9), gain, Interval(low, high), fresh)


def made_segment(column: str, group: str, ratio: float, *, rows: int = 500, monitor: bool = True) -> Segment:
    """Make a group that is approved at this ratio to the best one."""
    return Segment(column, monitor, group, rows, 50, 0.1, 0.9 * ratio, ratio, 0.1, 0.9)


def with_validation(fitted: Fitted, **changed: float) -> Fitted:
    """Change what a fit showed out of its folds."""
    return msgspec.structs.replace(fitted, validation=msgspec.structs.replace(fitted.validation, **changed))
