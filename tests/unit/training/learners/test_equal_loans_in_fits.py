"""What a fit makes of equal loans: repeated loans teach no more than one each, and a large group gets its own rate."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scoring.contract import Column, Contract, Role, Type
from tests.unit.training.equal_loans import draw_thin_files
from training.features.groupings import find_grouping_columns
from training.features.search import search_features
from training.learners.boosting import CodedBoosting
from training.learners.forest import CodedForest

CONTRACT = Contract(
    1,
    "thin files",
    tuple(Column(name, Role.FEATURE, Type.NUMBER) for name in ("score", "months", "utilisation", "enquiries")),
)
SMALL = {CodedBoosting: {"members": 2, "trees": 40}, CodedForest: {"members": 2, "trees": 20}}
KINDS = [CodedBoosting, CodedForest]


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_loans_do_not_spoil_a_model(kind: type[CodedBoosting | CodedForest]) -> None:
    """A history with every loan on five rows makes a model as good as one with each loan once."""
    features, labels = draw_thin_files(2_000, 1, share=0)
    others, outcomes = draw_thin_files(8_000, 2, share=0)
    aucs = [
        roc_auc_score(
            outcomes,
            kind(CONTRACT, **SMALL[kind], ratios=0, pairs=0)
            .fit(np.repeat(features, rows, axis=0), np.repeat(labels, rows))
            .predict_proba(others)[:, 1],
        )
        for rows in (1, 5)
    ]
    print(f"{kind.__name__}: AUC {aucs[0]:.4f} with each loan once, {aucs[1]:.4f} with each five times")
    assert aucs[1] > aucs[0] - 0.03


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_large_group_gets_the_rate_at_which_it_defaulted(kind: type[CodedBoosting | CodedForest], seed: int) -> None:
    """Loans without a bureau record get about the share of them that defaulted, whatever the other loans did."""
    features, labels = draw_thin_files(4_000, seed)
    thin = features[:, 0] == -9
    model = kind(CONTRACT, **SMALL[kind], ratios=0, pairs=0, seed=seed).fit(features, labels)
    pd = model.predict_proba(features[thin][:1])[0, 1]
    assert pd == pytest.approx(labels[thin].mean(), abs=0.05)


def test_defaults_that_are_all_equal_prove_no_feature() -> None:
    """Sixty defaults with one set of features cannot be left out and learnt from at once: nothing is found."""
    features, _ = draw_thin_files(600, 1, share=0)
    labels = (np.arange(600) < 60).astype(np.uint8)
    features[labels == 1] = 7
    columns = find_grouping_columns(CONTRACT, features)
    found = search_features(CONTRACT, columns, features, labels, ratios=2, pairs=2, folds=5, smoothing=10.0, seed=0)
    assert found == ([], [])
