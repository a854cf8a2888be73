"""The bootstrap: all draws at once give what a loop over drawn loans gives, and quickly."""

import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.training.foretold_loans import Sample, samples
from training.judging.bootstrap import DRAWS, _Sample, draw_loans, find_gain, find_intervals
from training.judging.metrics import assign_bins, measure
from training.records.findings import Metrics


@settings(max_examples=15, deadline=None)
@given(samples(), st.floats(0, 1), st.integers(0, 99))
def test_a_draw_is_measured_as_if_its_loans_were_written_out(sample: Sample, threshold: float, seed: int) -> None:
    """For every draw each figure is what `measure` says of the drawn loans, written out one by one."""
    default, labels = sample
    (counts,) = draw_loans(labels, 5, seed)
    found = _Sample(default, labels, threshold).measure(counts)
    for at, row in enumerate(counts.astype(int)):
        drawn = np.repeat(np.arange(len(labels)), row)
        expected = msgspec.structs.asdict(measure(default[drawn], labels[drawn], threshold))
        # Its bins are those of the whole sample.
        gaps = np.bincount(assign_bins(default)[drawn], default[drawn].astype(np.float64) - labels[drawn])
        expected["ece"] = np.abs(gaps).sum() / len(drawn)
        for name, value in expected.items():
            assert found[name][at] == pytest.approx(value, abs=1e-9), name


def test_a_draw_keeps_the_outcomes() -> None:
    """Each draw has as many loans of either outcome as the sample, however the draws are cut into blocks."""
    labels = np.array([1] * 30 + [0] * 170, np.uint8)
    drawn = np.concatenate(list(draw_loans(labels, 50, 3)))
    assert drawn.shape == (50, 200)
    assert np.all(drawn[:, :30].sum(axis=1) == 30)
    assert np.all(drawn[:, 30:].sum(axis=1) == 170)
    assert len(np.unique(drawn, axis=0)) == 50


def _loans(count: int, seed: int = 0) -> Sample:
    stream = np.random.default_rng(seed)
    labels = (stream.random(count) < 0.14).astype(np.uint8)
    odds = stream.normal(size=count) + 2.6 * labels - 2.5
    return (1 / (1 + np.exp(-odds))).astype(np.float32), labels


def test_intervals_hold_their_figures_and_do_not_change() -> None:
    """Each figure lies within its interval, which the seed decides alone, and which narrows with more loans."""
    default, labels = _loans(3_000)
    intervals = find_intervals(default, labels, 0.4, seed=5)
    for name, value in msgspec.structs.asdict(measure(default, labels, 0.4)).items():
        # Sampling only adds to a calibration error, which is never negative.
        assert intervals[name].low - (0.02 if name == "ece" else 0) <= value <= intervals[name].high, name
    assert find_intervals(default, labels, 0.4, seed=5) == intervals
    assert find_intervals(default, labels, 0.4, seed=6) != intervals
    assert [field.name for field in msgspec.structs.fields(Metrics)] == list(intervals)
    fewer = find_intervals(default[:500], labels[:500], 0.4, seed=5)
    assert fewer["auc"].high - fewer["auc"].low > 1.5 * (intervals["auc"].high - intervals["auc"].low)


def test_nine_thousand_loans_take_no_time() -> None:
    """All intervals of 9,400 loans take well under two seconds of one core."""
    default, labels = _loans(9_400)
    begun = time.process_time()
    find_intervals(default, labels, 0.4)
    find_gain(default, default**2, labels)
    seconds = time.process_time() - begun
    print(f"{DRAWS} draws of 9,400 loans: {seconds:.2f} s")
    assert seconds < 2


def test_the_gain_is_paired() -> None:
    """A model gains nothing on itself or on its own ranking; on a noisier one it gains, for sure."""
    default, labels = _loans(4_000)
    assert find_gain(default, default, labels) == find_gain(default, default**3, labels)
    assert find_gain(default, default, labels).high == 0
    stream = np.random.default_rng(1)
    noisier = default + stream.normal(scale=0.05, size=4_000).astype(np.float32)
    gain = find_gain(default, noisier, labels)
    alone = find_intervals(default, labels, 0.5)["auc"]
    assert 0 < gain.low < gain.high
    # What both share - the loans that were drawn - cancels out.
    assert gain.high - gain.low < alone.high - alone.low
    assert find_gain(noisier, default, labels).low == -gain.high
