"""Node `evaluate`: one candidate as ONNX, proved equal to scikit-learn, measured through the graph on unseen loans.

What is measured is what will be published: the figures come from the graph, through the call that scoring uses.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoring.atomic import write_bytes
from scoring.contract import Contract
from scoring.golden import seal_golden
from scoring.model import Graph
from training.export import export_graph
from training.findings import Evaluation, Fitted, Metrics
from training.golden_rows import build_golden_rows
from training.labelled_loans import LabelledLoans, load_loans
from training.outcome import read_details, run_node
from training.proof import prove_equal
from training.request import read_request
from training.threads import limit_threads
from training.train import load_fitted

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

THRESHOLD = 0.5
"""From this probability of default on, a loan counts as called a default."""


def measure(default: NDArray[np.float32], labels: NDArray[np.uint8]) -> Metrics:
    """Measure probabilities of default, (loans,), against labels, (loans,), 1 = default; both outcomes must occur."""
    from sklearn.metrics import brier_score_loss, log_loss, precision_recall_fscore_support, roc_auc_score

    exact = default.astype(np.float64)
    called = exact >= THRESHOLD
    precision, recall, f1, _ = precision_recall_fscore_support(labels, called, average="binary", zero_division=0.0)
    return Metrics(
        auc=float(roc_auc_score(labels, exact)),
        accuracy=float((called == labels).mean()),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        log_loss=float(log_loss(labels, exact)),
        brier=float(brier_score_loss(labels, exact)),
    )


def evaluate_candidate(
    pipeline: "Pipeline", fitted: Fitted, contract: Contract, loans: LabelledLoans, threads: int
) -> tuple[bytes, bytes, Evaluation]:
    """Export a fitted candidate, prove the graph equal, measure it on held-out loans; give graph, golden rows, figures.

    Raises ModelError when it cannot be exported, ProofError when the graph differs from scikit-learn.
    """
    content = export_graph(pipeline, contract)
    graph = Graph(content, threads, f"of candidate {fitted.candidate}")
    proof = prove_equal(pipeline, graph, contract, loans.features)
    golden = seal_golden(build_golden_rows(pipeline, contract, loans.features), graph.predict)
    return (
        content,
        golden,
        Evaluation(
            candidate=fitted.candidate,
            rows=len(loans),
            test_sha256=loans.digest(),
            metrics=measure(graph.predict(loans.features), loans.labels),
            proof=proof,
            graph_sha256=hashlib.sha256(content).hexdigest(),
            golden_sha256=hashlib.sha256(golden).hexdigest(),
        ),
    )


def evaluate(options: argparse.Namespace) -> Evaluation:
    """Do the node's work: the pickle of this run in, graph and figures out."""
    limit_threads(options.threads)
    request = read_request(options.request)
    fitted = read_details(options.trained, Fitted)
    pipeline = load_fitted(options.fitted, fitted, request.run_id)
    loans = load_loans(options.loans)
    graph, golden, evaluation = evaluate_candidate(pipeline, fitted, request.contract, loans, options.threads)
    write_bytes(options.graph, graph)
    write_bytes(options.golden, golden)
    return evaluation


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.evaluate", description=__doc__)
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
