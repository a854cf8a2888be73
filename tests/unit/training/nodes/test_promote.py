"""A run of all nodes in this process: what is published, what is promoted, what is refused."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scoring.contract import Contract
from scoring.errors import LoansError, ProofError
from scoring.models.production import find_production, read_log, read_promotion
from scoring.models.production import promote as put_into_production
from scoring.models.registry import VERSIONS, Pin, list_versions, read_manifest
from tests.unit.inbox_watcher.conftest import forge_pointer
from tests.unit.training.runs import (
    MakeRequest,
    RunHere,
    another_run,
    conclude_here,
    nodes_until,
    read_conclusion,
    spoil_labels,
)
from training.history.labelled_loans import LabelledLoans, load_loans
from training.history.shards import plan_shards
from training.judging.choose import choose_best
from training.learners.learnt import load_fitted
from training.nodes import promote
from training.records.findings import Conclusion, Evaluation, Fitted, Metrics
from training.records.outcome import FUTILE, read_details, read_outcome
from training.records.request import Gates, PromoteMode


def test_run_publishes_and_promotes_once(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A run ends with the better candidate in production; its last node run again changes nothing."""
    request = make_request(history, folds=2, seed=3)
    models = Path(request.models)
    conclusion = conclude_here(request, run_here)
    assert conclusion.promoted
    fitted = {name: read_details(request.layout.outcome(f"train-{name}"), Fitted) for name in request.candidates}
    evaluations = [read_details(request.layout.outcome(f"evaluate-{name}"), Evaluation) for name in fitted]
    assert conclusion.candidate == choose_best(evaluations, fitted).candidate
    assert list(conclusion.candidates) == ["logistic", "tree"]
    assert list_versions(models) == [conclusion.version] == [f"{request.run_id}-{conclusion.candidate}"]
    assert "nothing was in production" in conclusion.why
    assert "lowest approval ratio by person_age" in conclusion.why
    assert [one.column for one in conclusion.lowest_ratios] == ["person_age"]
    before = (models / "promotions.jsonl").read_bytes()
    request.layout.outcome("promote").unlink()
    assert run_here(request, "promote") == {"promote": 0}
    assert read_conclusion(request) == conclusion
    assert (models / "promotions.jsonl").read_bytes() == before
    promotion = read_promotion(models)
    assert promotion is not None
    assert promotion.pin == Pin(conclusion.version, conclusion.manifest_sha256)
    assert promotion.why == f"training run {request.run_id}: {conclusion.why}"
    (entry,) = read_log(models).entries
    assert (entry.to, entry.replaced) == (promotion.pin, None)


