"""Coded trees: features found by rule from the loans fitted on, the same in scikit-learn and in the graph."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scoring.contract import Column, Contract, Role, Type
from scoring.models.model import Graph
from training.features.search import cross_fit_codes
from training.graphs.export import export_graph
from training.graphs.proof import prove_equal
from training.learners.boosting import CodedBoosting
from training.learners.candidates import CANDIDATES
from training.learners.forest import CodedForest

INCOME, AMOUNT, SHARE, YEARS = (
    Column(name, Role.FEATURE, Type.NUMBER) for name in ("income", "amount", "share", "years")
)
PURPOSE = Column("purpose", Role.FEATURE, Type.CATEGORY, categories=("car", "house", "boat"))
REGION = Column("region", Role.FEATURE, Type.CATEGORY, categories=("north", "south"))
CONTRACT = Contract(1, "another lender", (INCOME, PURPOSE, AMOUNT, YEARS, REGION))

Fitted = tuple[CodedBoosting, onnxruntime.InferenceSession]


def lend(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Make loans whose default hangs on amount/income and on purpose and region together; with gaps."""
    draw = np.random.default_rng(seed)
    income = np.exp(draw.normal(10, 0.7, count))
    amount = draw.integers(1, 30, count) * 500.0
    purpose, region, years = draw.integers(0, 3, count), draw.integers(0, 2, count), draw.integers(0, 20, count)
    risk = -3 + 4 * (amount / income > 0.3) + 1.5 * ((purpose + region) % 2)
    labels = (draw.random(count) < 1 / (1 + np.exp(-risk))).astype(np.uint8)
    features = np.column_stack([income, purpose, amount, years, region]).astype(np.float32)
    features[draw.random(features.shape) < 0.02] = np.nan
    return features, labels


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    """Give a fitted boosting, and a session that gives the matrix which its trees ask."""
    features, labels = lend(3, 3_000)
    pipeline = CANDIDATES["boosting"].build(CONTRACT, {"members": 1, "trees": 5}, 0).fit(features, labels)
    model = onnx.load_from_string(export_graph(pipeline, CONTRACT))
    (trees,) = [node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor"]
    model.graph.output.append(onnx.helper.make_tensor_value_info(trees.input[0], onnx.TensorProto.FLOAT, [None, None]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return pipeline.named_steps["model"], onnxruntime.InferenceSession(model.SerializeToString(), options)


def test_features_are_found_by_rule(fitted: Fitted) -> None:
    """Amount against income, and purpose with region, prove themselves; income, which never comes back, has no code."""
    model, _ = fitted
    assert any({0, 2} <= set(ratio.columns) for ratio in model.ratios_)
    positions = [model.columns_[place].position for grouping in model.groupings_ for place in grouping.columns]
    assert 0 not in positions
    pairs = [{model.columns_[place].position for place in grouping.columns} for grouping in model.groupings_]
    assert {1, 4} in pairs


NUMBERS = st.floats(width=32, allow_infinity=False) | st.sampled_from([0.0, -0.0, 3e38, -3e38, 500.0, 1e-45])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=arrays(np.float32, st.tuples(st.integers(2, 9), st.just(5)), elements=NUMBERS))
def test_features_are_the_same_to_the_bit(fitted: Fitted, rows: np.ndarray) -> None:
    """Any float32 row, gaps, extremes and unknown codes too: numpy and onnxruntime ask the trees the same numbers."""
    model, session = fitted
    _, matrix = session.run(None, {"features": rows})
    expected = model.encode(rows)
    gap = np.isnan(expected)
    assert (gap == np.isnan(matrix)).all()
    assert (expected.view(np.uint32)[~gap] == matrix.view(np.uint32)[~gap]).all()


def test_nothing_is_learnt_from_loans_held_out() -> None:
    """Shuffling the labels of the loans that are not fitted on changes not one byte of what was fitted."""
    features, labels = lend(4, 800)
    train = np.arange(800) < 600
    shuffled = labels.copy()
    shuffled[~train] = np.random.default_rng(0).permutation(labels[~train])
    assert (shuffled != labels).any()
    graphs = []
    for known in (labels, shuffled):
        pipeline = CANDIDATES["boosting"].build(CONTRACT, {"members": 2, "trees": 5}, 0)
        graphs.append(export_graph(pipeline.fit(features[train], known[train]), CONTRACT))
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize("kind", [CodedBoosting, CodedForest])
def test_a_member_is_not_told_a_loans_own_label(
    kind: type[CodedBoosting | CodedForest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turning one loan's label round leaves the codes that stand for this loan while fitting as they are."""
    features, labels = lend(6, 400)
    seen: list[np.ndarray] = []

    def watch(*arguments: Any) -> np.ndarray:
        seen.append(cross_fit_codes(*arguments))
        return seen[-1]

    monkeypatch.setattr("training.learners.coded_trees.cross_fit_codes", watch)
    # Folds balance the outcomes; held to one draw, only what the label itself does is left.
    folds = np.arange(400) % 5
    monkeypatch.setattr("training.learners.coded_trees.draw_folds", lambda *_: folds)
    for turned in (False, True):
        known = labels.copy()
        known[7] ^= turned
        kind(CONTRACT, members=1, trees=2, ratios=0, pairs=0).fit(features, known)
    before, after = seen
    assert (before[folds == folds[7]] == after[folds == folds[7]]).all()
    assert (before != after).any()


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """Draw a contract of one to six columns of either kind."""
    numeric = draw(st.lists(st.booleans(), min_size=1, max_size=6))
    return Contract(
        1,
        "drawn",
        tuple(
            Column(f"number {place}", Role.FEATURE, Type.NUMBER)
            if one
            else Column(f"category {place}", Role.FEATURE, Type.CATEGORY, categories=("a", "b", "c"))
            for place, one in enumerate(numeric)
        ),
    )


def fill(contract: Contract, stream: np.random.Generator, count: int) -> np.ndarray:
    """Fill columns with codes, whole numbers, fine numbers, extremes, one value or none; with gaps."""
    columns = []
    for column in contract.features:
        kinds = [
            stream.integers(0, 9, count) * 1.0,
            stream.normal(size=count),
            stream.choice([3e38, -3e38, 0.0, -0.0, 1e-40], count),
            np.full(count, 4.0),
            np.full(count, np.nan),
        ]
        values = kinds[stream.integers(len(kinds))] if column.is_numeric else stream.integers(0, 4, count) * 1.0
        columns.append(np.where(stream.random(count) < 0.05, np.nan, values))
    return np.column_stack(columns).astype(np.float32)


@settings(deadline=None, max_examples=8, derandomize=True)
@given(contract=contracts(), seed=st.integers(0, 2**32 - 1))
def test_any_contract_exports_and_proves(contract: Contract, seed: int) -> None:
    """Every candidate learns from 300 loans of any contract, and its graph is proved equal on loans and built rows."""
    stream = np.random.default_rng(seed)
    features = fill(contract, stream, 300)
    labels = stream.permutation(np.arange(300) % 4 == 0).astype(np.uint8)
    for name, candidate in CANDIDATES.items():
        small = {"members": 2, "trees": 6} if {"members", "trees"} <= set(candidate.parameters) else {}
        pipeline = candidate.build(contract, {**candidate.parameters, **small}, 1)
        with np.errstate(all="ignore"):
            pipeline.fit(features, labels)
        prove_equal(pipeline, Graph(export_graph(pipeline, contract), 1, name), contract, features[:100])
