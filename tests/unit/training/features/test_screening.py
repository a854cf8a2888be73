"""Screening: what adds to what is known is found, what is noise or known already is not."""

import numpy as np

from training.features.groupings import draw_folds
from training.features.search import BINS, choose, cut, measure_gain, rank

COUNT = 4_000


def test_what_adds_is_chosen_and_noise_is_not() -> None:
    """Of a feature that tells defaults apart, one that does so already in what is known, and noise, the first stays."""
    stream = np.random.default_rng(5)
    news, known_before, noise = (stream.integers(0, 4, COUNT) for _ in range(3))
    chances = np.array([0.05, 0.1, 0.2, 0.4])
    labels = (stream.random(COUNT) < (chances[news] + chances[known_before]) / 2).astype(np.uint8)
    known = (chances.mean() + chances[known_before]) / 2
    folds = draw_folds(np.arange(COUNT, dtype=np.uint64), labels, 5, 0)
    groupings = {"news": news, "known": known_before, "noise": noise}
    gains = rank((name, measure_gain(groups, 4, labels, known, folds)) for name, groups in groupings.items())
    assert choose(gains, 3) == ["news"]
    assert choose(gains, 0) == []


def test_numbers_are_cut_into_like_parts() -> None:
    """Groups hold like numbers of loans, equal numbers stay together, and missing ones have a group of their own."""
    values = np.random.default_rng(1).normal(size=6_400).astype(np.float32)
    values[:64] = np.nan
    groups = cut(values)
    assert (groups[:64] == BINS).all()
    assert set(np.bincount(groups[64:], minlength=BINS)) <= set(range(95, 105))
    assert len(set(cut(np.ones(50, np.float32)).tolist())) == 1
    assert (cut(np.full(5, np.nan, np.float32)) == BINS).all()