def test_a_version_tells_where_it_came_from(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """The manifest holds figures of all candidates, policy, data hashes, parameters, packages, code and run."""
    request = make_request(history, folds=2, seed=3)
    conclusion = conclude_here(request, run_here)
    manifest, _ = read_manifest(Path(request.models), conclusion.version, conclusion.manifest_sha256)
    assert manifest.contract == request.contract
    facts = manifest.training
    assert (facts["run"], facts["seed"], facts["split"]) == (request.run_id, "3", "by content")
    assert int(facts["train_rows"]) + int(facts["test_rows"]) == 4_000
    assert facts["code"].startswith("0.")
    assert facts["decision"] == conclusion.why
    fitted = read_details(request.layout.outcome(f"train-{manifest.candidate}"), Fitted)
    assert set(manifest.metrics) == set(manifest.validation) == {"logistic", "tree"}
    assert manifest.validation[manifest.candidate]["auc"] == fitted.validation.auc
    shown = manifest.metrics[manifest.candidate]
    assert {"auc", "ece", "f1", "ks", "gini", "average_precision", "threshold", "rows_per_second"} <= set(shown)
    assert shown["rows_per_second"] > 1_000
    assert manifest.policy is not None
    assert manifest.policy.decline_from == fitted.validation.threshold == shown["threshold"]
    assert manifest.policy.refer_from == pytest.approx(manifest.policy.decline_from / 2)
    (file,) = manifest.history
    content = history.read_bytes()
    assert (file.name, file.bytes, file.rows) == (history.name, len(content), 4_000)
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert file.modified.startswith("20")
    assert {"python", "scikit-learn", "skl2onnx", "onnxruntime"} <= set(manifest.packages)
    assert manifest.parameters["calibration"] == fitted.validation.calibration


def test_never_leaves_production_alone(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """With `never` the version is published, production stays as it was, and the outcome says why."""
    request = make_request(history, folds=2, candidates=("tree",), promote=PromoteMode.NEVER)
    conclusion = conclude_here(request, run_here)
    assert not conclusion.promoted
    assert "asked not to promote" in conclusion.why
    assert list_versions(Path(request.models)) == [conclusion.version]
    assert read_promotion(Path(request.models)) is None
    assert read_log(Path(request.models)).entries == ()


def test_the_same_again_stays_a_challenger(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A retrain on the same loans gains nothing, so it is published and does not replace the champion; force does."""
    request = make_request(history, folds=2, candidates=("tree",))
    first = conclude_here(request, run_here)
    again = conclude_here(another_run(request, "20260103-000000"), run_here)
    assert (first.promoted, again.promoted) == (True, False)
    assert again.comparison is not None
    assert (again.comparison.champion, again.comparison.auc_gain) == (first.version, 0)
    assert again.comparison.fresh
    assert again.comparison.metrics == first.candidates["tree"]
    assert "it stays a challenger: it gains +0.0000 AUC on the champion" in again.why
    assert "favours" not in again.why
    promotion = read_promotion(Path(request.models))
    assert promotion is not None
    assert promotion.pin.version == first.version
    forced = conclude_here(another_run(request, "20260104-000000", promote=PromoteMode.FORCE), run_here)
    assert forced.promoted
    assert "in spite of this: it gains +0.0000" in forced.why
    assert [entry.to.version for entry in read_log(Path(request.models)).entries] == [first.version, forced.version]


def test_spoiled_labels_replace_no_champion(
    history: Path, make_request: MakeRequest, run_here: RunHere, tmp_path: Path
) -> None:
    """A retrain on a history of which a third of the labels were shuffled stays a challenger, and says why."""
    request = make_request(history, folds=2, candidates=("tree",))
    first = conclude_here(request, run_here)
    spoiled = spoil_labels(history, 1 / 3, tmp_path / "spoiled.csv")
    changed = {"history": (str(spoiled),), "shards": plan_shards([spoiled], request.contract, 2)}
    worse = conclude_here(another_run(request, "20260103-000000", **changed), run_here)
    assert not worse.promoted
    assert worse.comparison is not None
    # The champion is not fooled by the loans that the candidate learnt from.
    assert worse.comparison.auc_gain < 0
    assert f"the champion {first.version} has" in worse.why
    assert "it stays a challenger: " in worse.why
    promotion = read_promotion(Path(request.models))
    assert promotion is not None
    assert promotion.pin.version == first.version


def test_a_better_retrain_replaces_the_champion(
    history: Path, make_request: MakeRequest, run_here: RunHere, tmp_path: Path
) -> None:
    """After a spoiled first model, a retrain on the true labels is promoted, with the gain and its interval."""
    spoiled = spoil_labels(history, 1 / 2, tmp_path / "spoiled.csv")
    request = make_request(spoiled, folds=2, candidates=("tree",))
    request = another_run(request, "20260102-000000", gates=Gates(min_auc=0.5, max_ece=1.0))
    first = conclude_here(request, run_here)
    assert first.promoted
    changed = {"history": (str(history),), "shards": plan_shards([history], request.contract, 2)}
    better = conclude_here(another_run(request, "20260103-000000", **changed), run_here)
    assert better.promoted
    assert better.comparison is not None
    assert 0 < better.comparison.gain.low <= better.comparison.auc_gain <= better.comparison.gain.high
    (_, entry) = read_log(Path(request.models)).entries
    assert entry.replaced is not None
    assert (entry.to.version, entry.replaced.version) == (better.version, first.version)


def test_gates_hold_without_a_champion(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """Where nothing is in production, a candidate below the gates is published and not promoted."""
    request = make_request(history, folds=2, candidates=("tree",))
    low = conclude_here(another_run(request, "20260103-000000", gates=Gates(min_auc=0.999)), run_here)
    assert not low.promoted
    assert "at least 0.999 is asked for" in low.why
    assert read_promotion(Path(request.models)) is None


def test_too_slow_candidates_end_the_run_in_words(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """When no candidate is as fast as the site asks for, nothing is published and all speeds are told."""
    request = make_request(history, folds=2)
    slow = another_run(request, "20260103-000000", min_rows_per_second=1e9)
    assert run_here(slow)["promote"] == FUTILE
    told = read_outcome(slow.layout.outcome("promote"), Conclusion)
    assert "No candidate scores the 1,000,000,000 rows a second" in told.what
    assert all(name in told.way_out for name in ("logistic", "tree", "rows/s"))
    assert list_versions(Path(slow.models)) == []


def test_a_damaged_champion_is_not_replaced_silently(
    history: Path, make_request: MakeRequest, run_here: RunHere
) -> None:
    """A champion that does not open cannot be compared with: the newcomer stays a challenger and says so."""
    request = make_request(history, folds=2, candidates=("tree",))
    first = conclude_here(request, run_here)
    models = Path(request.models)
    graph = models / VERSIONS / first.version / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    again = conclude_here(another_run(request, "20260103-000000"), run_here)
    assert not again.promoted
    assert again.comparison is None
    assert f"it cannot be compared with the champion {first.version}" in again.why
    assert "altered" in again.why
    (models / "production").write_bytes(b"{")
    pointless = conclude_here(another_run(request, "20260104-000000"), run_here)
    assert not pointless.promoted
    assert "does not tell which model is in production" in pointless.why


def test_a_champion_that_nobody_promoted_is_not_compared_with(
    history: Path, make_request: MakeRequest, run_here: RunHere
) -> None:
    """A forged pointer makes no champion: the newcomer stays a challenger, unless it is forced into production."""
    request = make_request(history, folds=2, candidates=("tree",))
    first = conclude_here(request, run_here)
    models = Path(request.models)
    forge_pointer(models, Pin(first.version, first.manifest_sha256))
    again = conclude_here(another_run(request, "20260103-000000"), run_here)
    assert not again.promoted
    assert f"No logged promotion put version {first.version} into production" in again.why
    forced = conclude_here(another_run(request, "20260104-000000", promote=PromoteMode.FORCE), run_here)
    assert forced.promoted
    production = find_production(models)
    assert production is not None
    assert production.pin.version == forced.version


def test_a_champion_that_changes_meanwhile_is_compared_anew(
    history: Path, make_request: MakeRequest, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody promotes another version while a run decides, it decides again against that one."""
    request = make_request(history, folds=2, candidates=("tree",))
    models = Path(request.models)
    other = conclude_here(another_run(request, "20260101-000000", promote=PromoteMode.NEVER), run_here)
    weigh = promote.weigh
    weighed: list[promote.Weighed] = []

    def meanwhile(*arguments: object) -> promote.Weighed:
        found = weigh(*arguments)  # type: ignore[arg-type]
        if not weighed:
            put_into_production(models, Pin(other.version, other.manifest_sha256), by="anna", why="meanwhile")
        weighed.append(found)
        return found

    monkeypatch.setattr(promote, "weigh", meanwhile)
    conclusion = conclude_here(another_run(request, "20260103-000000"), run_here)
    assert [one.champion and one.champion.version for one in weighed] == [None, other.version]
    assert not conclusion.promoted
    assert conclusion.comparison is not None
    assert conclusion.comparison.champion == other.version
    assert [entry.by for entry in read_log(models).entries] == ["anna"]


def test_test_labels_reach_nothing_that_is_fitted(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """Shuffling the labels of the held-out loans changes no fitted pipeline and no graph, only the figures."""
    request = make_request(history, folds=2)
    layout = request.layout
    found: list[tuple[str, str, Metrics]] = []
    names = [f"evaluate-{name}" for name in request.candidates]
    for shuffled in (False, True):
        if shuffled:
            test = load_loans(layout.test)
            labels = np.random.default_rng(1).permutation(test.labels)
            LabelledLoans(test.features, labels, test.rows, test.files, test.monitors).save(layout.test)
            # All that was done after the split is done again.
            for outcome in layout.outcomes.glob("*.json"):
                if not outcome.stem.startswith(("preprocess", "split")):
                    outcome.unlink()
            names = [name for name in nodes_until(request, *names) if not name.startswith(("preprocess", "split"))]
        else:
            names = nodes_until(request, *names)
        assert set(run_here(request, *names).values()) == {0}
        names = [f"evaluate-{name}" for name in request.candidates]
        for name in request.candidates:
            fitted = read_details(layout.outcome(f"train-{name}"), Fitted)
            measured = read_details(layout.outcome(f"evaluate-{name}"), Evaluation)
            found.append((fitted.pickle_sha256, measured.graph_sha256, measured.metrics))
    for before, after in zip(found[:2], found[2:], strict=True):
        assert before[:2] == after[:2]
        assert before[2].auc > 0.8
        assert 0.4 < after[2].auc < 0.6
    assert run_here(request, "promote") == {"promote": FUTILE}
    assert "not measured on this run's split" in read_outcome(layout.outcome("promote"), Conclusion).what


def test_foreign_pickle_is_not_opened(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A pickle that is not byte for byte what this run wrote is never loaded."""
    request = make_request(history, folds=2, candidates=("tree",))
    layout = request.layout
    assert set(run_here(request, *nodes_until(request, "train-tree")).values()) == {0}
    fitted = read_details(layout.outcome("train-tree"), Fitted)
    with pytest.raises(ProofError, match="not opened"):
        load_fitted(layout.fitted("tree"), fitted, "another-run")
    trace = Path(request.folder) / "it-ran"
    layout.fitted("tree").write_bytes(f"cos\nsystem\n(S'touch {trace}'\ntR.".encode())
    assert run_here(request, "evaluate-tree") == {"evaluate-tree": FUTILE}
    assert not trace.exists()
    assert "not opened" in read_outcome(layout.outcome("evaluate-tree"), Evaluation).what


def test_altered_graph_is_not_published(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """A graph that changed after it was measured is not published."""
    request = make_request(history, folds=2, candidates=("tree",))
    run_here(request, *nodes_until(request, "evaluate-tree"))
    graph = request.layout.graph("tree")
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert run_here(request, "promote") == {"promote": FUTILE}
    assert "not the one that was measured" in read_outcome(request.layout.outcome("promote"), Conclusion).what
    assert list_versions(Path(request.models)) == []


def test_failed_node_stops_the_run(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """When a candidate was not evaluated, nothing is published and the missing node is named."""
    request = make_request(history, folds=2)
    run_here(request, *nodes_until(request, "evaluate-tree"))
    assert run_here(request, "promote") == {"promote": 1}
    assert "train-logistic.json cannot be read" in read_outcome(request.layout.outcome("promote"), Conclusion).what


def test_unlabelled_contract_cannot_be_trained_on(contract: Contract, history: Path, make_request: MakeRequest) -> None:
    """A contract without a target is refused before anything starts."""
    from training.run.run_plan import refuse_unusable

    columns = tuple(column for column in contract.columns if column.name != "loan_status")
    request = msgspec.structs.replace(
        make_request(history, folds=2), contract=msgspec.structs.replace(contract, columns=columns)
    )
    with pytest.raises(LoansError, match="names no target"):
        refuse_unusable(request)
