"""What the nodes of a run found out, read together before the best candidate is chosen."""

from collections import Counter
from dataclasses import dataclass

from scoring.errors import ProofError
from training.records.findings import Evaluation, Fitted, ShardCounts, SplitFigures
from training.records.outcome import read_details
from training.records.request import RunRequest
from training.records.run_folder import SPLIT, evaluate_node, preprocess_node, train_node


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
