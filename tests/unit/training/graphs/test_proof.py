"""The export gate: what is equal passes, whatever the history was like; what is one float32 step off does not."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from scoring.contract import Column, Contract, Role, Type
from scoring.errors import ModelError, ProofError
from scoring.models.model import INPUT, OUTPUT, Graph
from tests.unit.training.small_candidates import fit_small
from training.graphs.export import export_graph
from training.graphs.proof import TOLERANCE, build_rows, prove_equal
from training.graphs.thresholds import build_threshold_rows
from training.history.labelled_loans import LabelledLoans
from training.learners.candidates import CANDIDATES
from training.learners.fitting import fit_candidate
from training.nodes.split import split_loans

NAMES = tuple(CANDIDATES)


def loans_of(features: np.ndarray, labels: np.ndarray) -> LabelledLoans:
    """Wrap a matrix and labels as loans."""
    count = len(labels)
    return LabelledLoans(
        np.ascontiguousarray(features, np.float32),
        labels.astype(np.uint8),
        np.arange(1, count + 1),
        np.zeros(count, np.int32),
        {},
    )


def contract_of(*columns: Column) -> Contract:
    """Make a contract of these features."""
    return Contract(1, "made up", columns)


NUMBER = Column("number", Role.FEATURE, Type.NUMBER)
OTHER = Column("other", Role.FEATURE, Type.NUMBER, minimum=-5, maximum=5)
CATEGORY = Column("category", Role.FEATURE, Type.CATEGORY, categories=("a", "b", "c"))


@pytest.mark.parametrize("name", NAMES)
def test_graph_equals_scikit_learn(name: str, contract: Contract, loans: LabelledLoans) -> None:
    """Each candidate's graph gives what scikit-learn gives, on unseen loans and on every built row."""
    train, test = split_loans(loans, 0.2, 0)
    pipeline, converged = fit_candidate(name, contract, train, 0)
    model = Graph(export_graph(pipeline, contract), 1, name)
    proof = prove_equal(pipeline, model, contract, test.features)
    assert converged
    assert max(proof.largest, proof.largest_built) <= 1e-6 < TOLERANCE
    assert proof.rows == len(test)
    assert proof.built > 1_000
    assert proof.thresholds > 10


@pytest.mark.parametrize("name", NAMES)
def test_graph_has_one_input_and_one_output(name: str, contract: Contract, loans: LabelledLoans) -> None:
    """The graph takes `features` and gives `pd`, both float32, nothing else; the same pipeline gives the same bytes."""
    pipeline = fit_small(name, contract, loans)
    content = export_graph(pipeline, contract)
    graph = onnx.load_from_string(content).graph
    for value, called, width in ((graph.input, INPUT, len(contract.features)), (graph.output, OUTPUT, 1)):
        assert [one.name for one in value] == [called]
        assert value[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert value[0].type.tensor_type.shape.dim[1].dim_value == width
    assert "ZipMap" not in {node.op_type for node in graph.node}
    used = {name for node in graph.node for name in node.input} | {OUTPUT}
    assert all(used.intersection(node.output) for node in graph.node)
    assert export_graph(pipeline, contract) == content
    assert export_graph(fit_small(name, contract, loans), contract) == content


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("columns", "make"),
    [
        ((NUMBER,), lambda draw, count: draw.normal(size=(count, 1))),
        ((CATEGORY,), lambda draw, count: draw.integers(0, 3, (count, 1))),
        ((NUMBER, CATEGORY), lambda _, count: np.full((count, 2), np.nan)),
        ((NUMBER, CATEGORY), lambda _, count: np.ones((count, 2))),
        ((CATEGORY, NUMBER, OTHER), lambda draw, count: draw.integers(0, 3, (count, 3))),
    ],
    ids=["one number", "one category", "all missing", "all the same", "category first"],
)
def test_odd_histories_export(
    name: str,
    columns: tuple[Column, ...],
    make: Callable[[np.random.Generator, int], np.ndarray],
) -> None:
    """One column, columns without a value, columns that never change, noise: the graph is equal all the same."""
    draw = np.random.default_rng(4)
    loans = loans_of(make(draw, 400), draw.integers(0, 2, 400))
    contract = contract_of(*columns)
    pipeline = fit_small(name, contract, loans)
    prove_equal(pipeline, Graph(export_graph(pipeline, contract), 1, name), contract, loans.features)


@pytest.mark.parametrize(
    ("name", "start"),
    [("logistic", 1e-30), ("logistic", 0.1)]
    # A tree of scikit-learn takes numbers that are less than 1e-7 apart for the same.
    + [(name, start) for name in NAMES for start in (11.49, 16_777_215.0, 3e30)],
)
def test_neighbouring_numbers_stay_apart(name: str, start: float) -> None:
    """Where neighbouring float32 numbers tell the outcomes apart, the graph puts each on its own side."""
    first = np.float32(start)
    neighbours = np.array([first, np.nextafter(first, np.float32(np.inf))], np.float32)
    places = np.arange(400) % 2
    loans = loans_of(neighbours[places][:, None], places)
    pipeline = fit_small(name, contract_of(NUMBER), loans)
    model = Graph(export_graph(pipeline, contract_of(NUMBER)), 1, name)
    prove_equal(pipeline, model, contract_of(NUMBER), loans.features)
    low, high = model.predict(neighbours[:, None])
    assert low < 0.1
    assert high > 0.9


