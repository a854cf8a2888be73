"""Node `evaluate`: one candidate as ONNX, proved equal to scikit-learn, measured through the graph on unseen loans.

What is measured is what will be published: the figures come from the graph, through the call that scoring uses. A
candidate that cannot be exported, or whose graph differs, ends nobody's run: it is measured through scikit-learn, says
why it must not be published, and leaves empty files in place of graph and golden rows.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoring.atomic import write_bytes
from scoring.errors import ModelError, ProofError
from scoring.models.golden import seal_golden
from scoring.models.model import Graph
from training.graphs.joined_graph import export_learnt
from training.graphs.proof import build_golden_rows, prove_equal
from training.history.labelled_loans import LabelledLoans, load_loans
from training.history.loan_hash import hash_loans
from training.judging.auc_error import find_auc_error
from training.judging.bootstrap import find_chance_error, find_intervals
from training.judging.metrics import draw_curves, measure
from training.judging.policy_settings import make_policy
from training.judging.segments import measure_importance, measure_segments
from training.judging.throughput import measure_rows_per_second
from training.learners.learnt import Learnt, LearntPipeline, load_fitted
from training.records.environment import limit_threads
from training.records.findings import Evaluation, Fitted, Proof
from training.records.outcome import read_details, run_node
from training.records.request import RunRequest, read_request


@dataclass(frozen=True)
class Exported:
    """A candidate as it can be published."""

    content: bytes
    """The graph, serialised."""
    golden: bytes
    """Golden rows with the graph's answers."""
    graph: Graph
    """The graph, opened."""
    proof: Proof
    """How far it is from scikit-learn."""
    rows_per_second: float
    """CSV to CSV on one core (rows a second)."""


def export_candidate(
    learnt: Learnt, fitted: Fitted, request: RunRequest, loans: LabelledLoans, threads: int
) -> Exported:
    """Export what was learnt, prove it on held-out loans and built rows, and measure its speed.

    Raises ModelError when it cannot be exported, ProofError when the graph differs from scikit-learn.
    """
    contract, threshold = request.contract, fitted.validation.threshold
    content = export_learnt(learnt, contract)
    graph = Graph(content, threads, f"of candidate {fitted.candidate}")
    whole = LearntPipeline(learnt)
    proof = prove_equal(whole, graph, contract, loans.features, threshold)
    golden = seal_golden(build_golden_rows(whole, contract, loans.features), graph.predict)
    policy = make_policy(request.policy, threshold)
    return Exported(content, golden, graph, proof, measure_rows_per_second(content, golden, contract, loans, policy))


def evaluate_candidate(
    learnt: Learnt, fitted: Fitted, request: RunRequest, loans: LabelledLoans, threads: int
) -> tuple[bytes, bytes, Evaluation]:
    """Export a fitted candidate and measure it on held-out loans; give graph, golden rows and figures."""
    contract, threshold, seed = request.contract, fitted.validation.threshold, request.seed
    exported, refused = None, ""
    try:
        exported = export_candidate(learnt, fitted, request, loans, threads)
        default = exported.graph.predict(loans.features)
    except (ModelError, ProofError) as error:
        refused = error.what
        default = learnt.predict(loans.features).astype(np.float32)
    evaluation = Evaluation(
        candidate=fitted.candidate,
        rows=len(loans),
        test_sha256=loans.digest(),
        threshold=threshold,
        metrics=measure(default, loans.labels, threshold),
        intervals=find_intervals(default, loans.labels, threshold, seed=seed),
        chance_ece=find_chance_error(default, seed=seed),
        segments=measure_segments(contract, loans, default, threshold),
        curves=draw_curves(default, loans.labels),
        importance=measure_importance(exported.graph.predict, contract, loans, seed) if exported else (),
        rows_per_second=round(exported.rows_per_second, 1) if exported else 0.0,
        proof=exported.proof if exported else None,
        graph_sha256=hashlib.sha256(exported.content).hexdigest() if exported else "",
        golden_sha256=hashlib.sha256(exported.golden).hexdigest() if exported else "",
        refused=refused,
        auc_error=find_auc_error(default, loans.labels, hash_loans(loans.features, 0)),
    )
    return (exported.content, exported.golden, evaluation) if exported else (b"", b"", evaluation)


def evaluate(options: argparse.Namespace) -> Evaluation:
    """Do the node's work: the pickle of this run in, graph and figures out."""
    limit_threads(options.threads)
    request = read_request(options.request)
    fitted = read_details(options.trained, Fitted)
    learnt = load_fitted(options.fitted, fitted, request.run_id)
    loans = load_loans(options.loans)
    graph, golden, evaluation = evaluate_candidate(learnt, fitted, request, loans, options.threads)
    write_bytes(options.graph, graph)
    write_bytes(options.golden, golden)
    return evaluation


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.nodes.evaluate", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--trained", type=Path, required=True, help="outcome of the candidate's train node")
    parser.add_argument("--fitted", type=Path, required=True)
    parser.add_argument("--loans", type=Path, required=True)
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: evaluate(options), (options.graph, options.golden))


if __name__ == "__main__":
    sys.exit(main())
