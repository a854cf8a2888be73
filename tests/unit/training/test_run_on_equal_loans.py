"""Loans with equal features and different outcomes: out of fold and held out, a candidate shows the same."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from scoring.contract import Contract
from scoring.models.registry import read_manifest
from tests.unit.training.equal_loans import CONTRACT, draw_banded_loans, write_banded_loans
from tests.unit.training.runs import MakeRequest, RunHere, conclude_here
from training.card.facts import CardFacts
from training.card.model_card import CARD_JSON
from training.history.folds import draw_folds, leave_out, take_judged
from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans
from training.judging.auc_error import find_auc_error
from training.judging.metrics import measure
from training.learners.candidates import CANDIDATES
from training.learners.fitting import fit_candidate
from training.nodes.split import split_loans
from training.records.findings import Evaluation, Fitted, SplitFigures
from training.records.outcome import read_details

LOANS = 24_000


@pytest.fixture(scope="module")
def contract() -> Contract:
    """Give the contract of the banded loans, in place of the reference one."""
    return CONTRACT


@pytest.mark.parametrize("name", ["logistic", "tree"])
@pytest.mark.parametrize("folds", [3, 5])
def test_out_of_fold_and_held_out_agree(name: str, folds: int) -> None:
    """With many equal loans the AUC out of fold differs from that on the held-out loans by no more than chance."""
    features, labels = draw_banded_loans(LOANS, 8)
    loans = LabelledLoans(features, labels, np.arange(LOANS), np.zeros(LOANS, np.int32), {})
    train, test = split_loans(loans, 0.2, 0)
    drawn = draw_folds(train.features, train.labels, folds, 0)
    parameters = CANDIDATES[name].parameters
    foretold = np.full(len(train), np.nan)
    for fold in range(folds):
        others, left = leave_out(train, drawn, fold)
        pipeline, _ = fit_candidate(name, CONTRACT, others, 0, parameters)
        foretold[drawn == fold] = pipeline.predict_proba(left.features)[:, 1]
    judged, _ = take_judged(train, drawn)
    out_of_fold = foretold[~np.isnan(foretold)]
    held_out = fit_candidate(name, CONTRACT, train, 0, parameters)[0].predict_proba(test.features)[:, 1]
    aucs = [measure(pd, side.labels, 0.5).auc for pd, side in ((out_of_fold, judged), (held_out, test))]
    error = find_auc_error(held_out, test.labels, hash_loans(test.features, 0))
    print(f"{name}, {folds} folds: AUC {aucs[0]:.4f} out of fold, {aucs[1]:.4f} held out, standard error {error:.4f}")
    assert abs(aucs[1] - aucs[0]) < 0.02
    assert min(aucs) > 0.6


def test_a_run_sets_large_groups_aside_and_tells(tmp_path: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A run learns from a large group in every fit, keeps it out of all figures, and names it in version and card."""
    history = tmp_path / "banded loans.csv"
    text = write_banded_loans(3_000, 3).decode()
    equal = [f"x{number},{','.join(['band 4'] * 6)},{('repaid', 'default')[number % 4 == 0]}" for number in range(200)]
    history.write_text(text + "\n".join(equal) + "\n")
    request = make_request(history, candidates=("logistic", "tree", "blend"), folds=2)
    conclusion = conclude_here(request, run_here)
    split = read_details(request.layout.outcome("split"), SplitFigures)
    (group,) = split.set_aside
    assert group.rows >= 200
    for name in request.candidates:
        fitted = read_details(request.layout.outcome(f"train-{name}"), Fitted)
        evaluation = read_details(request.layout.outcome(f"evaluate-{name}"), Evaluation)
        assert fitted.rows == split.train.rows
        assert 0 < fitted.set_aside_pd[group.key] < 1
        assert fitted.validation.auc_error is not None
        assert evaluation.auc_error is not None
        assert abs(evaluation.metrics.auc - fitted.validation.auc) < 2.58 * np.hypot(
            evaluation.auc_error, fitted.validation.auc_error
        )
    manifest, _ = read_manifest(Path(request.models), conclusion.version, conclusion.manifest_sha256)
    assert manifest.training["set_aside"] == group.key
    card = msgspec.json.decode((Path(request.models) / "versions" / conclusion.version / CARD_JSON).read_bytes())
    assert msgspec.convert(card["facts"], CardFacts).data.split.set_aside == (group,)
    assert any(f"{group.rows} of the" in limit for limit in card["limits"])
