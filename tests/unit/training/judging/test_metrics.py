"""Figures of probabilities against outcomes: as scikit-learn has them, and as their definitions say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from tests.unit.training.foretold_loans import Sample, samples
from training.judging.metrics import BINS, assign_bins, calibration_error, draw_curves, measure


@settings(max_examples=25, deadline=None)
@given(samples(), st.floats(0, 1))
def test_figures_are_those_of_scikit_learn(sample: Sample, threshold: float) -> None:
    """Every figure that scikit-learn knows is the same, Gini is its formula, KS the largest gap of both curves."""
    default, labels = sample
    exact, called = default.astype(np.float64), default.astype(np.float64) >= threshold
    metrics = measure(default, labels, threshold)
    assert metrics.auc == pytest.approx(roc_auc_score(labels, exact))
    assert metrics.gini == pytest.approx(2 * metrics.auc - 1)
    assert metrics.average_precision == pytest.approx(average_precision_score(labels, exact))
    assert metrics.accuracy == pytest.approx(accuracy_score(labels, called))
    assert metrics.precision == pytest.approx(precision_score(labels, called, zero_division=0))
    assert metrics.recall == pytest.approx(recall_score(labels, called))
    assert metrics.f1 == pytest.approx(f1_score(labels, called, zero_division=0))
    assert metrics.log_loss == pytest.approx(log_loss(labels, exact))
    assert metrics.brier == pytest.approx(brier_score_loss(labels, exact))
    gaps = [np.mean(exact[labels == 1] >= cut) - np.mean(exact[labels == 0] >= cut) for cut in [*exact, 2.0]]
    assert metrics.ks == pytest.approx(max(gaps))


@settings(max_examples=25, deadline=None)
@given(samples())
def test_calibration_error_is_its_definition(sample: Sample) -> None:
    """Counted loan by loan, bin by bin, the expected calibration error is the same; perfect foresight has none."""
    default, labels = sample
    bins = assign_bins(default)
    expected = 0.0
    for at in set(bins.tolist()):
        inside = bins == at
        expected += inside.mean() * abs(default[inside].mean(dtype=np.float64) - labels[inside].mean())
    assert calibration_error(default, labels) == pytest.approx(expected)
    assert calibration_error(labels.astype(np.float32), labels) == 0


@settings(max_examples=25, deadline=None)
@given(samples())
def test_ties_share_a_bin(sample: Sample) -> None:
    """Loans of one probability lie in one bin, bins rise with it, and without ties they are alike in size."""
    default, _ = sample
    bins = assign_bins(default)
    order = np.argsort(default, kind="stable")
    assert np.all(np.diff(bins[order]) >= 0)
    assert 0 <= bins.min() <= bins.max() < BINS
    for value in np.unique(default):
        assert len(set(bins[default == value].tolist())) == 1
    if len(np.unique(default)) == len(default):
        sizes = np.bincount(bins, minlength=BINS)
        assert sizes.max() - sizes.min() <= 1


def test_calibration_error_agrees_with_scikit_learns_curve() -> None:
    """Without ties, the error is the mean distance of the quantile bins of scikit-learn's calibration curve."""
    stream = np.random.default_rng(4)
    default = stream.permutation(np.linspace(0.001, 0.999, 1000))
    labels = (stream.random(1000) < default**2).astype(np.uint8)
    seen, foretold = calibration_curve(labels, default, n_bins=BINS, strategy="quantile")
    assert calibration_error(default, labels) == pytest.approx(np.abs(seen - foretold).mean(), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(samples())
def test_curves_begin_and_end_where_they_must(sample: Sample) -> None:
    """Curves run from corner to corner, never fall back, and their bins hold every loan."""
    default, labels = sample
    curves = draw_curves(default, labels)
    assert (curves.roc[0], curves.roc[-1]) == ((0, 0), (1, 1))
    assert (curves.gains[0], curves.gains[-1]) == ((0, 0), (1, 1))
    assert len(curves.gains) == 21
    assert curves.precision_recall[0][0] == 0
    assert curves.precision_recall[-1][0] == 1
    for curve in (curves.roc, curves.gains):
        across, up = np.array(curve).T
        assert np.all(np.diff(across) >= 0)
        assert np.all(np.diff(up) >= 0)
    assert max(len(curves.roc), len(curves.precision_recall)) <= 202
    assert sum(loans for *_, loans in curves.calibration) == len(labels)
    assert sum(repaid + defaulted for *_, repaid, defaulted in curves.distribution) == len(labels)
    assert sum(defaulted for *_, defaulted in curves.distribution) == labels.sum()


def test_a_long_curve_is_thinned_without_losing_its_shape() -> None:
    """Of 20,000 loans, about 200 points are left, and the area under them is the AUC to the third digit."""
    stream = np.random.default_rng(1)
    labels = (stream.random(20_000) < 0.15).astype(np.uint8)
    default = 1 / (1 + np.exp(-(stream.normal(size=20_000) + 2.5 * labels - 2)))
    curves = draw_curves(default.astype(np.float32), labels)
    assert 100 < len(curves.roc) <= 202
    across, up = np.array(curves.roc).T
    assert np.trapezoid(up, across) == pytest.approx(roc_auc_score(labels, default), abs=1e-3)
