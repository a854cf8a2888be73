"""The network on places: what it knows of a value, and answers that hang on nothing but the loan."""

import math
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from scoring.contract import Column, Contract, Role, Type
from scoring.models.model import Graph
from training.graphs.export import export_graph
from training.graphs.proof import prove_equal
from training.graphs.thresholds import build_threshold_rows
from training.learners.candidates import CANDIDATES
from training.learners.network import ValueNetwork, settle

INCOME, AMOUNT, YEARS = (Column(name, Role.FEATURE, Type.NUMBER) for name in ("income", "amount", "years"))
PURPOSE = Column("purpose", Role.FEATURE, Type.CATEGORY, categories=("car", "house", "boat"))
CONTRACT = Contract(1, "another lender", (INCOME, PURPOSE, AMOUNT, YEARS))

Matrix = NDArray[np.float32]


def lend(seed: int, count: int) -> tuple[Matrix, NDArray[np.uint8]]:
    """Make loans of which those of 2,500 and of 7,000 exactly default, and those with a large amount for the income."""
    draw = np.random.default_rng(seed)
    income = np.exp(draw.normal(10, 0.7, count))
    amount = draw.integers(1, 30, count) * 500.0
    purpose, years = draw.integers(0, 3, count), draw.integers(0, 20, count)
    risk = -3 + 4 * (amount / income > 0.3) + 4 * np.isin(amount, [2_500, 7_000]) + (purpose == 2)
    labels = (draw.random(count) < 1 / (1 + np.exp(-risk))).astype(np.uint8)
    features = np.column_stack([income, purpose, amount, years]).astype(np.float32)
    features[draw.random(features.shape) < 0.02] = np.nan
    return features, labels


@pytest.fixture(scope="module")
def loans() -> tuple[Matrix, NDArray[np.uint8]]:
    """Give 4,000 loans."""
    return lend(3, 4_000)


@pytest.fixture(scope="module")
def pipeline(loans: tuple[Matrix, NDArray[np.uint8]]) -> Pipeline:
    """Give a fitted network of two members."""
    candidate = CANDIDATES["network"]
    return candidate.build(CONTRACT, {**candidate.parameters, "members": 2}, 0).fit(*loans)


@pytest.fixture(scope="module")
def content(pipeline: Pipeline) -> bytes:
    """Give its graph."""
    return export_graph(pipeline, CONTRACT)


@pytest.fixture(scope="module")
def graphs(content: bytes) -> dict[int, Graph]:
    """Open it with one thread and with two."""
    return {threads: Graph(content, threads, "network") for threads in (1, 2)}


@pytest.fixture(scope="module")
def places(content: bytes, pipeline: Pipeline) -> onnxruntime.InferenceSession:
    """Open it so that it gives the places, too."""
    model = onnx.load_from_string(content)
    # Each column's places come out of the one squeeze that it needs; later ones have a higher number in their name.
    found = [node.output[0] for node in model.graph.node if node.op_type == "Squeeze"]
    names = sorted(found, key=lambda name: int(name.removeprefix("Squeeze") or 0))
    assert len(names) == len(pipeline.named_steps["model"].places_)
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [None]) for name in names
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def test_it_knows_single_values(pipeline: Pipeline) -> None:
    """A risky amount is told from the ordinary one below it, and from an amount one float32 step beside it."""
    rows = np.repeat(np.array([[40_000, 0, 2_500, 5]], np.float32), 3, axis=0)
    rows[1, 2] = 2_000
    rows[2, 2] = np.nextafter(np.float32(2_500), np.float32(0))
    risky, ordinary, beside = pipeline.predict_proba(rows)[:, 1]
    assert risky > 2 * ordinary
    assert beside != risky


def test_no_number_leads_beyond_the_range(pipeline: Pipeline) -> None:
    """Amounts and incomes beyond those that were seen, up to the largest float32, count as the largest seen."""
    rows = np.repeat(np.array([[1e7, 0, 2_500, 5]], np.float32), 3, axis=0)
    rows[1:, 0] = [1e12, float(np.finfo(np.float32).max)]
    model: ValueNetwork = pipeline.named_steps["model"]
    (income,) = [places for places in model.places_ if places.column == 0]
    assert len(set(income.index(rows))) == 1
    assert np.isfinite(pipeline.predict_proba(np.vstack([rows, -rows]))).all()


def test_graph_equals_on_both_sides_of_each_place(
    pipeline: Pipeline, content: bytes, loans: tuple[Matrix, NDArray[np.uint8]]
) -> None:
    """Known values, edges of parts, and numerators at edges of ratios are tried a float32 step either side: proved."""
    features, _ = loans
    model: ValueNetwork = pipeline.named_steps["model"]
    assert model.ratios_
    rows = build_threshold_rows(pipeline, CONTRACT, features)
    for places in model.places_[: len(CONTRACT.features)]:
        if CONTRACT.features[places.column].is_numeric:
            assert np.isin(np.concatenate([places.known, places.edges]), rows[:, places.column]).all()
    proof = prove_equal(pipeline, Graph(content, 1, "network"), CONTRACT, features[:1_000])
    assert proof.thresholds == len(rows) // 3
    assert max(proof.largest, proof.largest_built) < 1e-6


