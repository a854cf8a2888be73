"""Permutation importance: what the model leans on loses AUC when it is shuffled, what it ignores does not."""

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Column, Contract, Role, Type
from training.history.labelled_loans import LabelledLoans
from training.judging.segments import SAMPLE, measure_importance

CONTRACT = Contract(
    1, "made up", tuple(Column(name, Role.FEATURE, Type.NUMBER) for name in ("ignored", "strong", "weak"))
)


def made_loans(count: int) -> LabelledLoans:
    """Make loans whose outcome hangs on the second feature, and a little on the third."""
    stream = np.random.default_rng(2)
    features = stream.normal(size=(count, 3)).astype(np.float32)
    odds = 2 * features[:, 1] + 0.5 * features[:, 2] - 2
    labels = (stream.random(count) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    return LabelledLoans(features, labels, np.arange(count), np.zeros(count, np.int32), {})


def test_what_counts_is_found() -> None:
    """The strong feature comes first, the weak one second, and the ignored one loses nothing at all."""
    asked: list[int] = []

    def predict(features: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(len(features))
        return np.asarray(2 * features[:, 1] + 0.5 * features[:, 2], np.float32)

    loans = made_loans(20_000)
    strong, weak, ignored = measure_importance(predict, CONTRACT, loans)
    assert [one.feature for one in (strong, weak, ignored)] == ["strong", "weak", "ignored"]
    assert strong.auc_lost > 0.2 > weak.auc_lost > 0.005
    assert (ignored.auc_lost, ignored.spread) == (0, 0)
    assert max(asked) <= SAMPLE + 1
    assert measure_importance(predict, CONTRACT, loans) == (strong, weak, ignored)
    assert measure_importance(predict, CONTRACT, loans, seed=1) != (strong, weak, ignored)


def test_the_loans_stay_as_they_were() -> None:
    """Shuffling is done on a copy."""
    loans = made_loans(200)
    before = loans.digest()
    measure_importance(lambda features: features[:, 1], CONTRACT, loans)
    assert loans.digest() == before
