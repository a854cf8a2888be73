"""How well probabilities of default tell defaults from repaid loans: figures and curves, pure functions of arrays.

Everywhere `default` is (loans,) probabilities of default and `labels` (loans,) outcomes, 1 = default; both occur.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.records.findings import Curves, Metrics

BINS: Final = 10
"""Bins of the expected calibration error."""

CURVE_POINTS: Final = 200
"""Points of a drawn curve, about."""

WIDTHS: Final = 20
"""Bins of the distribution of probabilities, all 0.05 wide."""

GAINS: Final = 20
"""Steps of the gains curve."""

Probabilities = NDArray[np.floating]
Labels = NDArray[np.uint8]


def measure(default: Probabilities, labels: Labels, threshold: float) -> Metrics:
    """Measure probabilities of default; from `threshold` on, a loan is called a default."""
    from sklearn.metrics import (
        average_precision_score,
        brier_score_loss,
        log_loss,
        precision_recall_fscore_support,
        roc_auc_score,
        roc_curve,
    )

    exact = default.astype(np.float64)
    called = exact >= threshold
    precision, recall, f1, _ = precision_recall_fscore_support(labels, called, average="binary", zero_division=0.0)
    auc = float(roc_auc_score(labels, exact))
    false, true, _ = roc_curve(labels, exact)
    return Metrics(
        auc=auc,
        gini=2 * auc - 1,
        ks=float(np.max(true - false)),
        average_precision=float(average_precision_score(labels, exact)),
        accuracy=float((called == labels).mean()),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        log_loss=float(log_loss(labels, exact)),
        brier=float(brier_score_loss(labels, exact)),
        ece=calibration_error(exact, labels),
    )


def calibration_error(default: Probabilities, labels: Labels, bins: int = BINS) -> float:
    """Measure the expected calibration error: the mean over loans of |mean foretold - share seen| of their bin.

    Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning (AAAI 2015), with bins
    of like size instead of like width, because most loans have a low probability.
    """
    bin_of = assign_bins(default, bins)
    gaps = np.bincount(bin_of, weights=default.astype(np.float64) - labels)
    return float(np.abs(gaps).sum() / len(labels))


def assign_bins(default: Probabilities, bins: int = BINS) -> NDArray[np.intp]:
    """Give each loan its bin, 0 to `bins` - 1, by rank: (loans,) → (loans,).

    Bins are alike in size; loans of one probability stay together, in the bin where the first of them falls, so a bin
    may be empty.
    """
    ranks = np.searchsorted(np.sort(default), default, side="left")
    return np.asarray(ranks * bins // len(default), np.intp)


def draw_curves(default: Probabilities, labels: Labels) -> Curves:
    """Give the points of the curves that a model card draws."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    exact = default.astype(np.float64)
    false, true, _ = roc_curve(labels, exact)
    precision, recall, _ = precision_recall_curve(labels, exact)
    return Curves(
        roc=_thin(false, true),
        # scikit-learn goes from the lowest threshold up, a drawing from recall 0 to 1.
        precision_recall=_thin(recall[::-1], precision[::-1]),
        calibration=_calibration(exact, labels),
        distribution=_distribution(exact, labels),
        gains=_gains(exact, labels),
    )


def _thin(across: Probabilities, up: Probabilities) -> tuple[tuple[float, float], ...]:
    """Keep points that lie apart on the drawing, the first and the last always."""
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))])
    wanted = np.linspace(0, length[-1], CURVE_POINTS)
    # The last point of those on one spot, so that the curve's end is its end.
    kept = np.unique(np.append(np.searchsorted(length, wanted), len(length) - 1))
    return _points(across[kept], up[kept])


def _points(*columns: Sequence[float] | Probabilities) -> tuple[tuple[float, float], ...]:
    across, up = (np.round(np.asarray(column, np.float64), 6).tolist() for column in columns)
    return tuple(zip(across, up, strict=True))


def _calibration(exact: Probabilities, labels: Labels) -> tuple[tuple[float, float, int], ...]:
    bin_of = assign_bins(exact)
    loans = np.bincount(bin_of, minlength=BINS)
    foretold, seen = np.bincount(bin_of, exact, BINS), np.bincount(bin_of, labels, BINS)
    return tuple(
        (round(float(foretold[at] / loans[at]), 6), round(float(seen[at] / loans[at]), 6), int(loans[at]))
        for at in np.flatnonzero(loans)
    )


def _distribution(exact: Probabilities, labels: Labels) -> tuple[tuple[float, float, int, int], ...]:
    edges = np.linspace(0, 1, WIDTHS + 1)
    repaid, _ = np.histogram(exact[labels == 0], edges)
    defaulted, _ = np.histogram(exact[labels == 1], edges)
    lows, highs = np.round(edges[:-1], 6).tolist(), np.round(edges[1:], 6).tolist()
    return tuple(zip(lows, highs, repaid.tolist(), defaulted.tolist(), strict=True))


def _gains(exact: Probabilities, labels: Labels) -> tuple[tuple[float, float], ...]:
    """Count defaults among the riskiest; loans of one probability count in equal shares."""
    values, group = np.unique(-exact, return_inverse=True)
    loans, defaults = np.bincount(group, minlength=len(values)), np.bincount(group, labels, len(values))
    shares = np.linspace(0, 1, GAINS + 1)
    reached = np.interp(shares * len(labels), np.append(0, np.cumsum(loans)), np.append(0, np.cumsum(defaults)))
    return _points(shares, reached / labels.sum())
