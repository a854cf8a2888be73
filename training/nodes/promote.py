"""Node `promote`: all candidates' figures gathered, the best published, and put into production if it deserves it.

Run a second time (HTCondor may), it finds the version that it published before and goes on from there.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.errors import ModelError, ProofError
from scoring.models.production import (
    ProductionMovedError,
    UnexplainedPromotionError,
    find_production,
    name_account,
    read_log,
)
from scoring.models.production import promote as put_into_production
from scoring.models.registry import Pin
from training.history.labelled_loans import LabelledLoans, load_loans
from training.judging.champion import compare_champion
from training.judging.choose import Decision, Verdict, choose_best, decide_promotion
from training.judging.out_of_fold import gather
from training.judging.publish import Exported, name_version, publish_best, read_exported
from training.judging.segments import lowest_ratios
from training.records.environment import limit_threads
from training.records.findings import Comparison, Conclusion, Evaluation
from training.records.outcome import run_node
from training.records.request import PromoteMode, RunRequest, read_request

ATTEMPTS = 3
"""How often the champion is compared anew when somebody promotes another one meanwhile."""


@dataclass(frozen=True)
class Weighed:
    """The best candidate against the champion of the moment."""

    champion: Pin | None
    """What was in production; None when nothing was, or the pointer does not read or is not explained by the log."""
    comparison: Comparison | None
    """How both did on the same loans, where they can be compared."""
    decision: Decision
    """Whether the best goes into production, and why."""


def weigh(request: RunRequest, best: Evaluation, exported: Exported) -> Weighed:
    """Compare the best candidate with what is in production, and decide.

    Where an earlier attempt of this very run has promoted it already, with what was in production before that.
    """
    models = Path(request.models)
    champion: Pin | None = None
    found: Comparison | str | None = None
    try:
        champion = find_champion(models, name_version(request, best))
    except ModelError as error:
        found = f"it cannot be compared with the champion: {error.what.rstrip('.')}"
    if champion is not None:
        loans = load_loans(request.layout.test)
        found = compare_champion(models, champion, request, loans, _predict(exported, best, loans))
    lowest = tuple(lowest_ratios(best.segments).values())
    decision = decide_promotion(best, request.promote, request.gates, found, lowest)
    return Weighed(champion, found if isinstance(found, Comparison) else None, decision)


def _predict(exported: Exported, best: Evaluation, loans: LabelledLoans) -> NDArray[np.float32]:
    if loans.digest() != best.test_sha256:
        raise ProofError("The held-out loans are not those that the candidates were measured on.")
    from scoring.models.model import Graph

    return Graph(exported.graph, 1, f"of candidate {best.candidate}").predict(loans.features)


def find_champion(models: Path, version: str) -> Pin | None:
    """Tell which version stands or stood in production before `version`; None when none did.

    Raises ModelError when the pointer does not read, or no logged promotion explains it.
    """
    promotion = find_production(models)
    if promotion is None or promotion.pin.version != version:
        return promotion.pin if promotion else None
    earlier = [entry for entry in read_log(models).entries if entry.to.version == version]
    return earlier[0].replaced if earlier else promotion.replaced


def conclude(request: RunRequest) -> Conclusion:
    """Gather, choose, compare with the champion, publish, and promote where that is deserved."""
    gathered = gather(request)
    choice = choose_best(tuple(gathered.evaluations.values()), gathered.fitted, request.min_rows_per_second)
    best = gathered.evaluations[choice.candidate]
    exported = read_exported(request, best)
    for attempt in range(1, ATTEMPTS + 1):
        weighed = weigh(request, best, exported)
        pin = publish_best(request, gathered, best, exported, Verdict(choice.why, weighed.decision, weighed.comparison))
        try:
            if weighed.decision.promote:
                _promote(request, pin, weighed)
            break
        except ProductionMovedError:
            if attempt == ATTEMPTS:
                raise
    return Conclusion(
        version=pin.version,
        manifest_sha256=pin.manifest_sha256,
        candidate=best.candidate,
        candidates={name: evaluation.metrics for name, evaluation in gathered.evaluations.items()},
        promoted=weighed.decision.promote,
        why=weighed.decision.why,
        comparison=weighed.comparison,
        rows_in=sum(shard.rows_in for shard in gathered.shards),
        rejected=gathered.rejected,
        chosen_because=choice.why,
        lowest_ratios=tuple(lowest_ratios(best.segments).values()),
    )


def _promote(request: RunRequest, pin: Pin, weighed: Weighed) -> None:
    """Put the version into production, unless it is there; only what it was compared with is replaced."""
    models = Path(request.models)
    with suppress(UnexplainedPromotionError):  # a pointer that nobody promoted counts for nothing
        promotion = find_production(models)
        if promotion is not None and promotion.pin == pin:
            return
    why = f"training run {request.run_id}: {weighed.decision.why}"
    if request.promote is PromoteMode.FORCE:
        put_into_production(models, pin, by=name_account(), why=why)
    else:
        put_into_production(models, pin, by=name_account(), why=why, expected=weighed.champion)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.nodes.promote", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    limit_threads(options.threads)
    return run_node(options.node, options.outcome, lambda: conclude(read_request(options.request)))


if __name__ == "__main__":
    sys.exit(main())
