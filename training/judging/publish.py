"""The best candidate as a version: its files, and all that is known of where it came from."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scoring.errors import ModelError, ProofError
from scoring.models.registry import GOLDEN, MODEL, Pin, list_versions, now, publish_version, read_manifest
from training.card.facts import CardFacts, DataFacts, RunFacts
from training.card.model_card import make_card
from training.history.history_files import describe_history
from training.judging.champion import SET_ASIDE, SPLIT
from training.judging.choose import Decision, Verdict
from training.judging.out_of_fold import Gathered
from training.judging.policy_settings import make_policy
from training.records.environment import code_version
from training.records.findings import Evaluation, Fitted
from training.records.request import RunRequest


@dataclass(frozen=True)
class Exported:
    """The best candidate as its evaluate node left it."""

    graph: bytes
    """The graph, serialised."""
    golden: bytes
    """Golden rows with the graph's answers."""


def read_exported(request: RunRequest, best: Evaluation) -> Exported:
    """Read graph and golden rows of the best candidate. Raises ProofError when they are other ones than measured."""
    exported = Exported(
        request.layout.graph(best.candidate).read_bytes(), request.layout.golden(best.candidate).read_bytes()
    )
    found = (hashlib.sha256(exported.graph).hexdigest(), hashlib.sha256(exported.golden).hexdigest())
    if found != (best.graph_sha256, best.golden_sha256):
        raise ProofError(f"The graph of candidate {best.candidate} is not the one that was measured.")
    return exported


def publish_best(
    request: RunRequest, gathered: Gathered, best: Evaluation, exported: Exported, verdict: Verdict
) -> Pin:
    """Publish the best candidate, unless an earlier attempt of this very run has done it.

    The version is named after run and candidate, so that a second attempt finds it. Raises ModelError when a version of
    that name holds something else.
    """
    models, version = Path(request.models), name_version(request, best)
    if version in list_versions(models):
        manifest, pin = read_manifest(models, version)
        if manifest.files[MODEL].sha256 != best.graph_sha256:
            raise ModelError(
                f"Version {version} was published before and holds another model.", "Start a new training run."
            )
        return pin
    fitted = gathered.fitted[best.candidate]
    history, policy, created = describe_history(request), make_policy(request.policy, best.threshold), now()
    card = CardFacts(
        version=version,
        created=created,
        candidate=best.candidate,
        contract=request.contract,
        data=DataFacts(files=history, rejected=gathered.rejected, split=gathered.split),
        run=RunFacts(request.run_id, request.seed, request.held_out, request.folds, code_version()),
        evaluations=tuple(gathered.evaluations.values()),
        fitted=tuple(gathered.fitted.values()),
        promoted=verdict.decision.promote,
        why=verdict.decision.why,
        chosen=verdict.chosen,
        policy=policy,
        comparison=verdict.comparison,
    )
    return publish_version(
        models,
        version=version,
        candidate=best.candidate,
        contract=request.contract,
        created=created,
        files={MODEL: exported.graph, GOLDEN: exported.golden, **make_card(card)},
        metrics={name: _figures(evaluation) for name, evaluation in gathered.evaluations.items()},
        parameters=_describe_parameters(fitted),
        training=_describe_training(request, gathered, best, verdict.decision),
        packages=fitted.packages,
        policy=policy,
        validation={name: _validated(one) for name, one in gathered.fitted.items()},
        history=history,
    )


def name_version(request: RunRequest, best: Evaluation) -> str:
    """Name the version of a run's best candidate."""
    return f"{request.run_id}-{best.candidate}"


def _figures(evaluation: Evaluation) -> dict[str, float]:
    speed = {"threshold": evaluation.threshold, "rows_per_second": evaluation.rows_per_second}
    return {**msgspec.to_builtins(evaluation.metrics), **speed}


def _validated(fitted: Fitted) -> dict[str, float]:
    shown = fitted.validation
    return {
        "auc": shown.auc,
        "log_loss": shown.log_loss,
        "ece": shown.ece,
        "f1": shown.f1,
        "threshold": shown.threshold,
        "parameter_sets": len(shown.tried),
        "fit_seconds": fitted.fit_seconds,
    }


def _describe_parameters(fitted: Fitted) -> dict[str, str]:
    members = {f"weight of {name}": f"{weight:.4f}" for name, weight in fitted.members.items()}
    return {**fitted.parameters, **members, "calibration": fitted.validation.calibration}


def _describe_training(request: RunRequest, gathered: Gathered, best: Evaluation, decision: Decision) -> dict[str, str]:
    train, test = gathered.split.train, gathered.split.test
    largest = max(best.proof.largest, best.proof.largest_built) if best.proof else float("nan")
    facts = {
        "run": request.run_id,
        "code": code_version(),
        "seed": request.seed,
        "held_out": request.held_out,
        "split": SPLIT,
        "folds": request.folds,
        "history_rows": sum(shard.rows_in for shard in gathered.shards),
        "history_rejected": sum(gathered.rejected.values()),
        "train_rows": train.rows,
        "train_defaults": train.defaults,
        "train_sha256": train.sha256,
        "test_rows": test.rows,
        "test_defaults": test.defaults,
        "test_sha256": test.sha256,
        "largest_difference": f"{largest:.3g}",
        "decision": decision.why,
    }
    if gathered.split.set_aside:
        facts[SET_ASIDE] = " ".join(group.key for group in gathered.split.set_aside)
    return {name: str(value) for name, value in facts.items()}
