"""Node `promote`: the figures of all candidates gathered, the best published in the registry and put into production.

Run a second time (HTCondor may), it finds the version that it published before and goes on from there.
"""

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scoring.errors import ModelError, ProofError
from scoring.registry import GOLDEN, MODEL, Pin, list_versions, name_account, publish_version, read_manifest
from scoring.registry import promote as put_into_production
from training.choose import choose_best, decide_promotion
from training.findings import Conclusion, Evaluation, Fitted, ShardCounts, SplitFigures
from training.outcome import read_details, run_node
from training.request import RunRequest, read_request
from training.run_folder import SPLIT, evaluate_node, preprocess_node, train_node


@dataclass(frozen=True)
class Gathered:
    """What the nodes before found out."""

    shards: tuple[ShardCounts, ...]
    """Of each shard, in order."""
    split: SplitFigures
    """Of the split."""
    fitted: dict[str, Fitted]
    """By candidate."""
    evaluations: dict[str, Evaluation]
    """By candidate."""

    @property
    def rejected(self) -> dict[str, int]:
        """Rows of the whole history that broke the contract, by rule."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.rejected)
        return dict(sorted(total.items()))


def gather(request: RunRequest) -> Gathered:
    """Read what the nodes before found out.

    Raises LoansError when one of them is not done, ProofError when they did not all work on the same split.
    """
    outcome = request.layout.outcome
    gathered = Gathered(
        shards=tuple(read_details(outcome(preprocess_node(shard.number)), ShardCounts) for shard in request.shards),
        split=read_details(outcome(SPLIT), SplitFigures),
        fitted={name: read_details(outcome(train_node(name)), Fitted) for name in request.candidates},
        evaluations={name: read_details(outcome(evaluate_node(name)), Evaluation) for name in request.candidates},
    )
    foreign = [
        name
        for name in request.candidates
        if gathered.fitted[name].train_sha256 != gathered.split.train.sha256
        or gathered.evaluations[name].test_sha256 != gathered.split.test.sha256
    ]
    if foreign:
        raise ProofError(f"Not trained or not measured on this run's split: {', '.join(foreign)}.")
    return gathered


def publish_best(request: RunRequest, gathered: Gathered, best: Evaluation) -> Pin:
    """Publish the best candidate, unless an earlier attempt of this very run has done it.

    The version is named after run and candidate, so that a second attempt finds it. Raises ProofError when the graph is
    not the one that was measured, ModelError when a version of that name holds something else.
    """
    graph = request.layout.graph(best.candidate).read_bytes()
    golden = request.layout.golden(best.candidate).read_bytes()
    if (hashlib.sha256(graph).hexdigest(), hashlib.sha256(golden).hexdigest()) != (
        best.graph_sha256,
        best.golden_sha256,
    ):
        raise ProofError(f"The graph of candidate {best.candidate} is not the one that was measured.")
    models, version = Path(request.models), f"{request.run_id}-{best.candidate}"
    if version in list_versions(models):
        manifest, pin = read_manifest(models, version)
        if manifest.files[MODEL].sha256 != best.graph_sha256:
            raise ModelError(
                f"Version {version} was published before and holds another model.", "Start a new training run."
            )
        return pin
    fitted = gathered.fitted[best.candidate]
    return publish_version(
        models,
        version=version,
        candidate=best.candidate,
        contract=request.contract,
        files={MODEL: graph, GOLDEN: golden},
        metrics={name: msgspec.to_builtins(evaluation.metrics) for name, evaluation in gathered.evaluations.items()},
        parameters=fitted.parameters,
        training=_describe_training(request, gathered, best),
        packages=fitted.packages,
    )


def _describe_training(request: RunRequest, gathered: Gathered, best: Evaluation) -> dict[str, str]:
    train, test = gathered.split.train, gathered.split.test
    facts = {
        "run": request.run_id,
        "seed": request.seed,
        "held_out": request.held_out,
        "history_rows": sum(shard.rows_in for shard in gathered.shards),
        "history_rejected": sum(gathered.rejected.values()),
        "train_rows": train.rows,
        "train_defaults": train.defaults,
        "train_sha256": train.sha256,
        "test_rows": test.rows,
        "test_defaults": test.defaults,
        "test_sha256": test.sha256,
        "largest_difference": f"{max(best.proof.largest, best.proof.largest_built):.3g}",
    }
    return {name: str(value) for name, value in facts.items()}


def conclude(request: RunRequest) -> Conclusion:
    """Gather, choose, publish, and promote where the request says so."""
    gathered = gather(request)
    best = choose_best(tuple(gathered.evaluations.values()))
    pin = publish_best(request, gathered, best)
    decision = decide_promotion(best, request.promote)
    if decision.promote:
        put_into_production(
            Path(request.models), pin, by=name_account(), why=f"training run {request.run_id}: {decision.why}"
        )
    return Conclusion(
        version=pin.version,
        manifest_sha256=pin.manifest_sha256,
        candidate=best.candidate,
        candidates={name: evaluation.metrics for name, evaluation in gathered.evaluations.items()},
        promoted=decision.promote,
        why=decision.why,
        rows_in=sum(shard.rows_in for shard in gathered.shards),
        rejected=gathered.rejected,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.promote", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument(
        "--threads", type=int, default=1, help="taken for the sake of order: there is nothing to divide"
    )
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: conclude(read_request(options.request)))


if __name__ == "__main__":
    sys.exit(main())
