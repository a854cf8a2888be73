"""Fits, fold by fold, and what is chosen from them: nothing is learnt from loans that were left out."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.history.folds import draw_folds, leave_out
from training.history.labelled_loans import LabelledLoans, load_loans
from training.history.shards import plan_shards
from training.learners.fitting import fit_candidate
from training.learners.learnt import load_fitted
from training.records.findings import Fitted, FoldFit
from training.records.outcome import FUTILE, read_details, read_predictions
from training.records.request import RunRequest, write_request

MakeRequest = Callable[..., RunRequest]
RunHere = Callable[..., dict[str, int]]

GRIDS = {"tree": {"min_samples_leaf": [400.0, 25.0]}}
BEFORE = ("preprocess-1", "preprocess-2", "split")


@pytest.fixture
def fitted(history: Path, make_request: MakeRequest, run_here: RunHere) -> RunRequest:
    """Give a run whose trees and logistic regression are fitted, and their blend."""
    request = make_request(history, candidates=("logistic", "tree", "blend"), grids=GRIDS)
    fits = [f"fit-tree-{number}-{fold}" for number in (1, 2) for fold in (1, 2, 3)]
    fits += [f"fit-logistic-1-{fold}" for fold in (1, 2, 3)]
    ended = run_here(request, *BEFORE, *fits, "train-tree", "train-logistic", "train-blend")
    assert set(ended.values()) == {0}
    assert len(ended) == 15
    return request


def _fits(request: RunRequest, parameter_set: int) -> list[FoldFit]:
    outcome = request.layout.outcome
    return [read_details(outcome(f"fit-tree-{parameter_set + 1}-{fold}"), FoldFit) for fold in (1, 2, 3)]


def test_each_loan_is_foretold_by_the_fit_that_left_it_out(fitted: RunRequest) -> None:
    """The probabilities of a fold are those of a model fitted on the other folds alone, and its AUC is theirs."""
    loans = load_loans(fitted.layout.train)
    drawn = draw_folds(loans.features, loans.labels, 3, fitted.seed)
    for fit in _fits(fitted, 1):
        others, fold = leave_out(loans, drawn, fit.fold)
        pipeline, _ = fit_candidate("tree", fitted.contract, others, 0, fit.parameters)
        foretold = read_predictions(fitted.layout.predictions("tree", 1, fit.fold), fit)
        assert (foretold == pipeline.predict_proba(fold.features)[:, 1]).all()
        assert fit.auc == roc_auc_score(fold.labels, foretold)
        assert (fit.rows, fit.parameters["min_samples_leaf"]) == (len(fold), 25)


def test_the_best_set_is_fitted_on_all(fitted: RunRequest) -> None:
    """The set with the best mean AUC is fitted on the whole train side; its out-of-fold figures are kept."""
    details = read_details(fitted.layout.outcome("train-tree"), Fitted)
    aucs = [float(np.mean([fit.auc for fit in _fits(fitted, number)])) for number in (0, 1)]
    validation = details.validation
    assert [tried.auc for tried in validation.tried] == pytest.approx(aucs)
    assert validation.chosen == int(np.argmax(aucs))
    assert (
        details.parameters["min_samples_leaf"]
        == f"{validation.tried[validation.chosen].parameters['min_samples_leaf']:g}"
    )
    loans = load_loans(fitted.layout.train)
    assert (details.rows, details.train_sha256) == (len(loans), loans.digest())
    learnt = load_fitted(fitted.layout.fitted("tree"), details, fitted.run_id)
    pipeline, _ = fit_candidate("tree", fitted.contract, loans, 0, validation.tried[validation.chosen].parameters)
    expected = learnt.calibration.apply(np.asarray(pipeline.predict_proba(loans.features)[:, 1], np.float64))
    assert (learnt.predict(loans.features) == expected).all()
    assert 0 < validation.threshold < 1


def test_a_blend_is_the_weighted_mean_of_its_members(fitted: RunRequest) -> None:
    """A blend's probability is the calibrated mean of the pipelines that the other train nodes fitted."""
    details = read_details(fitted.layout.outcome("train-blend"), Fitted)
    assert sum(details.members.values()) == pytest.approx(1)
    assert set(details.members) <= {"logistic", "tree"}
    loans = load_loans(fitted.layout.test)
    learnt = load_fitted(fitted.layout.fitted("blend"), details, fitted.run_id)
    mean = np.zeros(len(loans))
    for name, weight in details.members.items():
        one = read_details(fitted.layout.outcome(f"train-{name}"), Fitted)
        (pipeline,) = load_fitted(fitted.layout.fitted(name), one, fitted.run_id).members
        mean += weight * np.asarray(pipeline.predict_proba(loans.features)[:, 1], np.float64)
    assert learnt.predict(loans.features) == pytest.approx(learnt.calibration.apply(mean), abs=1e-9)
    singles = [read_details(fitted.layout.outcome(f"train-{name}"), Fitted) for name in details.members]
    best = min(one.validation.tried[one.validation.chosen].log_loss for one in singles)
    assert details.validation.tried[0].log_loss <= best + 1e-3


