"""Which parameter set is best, by its folds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import ProofError
from training.learners.fitting import choose_set
from training.records.findings import FoldFit


def _fit(parameter_set: int, fold: int, auc: float, log_loss: float = 0.3) -> FoldFit:
    return FoldFit(
        candidate="tree",
        parameter_set=parameter_set,
        fold=fold,
        parameters={"depth": float(parameter_set)},
        rows=100,
        train_sha256="aa",
        auc=auc,
        log_loss=log_loss,
        fit_seconds=1.0 + fold,
        converged=True,
        predictions_sha256="bb",
    )


FIGURES = st.lists(st.tuples(st.sampled_from([0.8, 0.85, 0.9]), st.sampled_from([0.2, 0.3])), min_size=1, max_size=6)


@given(figures=FIGURES)
def test_the_best_mean_wins(figures: list[tuple[float, float]]) -> None:
    """The highest mean AUC wins, then the lower log loss, then the earlier set."""
    sets = [[_fit(at, fold, *figure) for fold in range(3)] for at, figure in enumerate(figures)]
    tried, chosen = choose_set(sets)
    assert [one.parameters for one in tried] == [{"depth": float(at)} for at in range(len(figures))]
    assert chosen == min(range(len(figures)), key=lambda at: (-tried[at].auc, tried[at].log_loss, at))
    assert tried[chosen].auc == max(one.auc for one in tried)


def test_folds_are_summed_up() -> None:
    """Mean and spread of the folds' AUC, mean log loss, mean time."""
    tried, _ = choose_set([[_fit(0, 0, 0.8, 0.2), _fit(0, 1, 0.9, 0.4)]])
    (one,) = tried
    assert (one.auc, one.auc_spread, one.log_loss, one.fit_seconds) == pytest.approx((0.85, 0.05, 0.3, 1.5))


def test_other_loans_are_refused() -> None:
    """Fits of different train sides cannot be compared."""
    other = msgspec.structs.replace(_fit(1, 0, 0.9), train_sha256="cc")
    with pytest.raises(ProofError):
        choose_set([[_fit(0, 0, 0.8)], [other]])
