"""Calibration curves and thresholds: rising, bounded, chosen on loans that were not fitted on, and steady."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_auc_score

from training.judging.metrics import calibration_error
from training.learners.calibration import (
    ISOTONIC,
    LEAST_SLOPE,
    MOST_SLOPE,
    NEAR,
    NONE,
    SIGMOID,
    TOLERATED,
    Calibration,
    choose_calibration,
    choose_threshold,
    fit_calibration,
)

Array = NDArray[np.float64]
Labels = NDArray[np.uint8]

NOISE = 4e-7
"""How far graph and scikit-learn were seen apart before calibration."""


@st.composite
def said_and_seen(draw: st.DrawFn) -> tuple[Array, Labels]:
    """Draw what models of all sorts say: smooth, of a few leaves, too sure, too shy, wrong way round, useless."""
    stream = np.random.default_rng(draw(st.integers(0, 2**32)))
    loans = draw(st.sampled_from([30, 500, 4_000]))
    truth = stream.beta(0.5, 2.5, loans)
    labels = (stream.random(loans) < truth).astype(np.uint8)
    labels[:2] = 0, 1
    power = draw(st.sampled_from([0.2, 0.7, 1.0, 3.0]))
    said = truth**power / (truth**power + (1 - truth) ** power)
    shape = draw(st.sampled_from(["smooth", "leaves", "pure", "steep", "backwards", "constant"]))
    if shape == "leaves":
        said = np.round(said, 1)
    if shape == "pure":
        said = np.where(said < 0.3, 0.0, np.where(said > 0.8, 1.0, said))
    if shape == "steep":
        said = 0.3 + said * 1e-3
    if shape == "backwards":
        said = 1 - said
    if shape == "constant":
        said = np.full(loans, 0.3)
    return said.astype(np.float32).astype(np.float64), labels


@settings(max_examples=60, deadline=None)
@given(said_and_seen(), st.sampled_from([NONE, SIGMOID, ISOTONIC]))
def test_a_curve_rises_everywhere_and_nowhere_too_steeply(sample: tuple[Array, Labels], kind: str) -> None:
    """Whatever it is fitted on, a curve keeps the ranking and turns the graph's noise into less than is accepted."""
    said, labels = sample
    curve = fit_calibration(kind, said, labels)
    grid = np.unique(np.concatenate([np.linspace(0, 1, 2001), said, *np.array(curve.knots or [(0, 1)]).T]))
    grid = grid[(grid >= 0) & (grid <= 1)]
    given_ = curve.apply(grid)
    assert 0 <= given_.min() <= given_.max() <= 1
    if curve.knots:
        across, up = np.array(curve.knots).T
        slopes = np.diff(up) / np.diff(across)
        assert slopes.min() >= LEAST_SLOPE / 2
        # Rounding to float32 may add a little; what counts is noise times slope.
        assert slopes.max() * NOISE < 5e-6
        assert slopes.max() <= MOST_SLOPE * 1.01
        assert (across[0], across[-1]) == (0, 1)
        assert np.array_equal(np.array(curve.knots), np.array(curve.knots, np.float32).astype(np.float64))
    # Numbers nearer to each other than float64 tells them apart behind the curve may come to share one.
    assert np.all(np.diff(given_) >= 0)
    assert np.all(np.diff(given_)[np.diff(grid) > 1e-9] > 0)
    assert np.abs(curve.apply(np.clip(grid + NOISE, 0, 1)) - given_).max() < 5e-6
    assert roc_auc_score(labels, curve.apply(said)) == pytest.approx(roc_auc_score(labels, said), abs=1e-4)


def _sample(power: float, loans: int = 20_000, seed: int = 0) -> tuple[Array, Labels]:
    """Make a model whose log-odds are off by a factor."""
    stream = np.random.default_rng(seed)
    truth = stream.beta(0.4, 2.4, loans)
    labels = (stream.random(loans) < truth).astype(np.uint8)
    return truth**power / (truth**power + (1 - truth) ** power), labels


def test_a_calibrated_model_is_left_alone() -> None:
    """Where nothing is wrong, a richer kind gains nothing beyond noise, and none is chosen: for 20 of 20 samples."""
    kinds = [choose_calibration(*_sample(1.0, 5_000, seed), seed).kind for seed in range(20)]
    assert kinds.count(NONE) >= 19


@pytest.mark.parametrize("power", [0.5, 1.7])
def test_wrong_log_odds_are_set_right(power: float) -> None:
    """A model that is too shy or too sure is calibrated: its error on other loans falls to noise."""
    curve = choose_calibration(*_sample(power), 0)
    assert curve.kind in (SIGMOID, ISOTONIC)
    said, labels = _sample(power, seed=1)
    before, after = calibration_error(said, labels), calibration_error(curve.apply(said), labels)
    print(f"{power}: {curve.kind}, {before:.4f} to {after:.4f}")
    assert after < min(0.012, before / 3)