def test_one_step_is_noticed(contract: Contract, loans: LabelledLoans) -> None:
    """A tree threshold that is one float32 step off is refused, though no real loan may ever show it."""
    pipeline, _ = fit_candidate("tree", contract, loans, 0)
    graph = onnx.load_from_string(export_graph(pipeline, contract))
    (tree,) = [node for node in graph.graph.node if node.op_type.startswith("TreeEnsemble")]
    fields = {attribute.name: attribute for attribute in tree.attribute}
    numbers = sum(column.is_numeric for column in contract.features)
    for at, mode in enumerate(fields["nodes_modes"].strings):
        if mode == b"BRANCH_LEQ" and fields["nodes_featureids"].ints[at] < numbers:
            value = np.float32(fields["nodes_values"].floats[at])
            fields["nodes_values"].floats[at] = np.nextafter(value, np.float32(np.inf))
            break
    model = Graph(graph.SerializeToString(), 1, "tree")
    with pytest.raises(ProofError, match="built rows"):
        prove_equal(pipeline, model, contract, loans.features)


@pytest.mark.parametrize("name", ["forest", "boosting"])
@pytest.mark.parametrize("derived", ["numbers", "ratios"])
def test_steps_of_an_ensemble_are_noticed(name: str, derived: str) -> None:
    """An ensemble whose thresholds on numbers, or on ratios of them, are one float32 step off is refused."""
    draw = np.random.default_rng(8)
    features = np.exp(draw.normal(size=(3_000, 2))).astype(np.float32)
    loans = loans_of(features, draw.random(3_000) < np.where(features[:, 0] / features[:, 1] > 1.3, 0.6, 0.1))
    contract = contract_of(NUMBER, OTHER)
    pipeline = fit_small(name, contract, loans)
    assert pipeline.named_steps["model"].ratios_
    graph = onnx.load_from_string(export_graph(pipeline, contract))
    (trees,) = [node for node in graph.graph.node if node.op_type == "TreeEnsembleRegressor"]
    fields = {attribute.name: attribute for attribute in trees.attribute}
    for at, mode in enumerate(fields["nodes_modes"].strings):
        if mode == b"BRANCH_LEQ" and (fields["nodes_featureids"].ints[at] >= 2) == (derived == "ratios"):
            value = np.float32(fields["nodes_values"].floats[at])
            fields["nodes_values"].floats[at] = np.nextafter(value, np.float32(-np.inf))
    model = Graph(graph.SerializeToString(), 1, name)
    with pytest.raises(ProofError, match="differs"):
        prove_equal(pipeline, model, contract, loans.features[:500])


def test_a_flipped_decision_is_refused(contract: Contract, loans: LabelledLoans) -> None:
    """A difference far below the tolerance is refused when a loan is called a default on one side of it alone."""
    pipeline, _ = fit_candidate("logistic", contract, loans, 0)
    model = Graph(export_graph(pipeline, contract), 1, "logistic")
    expected = pipeline.predict_proba(loans.features)[:, 1]
    given = model.predict(loans.features).astype(np.float64)
    at = int(np.argmax(np.abs(expected - given)))
    assert 0 < abs(expected[at] - given[at]) < TOLERANCE
    prove_equal(pipeline, model, contract, loans.features, threshold=2.0)
    with pytest.raises(ProofError, match="decides otherwise"):
        prove_equal(pipeline, model, contract, loans.features, threshold=(expected[at] + given[at]) / 2)


def test_every_threshold_is_approached(contract: Contract, loans: LabelledLoans) -> None:
    """For each numeric threshold of the tree a loan that reaches its node is tried on both sides."""
    pipeline, _ = fit_candidate("tree", contract, loans, 0)
    tree = pipeline.named_steps["model"].tree_
    numbers = sum(column.is_numeric for column in contract.features)
    wanted = np.count_nonzero((tree.feature >= 0) & (tree.feature < numbers))
    rows = build_threshold_rows(pipeline, contract, loans.features)
    assert rows.shape == (3 * wanted, len(contract.features))
    nodes = pipeline.named_steps["model"].decision_path(
        np.asarray(pipeline.named_steps["encode"].transform(rows), np.float32)
    )
    assert (np.asarray(nodes.sum(axis=0)).ravel() > 0).sum() > 0.9 * tree.node_count


def test_built_rows_hold_what_loans_do_not(contract: Contract, loans: LabelledLoans) -> None:
    """Each column is missing somewhere, each category unknown somewhere, and each number at the ends of its range."""
    rows = build_rows(contract, loans.features)
    assert np.isnan(rows).all(axis=1).any()
    for position, column in enumerate(contract.features):
        values = rows[:, position]
        assert np.isnan(values).any()
        if column.is_numeric:
            assert np.isin(np.array([column.minimum, column.maximum], np.float32), values).all()
        else:
            assert set(values[~np.isnan(values)]) == set(range(len(column.categories) + 1))


def test_other_outcomes_are_refused(contract: Contract, loans: LabelledLoans) -> None:
    """A candidate that saw one outcome alone is not exported."""
    repaid = loans.take(np.flatnonzero(loans.labels == 0))
    pipeline, _ = fit_candidate("tree", contract, repaid, 0)
    with pytest.raises(ModelError, match="not 0 and 1"):
        export_graph(pipeline, contract)
