"""Node `evaluate`: what it measures, and what becomes of a candidate that may not be published."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from scoring.contract import Contract, Policy, Type
from scoring.errors import ProofError
from scoring.models.golden import seal_golden
from scoring.models.model import Graph
from tests.unit.training.runs import MakeRequest, RunHere, nodes_until, read_conclusion
from training.graphs.export import export_graph
from training.graphs.proof import prove_equal
from training.history.labelled_loans import LabelledLoans, load_loans
from training.judging.bootstrap import find_intervals
from training.judging.metrics import measure
from training.judging.throughput import ROWS, measure_rows_per_second, write_loans
from training.learners.fitting import fit_candidate
from training.learners.learnt import LearntPipeline
from training.nodes import evaluate
from training.records.findings import Evaluation, Fitted, Proof
from training.records.outcome import read_details


def test_figures_are_those_of_the_graph(history: Path, make_request: MakeRequest, run_here: RunHere) -> None:
    """Every figure comes from the graph that was written, on the held-out loans, at the candidate's own threshold."""
    request = make_request(history, candidates=("tree",))
    layout = request.layout
    run_here(request, *nodes_until(request, "evaluate-tree"))
    found = read_details(layout.outcome("evaluate-tree"), Evaluation)
    fitted = read_details(layout.outcome("train-tree"), Fitted)
    loans = load_loans(layout.test)
    pd = Graph(layout.graph("tree").read_bytes(), 1, "tree").predict(loans.features)
    assert found.threshold == fitted.validation.threshold
    assert found.metrics == measure(pd, loans.labels, found.threshold)
    assert found.intervals == find_intervals(pd, loans.labels, found.threshold, seed=request.seed)
    assert (found.refused, found.rows) == ("", len(loans))
    assert found.proof is not None
    assert max(found.proof.largest, found.proof.largest_built) <= 1e-5
    columns = {segment.column for segment in found.segments}
    categories = {column.name for column in request.contract.features if column.type is Type.CATEGORY}
    assert columns == categories | {"person_age"}
    for column in columns:
        assert sum(segment.rows for segment in found.segments if segment.column == column) == len(loans)
    assert {one.feature for one in found.importance} == {column.name for column in request.contract.features}
    assert len(found.curves.roc) > 10


def test_a_candidate_that_differs_is_measured_and_refused(
    history: Path, make_request: MakeRequest, run_here: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that the export gate refuses ends nobody's run: the other candidate is published, and why is told."""
    request = make_request(history)

    def prove_but_trees(pipeline: LearntPipeline, *arguments: Any) -> Proof:
        if "tree" in str(pipeline.members[0]).lower():
            raise ProofError("The exported model differs from the trained one on 7 of 9 rows.")
        return prove_equal(pipeline, *arguments)

    monkeypatch.setattr(evaluate, "prove_equal", prove_but_trees)
    assert set(run_here(request).values()) == {0}
    found = read_details(request.layout.outcome("evaluate-tree"), Evaluation)
    assert found.refused == "The exported model differs from the trained one on 7 of 9 rows."
    assert found.metrics.auc > 0.8
    assert (found.proof, found.graph_sha256, found.rows_per_second, found.importance) == (None, "", 0, ())
    assert request.layout.graph("tree").read_bytes() == b""
    conclusion = read_conclusion(request)
    assert conclusion.candidate == "logistic"
    assert conclusion.promoted
    assert "not tree: it may not be published (The exported model differs" in conclusion.chosen_because


@pytest.fixture(scope="module")
def tree_graph(contract: Contract, loans: LabelledLoans) -> bytes:
    """Fit and export a tree."""
    return export_graph(fit_candidate("tree", contract, loans, 0)[0], contract)


def test_the_speed_is_measured(contract: Contract, loans: LabelledLoans, tree_graph: bytes) -> None:
    """Rows a second are measured by scoring a CSV as a job does, with and without a policy."""
    golden = seal_golden(loans.features[:20], Graph(tree_graph, 1, "tree").predict)
    speed = measure_rows_per_second(tree_graph, golden, contract, loans)
    print(f"tree: {speed:,.0f} rows/s")
    assert 10_000 < speed < 10_000_000


def test_written_loans_are_read_as_they_were(contract: Contract, loans: LabelledLoans, tmp_path: Path) -> None:
    """What is written to measure the speed reads back as the same features, gaps and strange categories included."""
    from scoring.csv.chunks import plan_chunks
    from scoring.csv.reader import read_loans
    from scoring.csv.source import open_source

    # Strangers and gaps are let in, so that they can be written.
    lenient = msgspec.structs.replace(
        contract,
        columns=tuple(
            msgspec.structs.replace(column, missing=Policy.ALLOW, unknown=Policy.ALLOW) for column in contract.columns
        ),
    )
    features = loans.features[:500].copy()
    features[::7] = np.nan
    for position, column in enumerate(contract.features):
        if column.type is Type.CATEGORY:
            features[1::7, position] = len(column.categories)
    odd = LabelledLoans(features, loans.labels[:500], loans.rows[:500], loans.files[:500], {})
    path = tmp_path / "loans.csv"
    assert write_loans(path, lenient, odd, 1_200) == 1_500
    source = open_source(path, lenient)
    (chunk,) = plan_chunks(source, path.stat().st_size).chunks
    read = [block.values.features for block in read_loans(source, chunk, lenient)]
    assert np.array_equal(np.concatenate(read), np.concatenate([features] * 3), equal_nan=True)
    assert write_loans(path, contract, loans, 100) == 100
    assert ROWS >= 30_000