def test_a_bent_model_takes_the_isotonic_curve() -> None:
    """What no sigmoid can straighten, an isotonic curve does."""
    stream = np.random.default_rng(3)
    said = stream.random(20_000)
    truth = np.interp(said, [0, 0.4, 0.6, 1], [0.02, 0.35, 0.4, 0.9])
    labels = (stream.random(20_000) < truth).astype(np.uint8)
    curve = choose_calibration(said, labels, 0)
    assert curve.kind == ISOTONIC
    assert np.abs(curve.apply(np.linspace(0.05, 0.95, 50)) - np.interp(np.linspace(0.05, 0.95, 50), [0, 0.4, 0.6, 1], [0.02, 0.35, 0.4, 0.9])).max() < 0.05  # fmt: skip # noqa: E501


def test_pure_leaves_are_not_believed() -> None:
    """A leaf that says 0 or 1 where a few loans prove it wrong is set to what is seen there."""
    stream = np.random.default_rng(3)
    said = np.repeat([0.0, 0.02, 0.5, 1.0], 3_000)
    labels = (stream.random(12_000) < np.repeat([0.03, 0.04, 0.5, 0.95], 3_000)).astype(np.uint8)
    curve = choose_calibration(said, labels, 0)
    assert curve.kind == ISOTONIC
    assert curve.apply(np.array([0.0, 1.0])) == pytest.approx([0.03, 0.95], abs=0.01)


def test_one_outcome_or_a_falling_curve_gives_none() -> None:
    """Where there is nothing to fit, probabilities stay as they are."""
    said = np.linspace(0.1, 0.9, 400)
    for labels in (np.zeros(400, np.uint8), np.ones(400, np.uint8)):
        assert fit_calibration(ISOTONIC, said, labels) == fit_calibration(SIGMOID, said, labels) == Calibration()
    assert fit_calibration(SIGMOID, said, (said < 0.5).astype(np.uint8)) == Calibration()


def test_the_seed_alone_decides() -> None:
    """The same probabilities and seed give the same curve."""
    assert choose_calibration(*_sample(2.0, 3_000), 4) == choose_calibration(*_sample(2.0, 3_000), 4)


@settings(max_examples=60, deadline=None)
@given(said_and_seen(), st.sampled_from([(0.0, 0.0), (5.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]))
def test_a_threshold_is_as_good_as_the_best(sample: tuple[Array, Labels], costs: tuple[float, float]) -> None:
    """No cut between two loans is better by more than is tolerated, and the threshold is a float32 number."""
    default, labels = sample[0][:500], sample[1][:500]
    bad, good = costs
    threshold = choose_threshold(default, labels, bad, good)
    assert threshold == float(np.float32(threshold))
    assert 0 < threshold <= 1

    def worth(cut: float) -> float:
        called = default >= cut
        if bad or good:
            return -float(bad * np.sum(labels[~called]) + good * np.sum(1 - labels[called]))
        return float(2 * labels[called].sum() / (called.sum() + labels.sum()))

    values = np.unique(default)
    middles = np.concatenate([(values[1:] + values[:-1]) / 2, [values[0] / 2, (values[-1] + 1) / 2]])
    # A cut that no float32 can make between two float32 numbers is none.
    cuts = [cut for cut in middles.astype(np.float32).astype(np.float64).tolist() if cut > 0 and cut not in default]
    slack = TOLERATED * min(bad * labels.sum(), good * (1 - labels).sum()) if bad or good else TOLERATED
    assert worth(threshold) >= max(map(worth, cuts), default=0) - slack - 1e-9


def test_a_threshold_lies_in_a_gap() -> None:
    """Among cuts as good as the best, the widest gap nearby is taken, midway, so that noise flips nobody."""
    stream = np.random.default_rng(0)
    default = np.sort(np.concatenate([stream.uniform(0, 0.395, 3_000), stream.uniform(0.405, 1, 3_000)]))
    labels = (stream.random(6_000) < np.where(default < 0.4, 0.05, 0.9)).astype(np.uint8)
    threshold = choose_threshold(default, labels, 0, 0)
    assert threshold == pytest.approx(0.4, abs=1e-3)
    assert np.array_equal(default + NOISE >= threshold, default - NOISE >= threshold)
    precision, recall, cuts = precision_recall_curve(labels, default)
    best = cuts[np.argmax(2 * precision * recall / (precision + recall))]
    assert abs(threshold - best) <= NEAR


def test_costs_move_the_threshold() -> None:
    """With calibrated probabilities, the threshold lies near cost of good / (cost of good + cost of bad)."""
    said, labels = _sample(1.0, 50_000)
    for bad, good in ((1.0, 1.0), (4.0, 1.0), (9.0, 1.0)):
        assert choose_threshold(said, labels, bad, good) == pytest.approx(good / (good + bad), abs=0.06)