NUMBERS = st.floats(width=32, allow_infinity=False) | st.sampled_from([0.0, -0.0, 3e38, -3e38, 500.0, 2_500.0, 1e-45])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=arrays(np.float32, st.tuples(st.integers(2, 9), st.just(4)), elements=NUMBERS))
def test_places_are_the_same(pipeline: Pipeline, places: onnxruntime.InferenceSession, rows: Matrix) -> None:
    """Any float32 row, gaps, extremes and unknown codes too: numpy and onnxruntime find the same places."""
    network: ValueNetwork = pipeline.named_steps["model"]
    expected = [one.index(network._widen(rows)) for one in network.places_]
    _, *found = places.run(None, {"features": rows})
    np.testing.assert_array_equal(np.array(found), np.array(expected))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=12), threads=st.sampled_from([1, 2]))
def test_no_split_shows(
    sizes: Sequence[int], threads: int, graphs: dict[int, Graph], loans: tuple[Matrix, NDArray[np.uint8]]
) -> None:
    """However loans are cut into chunks, with one thread or two: every answer keeps its bits."""
    features = loans[0][: sum(sizes)]
    whole = graphs[1].predict(features)
    ends = np.cumsum(sizes)[:-1]
    parts = [graphs[threads].predict(part) for part in np.split(features, ends[ends < len(features)])]
    np.testing.assert_array_equal(np.concatenate(parts).view(np.uint32), whole.view(np.uint32))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    units=st.integers(1, 200),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**32 - 1),
)
def test_sums_are_exact(widths: list[int], units: int, scale: float, seed: int) -> None:
    """Whatever the weights, and when every unit answers its most: float32 in any order gives what float64 gives."""
    draw = np.random.default_rng(seed)
    model = MLPClassifier((units, 8))
    shapes = [(sum(widths), units), (units, 8), (8, 1)]
    model.coefs_ = [scale * draw.standard_cauchy(shape) for shape in shapes]
    model.intercepts_ = [scale * draw.normal(size=shape[1]) for shape in shapes]
    layers = settle(model, [np.eye(width, dtype=np.float32) for width in widths])
    index = [np.append(draw.integers(0, width, 50), np.argmax(np.abs(table).sum(axis=1)))
             for width, table in zip(widths, layers.tables, strict=True)]  # fmt: skip
    exact = sum(table.astype(float)[places] for table, places in zip(layers.tables, index, strict=True))
    exact = np.maximum(exact, 0) @ layers.weights.astype(float) + layers.bias.astype(float)
    exact = np.rint(np.maximum(exact, 0)) @ layers.last.astype(float) + layers.offset
    order = draw.permutation(units)
    shuffled = type(layers)(tuple(table[:, order] for table in layers.tables[::-1]), layers.weights[order],
                            layers.bias, layers.last, layers.offset)  # fmt: skip
    for one, places in ((layers, index), (shuffled, index[::-1])):
        np.testing.assert_array_equal(one.answer(places).astype(float), exact[:, 0])


def test_rounding_costs_next_to_nothing(pipeline: Pipeline, loans: tuple[Matrix, NDArray[np.uint8]]) -> None:
    """The exact layers answer what scikit-learn's network answers, to a hundredth in log-odds."""
    model: ValueNetwork = pipeline.named_steps["model"]
    matrix = model._widen(loans[0])
    index = [places.index(matrix) for places in model.places_]
    told = [places.inputs(at) for places, at in zip(model.places_, index, strict=True)]
    inputs = np.column_stack([rows[at] for rows, at in zip(told, index, strict=True)])
    learnt = model._learn(inputs, loans[1], seed=0)
    said = learnt.predict_proba(inputs)[:, 1].astype(float)
    difference = settle(learnt, told).answer(index) - np.log(said / (1 - said))
    assert math.sqrt(np.mean(difference**2)) < 0.01


def test_nothing_is_learnt_from_loans_held_out() -> None:
    """Shuffling the labels of the loans that are not fitted on changes not one byte of what was fitted."""
    features, labels = lend(4, 800)
    train = np.arange(800) < 600
    shuffled = labels.copy()
    shuffled[~train] = np.random.default_rng(0).permutation(labels[~train])
    assert (shuffled != labels).any()
    graphs = []
    for known in (labels, shuffled):
        network = CANDIDATES["network"].build(CONTRACT, {"members": 2, "units": 8}, 0)
        graphs.append(export_graph(network.fit(features[train], known[train]), CONTRACT))
    assert graphs[0] == graphs[1]
