"""What was learnt as one graph: members, weights and calibration together give what Python gives."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline

from scoring.contract import Contract
from scoring.errors import ProofError
from scoring.models.graph_audit import audit_graph
from scoring.models.model import Graph
from training.graphs.export import export_graph
from training.graphs.joined_graph import export_learnt
from training.graphs.proof import TOLERANCE, build_golden_rows, prove_equal
from training.graphs.thresholds import build_threshold_rows
from training.history.labelled_loans import LabelledLoans
from training.learners.calibration import ISOTONIC, NONE, SIGMOID, Calibration, fit_calibration
from training.learners.fitting import fit_candidate
from training.learners.learnt import Learnt, LearntPipeline


@pytest.fixture(scope="module")
def members(contract: Contract, loans: LabelledLoans) -> tuple[Pipeline, ...]:
    """Fit the two classics once."""
    half = loans.take(np.arange(0, len(loans), 2))
    return tuple(fit_candidate(name, contract, half, 0)[0] for name in ("logistic", "tree"))


def other_half(loans: LabelledLoans) -> LabelledLoans:
    """Take the loans that no member was fitted on."""
    return loans.take(np.arange(1, len(loans), 2))


def test_what_a_graph_asks_for_stands_in_one_order(members: tuple[Pipeline, ...], contract: Contract) -> None:
    """Operator sets are sorted, so that the same pipeline gives the same bytes in another process as well."""
    for member in members:
        domains = [one.domain for one in onnx.load_from_string(export_graph(member, contract)).opset_import]
        assert domains == sorted(domains)
        assert len(domains) > 1


def test_one_member_alone_stays_as_it_is(members: tuple[Pipeline, ...], contract: Contract) -> None:
    """A single uncalibrated member is its own graph, byte for byte."""
    for member in members:
        assert export_learnt(Learnt((member,), (1.0,), Calibration()), contract) == export_graph(member, contract)


@pytest.mark.parametrize("kind", [NONE, SIGMOID, ISOTONIC])
@pytest.mark.parametrize("chosen", [(0,), (1,), (0, 1)])
def test_the_whole_is_proved(
    members: tuple[Pipeline, ...], contract: Contract, loans: LabelledLoans, kind: str, chosen: tuple[int, ...]
) -> None:
    """Single, blended, calibrated either way: the graph passes audit and export gate, its bytes do not vary."""
    unseen = other_half(loans)
    weights = (0.35, 0.65)[-len(chosen) :] if len(chosen) > 1 else (1.0,)
    bare = Learnt(tuple(members[at] for at in chosen), weights, Calibration())
    learnt = Learnt(bare.members, weights, fit_calibration(kind, bare.predict(unseen.features), unseen.labels))
    assert kind in (learnt.calibration.kind, NONE)
    content = export_learnt(learnt, contract)
    audit_graph(content, "joined")
    assert export_learnt(learnt, contract) == content
    graph = Graph(content, 1, "joined")
    proof = prove_equal(LearntPipeline(learnt), graph, contract, unseen.features, 0.4)
    print(f"{kind} {chosen}: {proof.largest:.2g}, {proof.largest_built:.2g}, {proof.thresholds} thresholds")
    assert max(proof.largest, proof.largest_built) < 5e-6
    expected = sum(len(build_threshold_rows(member, contract, unseen.features)) // 3 for member in learnt.members)
    assert proof.thresholds == expected
    assert len(build_golden_rows(LearntPipeline(learnt), contract, unseen.features)) > 40
    model = onnx.ModelProto.FromString(content)
    assert [(one.name) for one in model.graph.input] == ["features"]
    assert [(one.name) for one in model.graph.output] == ["pd"]


@st.composite
def curves(draw: st.DrawFn) -> Calibration:
    """Draw a curve as `fit_calibration` makes them, of any shape."""
    kind = draw(st.sampled_from([NONE, SIGMOID, ISOTONIC]))
    stream = np.random.default_rng(draw(st.integers(0, 2**32)))
    said = stream.beta(*draw(st.sampled_from([(0.4, 2.0), (2.0, 2.0), (0.2, 0.2)])), 3_000)
    power = draw(st.floats(0.1, 5))
    seen = (stream.random(3_000) < said**power).astype(np.uint8)
    return fit_calibration(kind, said, seen)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(curve=curves(), weight=st.floats(0.05, 0.95))
def test_any_curve_and_weights_agree(
    members: tuple[Pipeline, ...], contract: Contract, loans: LabelledLoans, curve: Calibration, weight: float
) -> None:
    """Whatever curve and weights: Python and graph differ by less than the gate accepts, and rank alike."""
    learnt = Learnt(members, (weight, 1 - weight), curve)
    graph = Graph(export_learnt(learnt, contract), 1, "joined")
    features = loans.features[:2_000]
    expected, given_ = learnt.predict(features), graph.predict(features).astype(np.float64)
    assert np.abs(expected - given_).max() < TOLERANCE / 2
    assert 0 <= given_.min() <= given_.max() <= 1
    plain = Graph(export_learnt(Learnt(members, learnt.weights, Calibration()), contract), 1, "plain")
    order = np.argsort(plain.predict(features), kind="stable")
    # Exactly rising: every term of the sum does.
    assert np.all(np.diff(given_[order]) >= 0)


def test_another_curve_does_not_pass(members: tuple[Pipeline, ...], contract: Contract, loans: LabelledLoans) -> None:
    """The gate sees calibration and weights: a graph with others is refused."""
    knots = ((0.0, 0.0), (0.5, 0.25), (1.0, 1.0))
    learnt = Learnt(members, (0.5, 0.5), Calibration(ISOTONIC, knots=knots))
    for other in (Learnt(members, (0.501, 0.499), learnt.calibration), Learnt(members, (0.5, 0.5), Calibration())):
        graph = Graph(export_learnt(other, contract), 1, "other")
        with pytest.raises(ProofError, match="differs from the trained one"):
            prove_equal(LearntPipeline(learnt), graph, contract, loans.features[:500])


@pytest.mark.parametrize("kind", [SIGMOID, ISOTONIC])
def test_a_loan_alone_is_scored_as_in_company(
    members: tuple[Pipeline, ...], contract: Contract, loans: LabelledLoans, kind: str
) -> None:
    """A row's probability does not hang on how many others are scored with it, to the last bit."""
    unseen = other_half(loans)
    bare = Learnt(members, (0.5, 0.5), Calibration())
    learnt = Learnt(members, bare.weights, fit_calibration(kind, bare.predict(unseen.features), unseen.labels))
    graph = Graph(export_learnt(learnt, contract), 1, "joined")
    whole = graph.predict(unseen.features)
    for size in (1, 2, 7, 64):
        starts = range(0, len(unseen), size)
        parts = [graph.predict(np.ascontiguousarray(unseen.features[at : at + size])) for at in starts]
        assert np.array_equal(np.concatenate(parts), whole)
