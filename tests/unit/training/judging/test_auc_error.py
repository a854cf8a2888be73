"""The standard error of an AUC: DeLong's where all loans differ, a larger one where equal loans are drawn together."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.unit.training.foretold_loans import Sample, samples
from training.judging.auc_error import find_auc_error
from training.judging.metrics import measure


def _placements(default: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, pair by pair, how often each default ranks above a repaid loan, and each repaid loan below a default."""
    bad, good = default[labels == 1], default[labels == 0]
    above = (bad[:, None] > good) + 0.5 * (bad[:, None] == good)
    return above.mean(axis=1), above.mean(axis=0)


@settings(max_examples=60, deadline=None)
@given(samples())
def test_it_is_delongs_where_no_loans_are_equal(sample: Sample) -> None:
    """With a group for each loan, the error is the one that DeLong's placements give, ties included."""
    default, labels = sample
    of_defaults, of_repaid = _placements(default, labels)
    spread = sum(np.sum((values - values.mean()) ** 2) / len(values) ** 2 for values in (of_defaults, of_repaid))
    loans = len(labels)
    expected = np.sqrt(spread * loans / (loans - 1))
    assert find_auc_error(default, labels, np.arange(loans, dtype=np.uint64)) == pytest.approx(expected, abs=1e-9)


def test_it_is_how_far_the_auc_moves_when_groups_are_drawn() -> None:
    """Over many histories in which groups of equal loans differ in default rate, the AUC spreads as the error says."""
    aucs, errors, alone = [], [], []
    for seed in range(400):
        stream = np.random.default_rng(seed)
        kinds = np.repeat(np.arange(80), stream.integers(1, 12, 80))
        risk, luck = stream.random((2, 80))
        labels = (stream.random(len(kinds)) < (0.4 * risk + 0.6 * luck)[kinds]).astype(np.uint8)
        risk = risk[kinds]
        aucs.append(measure(risk, labels, 0.5).auc)
        errors.append(find_auc_error(risk, labels, kinds.astype(np.uint64)))
        alone.append(find_auc_error(risk, labels, np.arange(len(kinds), dtype=np.uint64)))
    assert np.mean(errors) == pytest.approx(np.std(aucs), rel=0.1)
    assert np.mean(errors) > 1.1 * np.mean(alone)
