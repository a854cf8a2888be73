"""A run of all nodes in this process: what is published, what is promoted, what is refused."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scoring.contract import Contract
from scoring.errors import LoansError, ProofError
from scoring.registry import list_versions, read_manifest, read_promotion
from training.choose import choose_best, decide_promotion
from training.findings import Conclusion, Evaluation, Fitted, Metrics, Proof
from training.labelled_loans import LabelledLoans, load_loans
from training.outcome import read_details, read_outcome
from training.request import PromoteMode, RunRequest
from training.train import load_fitted

RunHere = Callable[..., dict[str, int]]
MakeRequest = Callable[..., RunRequest]


def evaluation(candidate: str, auc: float, log_loss: float = 0.3, test: str = "same") -> Evaluation:
    """Make an evaluation with these figures."""
    metrics = Metrics(auc, 0.9, 0.8, 0.7, 0.75, log_loss, 0.05)
    return Evaluation(candidate, 100, test, metrics, Proof(100, 10, 1, 0.0, 0.0), "00", "00")


def test_best_is_the_highest_auc() -> None:
    """The highest AUC wins; between equals the lower log loss, then the name."""
    assert choose_best([evaluation("a", 0.8), evaluation("b", 0.9)]).candidate == "b"
    assert choose_best([evaluation("a", 0.9, 0.3), evaluation("b", 0.9, 0.2)]).candidate == "b"
    assert choose_best([evaluation("b", 0.9), evaluation("a", 0.9)]).candidate == "a"


def test_different_loans_are_not_compared() -> None:
    """Candidates that were measured on different loans are refused, and so is none at all."""
    with pytest.raises(ProofError, match="different loans"):
        choose_best([evaluation("a", 0.8), evaluation("b", 0.9, test="other")])
    with pytest.raises(LoansError, match="No candidate"):
        choose_best([])


@pytest.mark.parametrize("mode", list(PromoteMode))
def test_mode_decides_promotion(mode: PromoteMode) -> None:
    """The mode is obeyed, and the reason names candidate and figure."""
    decision = decide_promotion(evaluation("tree", 0.9351), mode)
    assert decision.promote is (mode is not PromoteMode.NEVER)
    assert "tree" in decision.why
    assert "0.9351" in decision.why


def test_run_publishes_and_promotes_once(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A run ends with the better candidate in production; its last node run again changes nothing."""
    request = make_request(history, seed=3)
    models = Path(request.models)
    assert set(run_here(request).values()) == {0}
    outcome = request.layout.outcome("promote")
    conclusion = read_details(outcome, Conclusion)
    assert conclusion.promoted
    assert conclusion.candidate == max(conclusion.candidates, key=lambda name: conclusion.candidates[name].auc)
    assert list(conclusion.candidates) == ["logistic", "tree"]
    assert list_versions(models) == [conclusion.version] == [f"{request.run_id}-{conclusion.candidate}"]
    manifest, pin = read_manifest(models, conclusion.version, conclusion.manifest_sha256)
    assert manifest.contract == request.contract
    assert manifest.training["run"] == request.run_id
    assert manifest.training["seed"] == "3"
    assert int(manifest.training["train_rows"]) + int(manifest.training["test_rows"]) == 6_000
    assert set(manifest.metrics) == {"logistic", "tree"}
    assert {"python", "scikit-learn", "skl2onnx", "onnxruntime"} <= set(manifest.packages)
    assert run_here(request, "promote") == {"promote": 0}
    assert read_details(outcome, Conclusion) == conclusion
    promotion = read_promotion(models)
    assert promotion is not None
    assert promotion.pin == pin
    assert request.run_id in promotion.why


def test_never_leaves_production_alone(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """With `never` the version is published, production stays as it was, and the outcome says why."""
    request = make_request(history, candidates=("tree",), promote=PromoteMode.NEVER)
    assert set(run_here(request).values()) == {0}
    conclusion = read_details(request.layout.outcome("promote"), Conclusion)
    assert not conclusion.promoted
    assert "asked not to promote" in conclusion.why
    assert list_versions(Path(request.models)) == [conclusion.version]
    assert read_promotion(Path(request.models)) is None


def test_test_labels_reach_nothing_that_is_fitted(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """Shuffling the labels of the held-out loans changes no fitted pipeline and no graph, only the figures."""
    request = make_request(history)
    layout = request.layout
    found: list[tuple[str, str, Metrics]] = []
    assert set(run_here(request, "preprocess-1", "preprocess-2", "split").values()) == {0}
    for shuffled in (False, True):
        if shuffled:
            test = load_loans(layout.test)
            labels = np.random.default_rng(1).permutation(test.labels)
            LabelledLoans(test.features, labels, test.rows, test.files, test.monitors).save(layout.test)
        for name in request.candidates:
            assert set(run_here(request, f"train-{name}", f"evaluate-{name}").values()) == {0}
            fitted = read_details(layout.outcome(f"train-{name}"), Fitted)
            measured = read_details(layout.outcome(f"evaluate-{name}"), Evaluation)
            found.append((fitted.pickle_sha256, measured.graph_sha256, measured.metrics))
    for before, after in zip(found[:2], found[2:], strict=True):
        assert before[:2] == after[:2]
        assert before[2].auc > 0.8
        assert 0.4 < after[2].auc < 0.6
    assert run_here(request, "promote") == {"promote": 1}
    assert "not measured on this run's split" in read_outcome(layout.outcome("promote"), Conclusion).what


def test_foreign_pickle_is_not_opened(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A pickle that is not byte for byte what this run wrote is never loaded."""
    request = make_request(history, candidates=("tree",))
    layout = request.layout
    assert set(run_here(request, "preprocess-1", "preprocess-2", "split", "train-tree").values()) == {0}
    fitted = read_details(layout.outcome("train-tree"), Fitted)
    with pytest.raises(ProofError, match="not opened"):
        load_fitted(layout.fitted("tree"), fitted, "another-run")
    trace = Path(request.folder) / "it-ran"
    layout.fitted("tree").write_bytes(f"cos\nsystem\n(S'touch {trace}'\ntR.".encode())
    assert run_here(request, "evaluate-tree") == {"evaluate-tree": 1}
    assert not trace.exists()
    assert "not opened" in read_outcome(layout.outcome("evaluate-tree"), Evaluation).what


def test_altered_graph_is_not_published(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A graph that changed after it was measured is not published."""
    request = make_request(history, candidates=("tree",))
    run_here(request, "preprocess-1", "preprocess-2", "split", "train-tree", "evaluate-tree")
    graph = request.layout.graph("tree")
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert run_here(request, "promote") == {"promote": 1}
    assert "not the one that was measured" in read_outcome(request.layout.outcome("promote"), Conclusion).what
    assert list_versions(Path(request.models)) == []


def test_failed_node_stops_the_run(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """When a candidate was not evaluated, nothing is published and the missing node is named."""
    request = make_request(history)
    run_here(request, "preprocess-1", "preprocess-2", "split", "train-tree", "evaluate-tree")
    assert run_here(request, "promote") == {"promote": 1}
    assert "train-logistic.json cannot be read" in read_outcome(request.layout.outcome("promote"), Conclusion).what


def test_unlabelled_contract_cannot_be_trained_on(contract: Contract, history: Path, make_request: MakeRequest) -> None:
    """A contract without a target is refused before anything starts."""
    from training.request import write_request

    columns = tuple(column for column in contract.columns if column.name != "loan_status")
    request = msgspec.structs.replace(
        make_request(history), contract=msgspec.structs.replace(contract, columns=columns)
    )
    with pytest.raises(LoansError, match="names no target"):
        write_request(request)