def test_labels_of_held_out_loans_change_nothing_that_is_fitted(
    fitted: RunRequest, loans: LabelledLoans, run_here: RunHere, tmp_path: Path
) -> None:
    """With the outcomes of the held-out loans shuffled, every fit, choice and model is the very same, to the byte."""
    test = load_loans(fitted.layout.test)
    (history,) = map(Path, fitted.history)
    lines = history.read_text().splitlines()
    flipped = np.random.default_rng(3).permutation(test.labels)
    assert (flipped != test.labels).any()
    for row, label in zip(test.rows, flipped, strict=True):
        lines[row] = f"{lines[row].rpartition(',')[0]},{label}"
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join(lines) + "\n")
    # The same run id: it is part of what a train node tells.
    other = msgspec.structs.replace(
        fitted,
        folder=str(tmp_path / "other" / fitted.run_id),
        history=(str(shuffled),),
        shards=plan_shards([shuffled], fitted.contract, 2),
    )
    write_request(other)
    names = [f"fit-tree-1-{fold}" for fold in (1, 2, 3)] + [f"fit-tree-2-{fold}" for fold in (1, 2, 3)]
    assert set(run_here(other, *BEFORE, *names, "train-tree").values()) == {0}
    assert load_loans(other.layout.test).digest() != test.digest()
    assert load_loans(other.layout.test).features.tobytes() == test.features.tobytes()
    for name in names:
        assert _without_time(other, name, FoldFit) == _without_time(fitted, name, FoldFit)
    one, same = (read_details(run.layout.outcome("train-tree"), Fitted) for run in (fitted, other))
    assert one.pickle_sha256 == same.pickle_sha256
    assert one.validation.threshold == same.validation.threshold
    assert len(loans) == len(test) + one.rows


def _without_time(request: RunRequest, node: str, kind: type[FoldFit]) -> FoldFit:
    return msgspec.structs.replace(read_details(request.layout.outcome(node), kind), fit_seconds=0.0, train_sha256="")


def test_nodes_that_run_twice_leave_the_same_bytes(fitted: RunRequest, run_here: RunHere) -> None:
    """A fit, a train node and a blend that are run again, their outcomes lost, write the same bytes."""
    layout = fitted.layout
    names = ("fit-tree-1-1", "train-tree", "train-blend")
    files = (layout.predictions("tree", 0, 0), layout.fitted("tree"), layout.fitted("blend"))
    before = [path.read_bytes() for path in files]
    for name in names:
        layout.outcome(name).unlink()
    assert set(run_here(fitted, *names).values()) == {0}
    assert [path.read_bytes() for path in files] == before


def test_altered_probabilities_are_refused(
    fitted: RunRequest, run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    """Choices rest on what the fits wrote, and on nothing else."""
    np.save(fitted.layout.predictions("tree", 1, 2), np.full(10, 0.5))
    fitted.layout.outcome("train-tree").unlink()
    assert run_here(fitted, "train-tree")["train-tree"] != 0
    assert "are not those that the fit wrote" in capsys.readouterr().err


def test_folds_that_the_history_cannot_fill_are_told_by_the_split(
    tmp_path: Path, history: Path, make_request: MakeRequest, run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too few defaults for the folds asked for is told once, before any fit, and is not tried again."""
    small = tmp_path / "small.csv"
    header, *lines = history.read_text().splitlines()
    defaulted, repaid = ([line for line in lines if line.endswith(end)] for end in (",1", ",0"))
    small.write_text("\n".join([header, *defaulted[:20], *repaid[:300]]) + "\n")
    request = msgspec.structs.replace(make_request(small), folds=10)
    write_request(request)
    assert run_here(request, *BEFORE)["split"] == FUTILE
    assert "With 10 folds, one has 1 loans that defaulted" in capsys.readouterr().err
