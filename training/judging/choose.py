"""Which candidate is the best, whether it replaces the champion, and why: pure decisions on measured figures.

The best is chosen by what candidates showed on loans of the train side that they were not fitted on, never by the
held-out loans: the highest of several figures on the same loans flatters whoever has it. The held-out loans judge the
chosen one alone, against the gates and the champion.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from scoring.errors import LoansError, ProofError
from training.learners.blend import BLEND
from training.records.findings import Comparison, Evaluation, Fitted, Segment, Validation
from training.records.request import CHANCE_FROM, Gates, PromoteMode

BLEND_MARGIN: Final = 0.0002
"""AUC that a blend must gain on the best single candidate: it costs its members' time at every scoring."""

EQUAL: Final = 0.002
"""Validation AUCs this close are equal: about a standard error on some 40,000 loans; then log loss decides."""


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The best candidate."""

    candidate: str
    """Its name."""
    why: str
    """The reason, in words."""


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a version goes into production."""

    promote: bool
    """Whether it does."""
    why: str
    """The reason, in words."""


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is told of the best candidate when it is published."""

    chosen: str
    """Why it is the best, in words."""
    decision: Decision
    """Whether it goes into production, and why."""
    comparison: Comparison | None
    """How it did against the champion; None when there was none, or they cannot be compared."""


def choose_best(
    evaluations: Sequence[Evaluation], fitted: Mapping[str, Fitted], min_rows_per_second: float = 0.0
) -> Choice:
    """Pick the best candidate, by its validation, of those that may be published and are fast enough.

    That is the one with the highest AUC; among those within EQUAL of it the one with the lowest log loss, then the
    first by name. A blend must gain BLEND_MARGIN in AUC on every single one. Raises LoansError, with a table, when no
    candidate is left, ProofError when they were not measured on the very same loans.
    """
    if not evaluations:
        raise LoansError("No candidate was evaluated.")
    if len({evaluation.test_sha256 for evaluation in evaluations}) > 1:
        raise ProofError("The candidates were measured on different loans and cannot be compared.")
    fast = [one for one in evaluations if not one.refused and one.rows_per_second >= min_rows_per_second]
    if not fast:
        raise _no_candidate(evaluations, min_rows_per_second)
    shown = {one.candidate: fitted[one.candidate].validation for one in fast}
    singles = {name: validation for name, validation in shown.items() if name != BLEND}
    why = []
    if BLEND in shown and singles:
        gain = shown[BLEND].auc - max(validation.auc for validation in singles.values())
        if gain >= BLEND_MARGIN:
            singles = {}
            why.append(f"it gains {gain:.4f} on the best single candidate")
        else:
            why.append(f"the blend gains {gain:+.4f} on the best single candidate, {BLEND_MARGIN:g} is asked for")
    rivals = singles or {BLEND: shown[BLEND]}
    best = _pick(rivals)
    why = [_describe_choice(best, rivals), *why]
    why += [f"not {one.candidate}: {_objection(one, min_rows_per_second)}" for one in evaluations if one not in fast]
    return Choice(best, "; ".join(why))


def _pick(shown: Mapping[str, Validation]) -> str:
    highest = max(validation.auc for validation in shown.values())
    equals = [name for name, validation in shown.items() if validation.auc >= highest - EQUAL]
    return min(equals, key=lambda name: (shown[name].log_loss, name))


def _describe_choice(best: str, shown: Mapping[str, Validation]) -> str:
    highest = max(shown, key=lambda name: shown[name].auc)
    measured = f"AUC on loans that it was not fitted on, {shown[best].auc:.4f}"
    if shown[best].auc == shown[highest].auc:
        return f"{best} has the best {measured}"
    return (
        f"{best} has, within {EQUAL:g}, the best {measured} against {shown[highest].auc:.4f} of {highest}, and the "
        f"lower log loss, {shown[best].log_loss:.4f} against {shown[highest].log_loss:.4f}"
    )


def _objection(one: Evaluation, min_rows_per_second: float) -> str:
    if one.refused:
        return f"it may not be published ({one.refused.rstrip('.')})"
    return f"it scores {one.rows_per_second:,.0f} rows a second, {min_rows_per_second:,.0f} are asked for"


def _no_candidate(evaluations: Sequence[Evaluation], min_rows_per_second: float) -> LoansError:
    width = max(len(one.candidate) for one in evaluations)
    lines = [
        f"  {one.candidate:<{width}}  AUC {one.metrics.auc:.4f}  {one.rows_per_second:>9,.0f} rows/s"
        + (f"  refused: {one.refused}" if one.refused else "")
        for one in sorted(evaluations, key=lambda one: -one.rows_per_second)
    ]
    if all(one.refused for one in evaluations):
        return LoansError("No candidate may be published: none passed the export gate.", "\n".join(lines))
    way_out = "Lower `min_rows_per_second` under [training] in the site file, or ask for a quicker candidate."
    return LoansError(
        f"No candidate scores the {min_rows_per_second:,.0f} rows a second on one core that are asked for.",
        "\n".join([*lines, way_out]),
    )


def decide_promotion(
    best: Evaluation,
    mode: PromoteMode,
    gates: Gates,
    champion: Comparison | str | None,
    lowest_ratios: Sequence[Segment] = (),
) -> Decision:
    """Decide whether the best candidate goes into production.

    `champion` is the comparison with the version in production, or in words why there can be none, or None where
    nothing is in production. `lowest_ratios` (see `segments.lowest_ratios`) are told and decide nothing.
    """
    measured = f"{best.candidate} has an AUC of {best.metrics.auc:.4f} on {best.rows:,} held-out loans"
    objections = [*_gate_objections(best, gates), *_champion_objections(gates, champion)]
    facts = [measured, *_describe_few(best, gates), *_describe_champion(champion), *map(_describe_ratio, lowest_ratios)]
    if mode is PromoteMode.NEVER:
        return Decision(promote=False, why="; ".join([*facts, "the run was asked not to promote", *objections]))
    if mode is PromoteMode.FORCE:
        forced = "the run was asked to promote whatever stands in production"
        ignored = [f"in spite of this: {'; '.join(objections)}"] if objections else []
        return Decision(promote=True, why="; ".join([*facts, forced, *ignored]))
    if objections:
        return Decision(promote=False, why="; ".join([*facts, f"it stays a challenger: {'; '.join(objections)}"]))
    return Decision(promote=True, why="; ".join(facts))


def accepted_error(best: Evaluation, gates: Gates) -> float:
    """Give the calibration error that is accepted: the site's, or, from CHANCE_FROM on, as much as chance makes."""
    return gates.max_ece if gates.max_ece < CHANCE_FROM else max(gates.max_ece, round(best.chance_ece, 4))


def _describe_few(best: Evaluation, gates: Gates) -> list[str]:
    if not gates.max_ece < best.metrics.ece <= accepted_error(best, gates):
        return []
    told = f"{best.metrics.ece:.4f} is no more than chance makes on so few loans ({best.chance_ece:.4f})"
    return [f"its expected calibration error of {told}"]


def _gate_objections(best: Evaluation, gates: Gates) -> list[str]:
    objections = []
    if not best.metrics.auc >= gates.min_auc:
        objections.append(f"its AUC is {best.metrics.auc:.4f}, at least {gates.min_auc:g} is asked for")
    largest = accepted_error(best, gates)
    if not best.metrics.ece <= largest:
        objections.append(f"its expected calibration error is {best.metrics.ece:.4f}, at most {largest:g} is accepted")
    return objections


def _champion_objections(gates: Gates, champion: Comparison | str | None) -> list[str]:
    if champion is None:
        return []
    if isinstance(champion, str):
        return [champion]
    objections = []
    if not champion.auc_gain >= gates.margin_auc:
        objections.append(f"it gains {champion.auc_gain:+.4f} AUC on the champion, {gates.margin_auc:g} is asked for")
    if not champion.gain.low > 0:
        objections.append(
            f"that gain is within noise (95 % interval {champion.gain.low:+.4f} to {champion.gain.high:+.4f})"
        )
    return objections


def _describe_champion(champion: Comparison | str | None) -> list[str]:
    if champion is None:
        return ["nothing was in production"]
    if isinstance(champion, str):
        return []
    gain = champion.gain
    told = (
        f"the champion {champion.champion} has {champion.metrics.auc:.4f} on the same loans, a gain of "
        f"{champion.auc_gain:+.4f} (95 % interval {gain.low:+.4f} to {gain.high:+.4f})"
    )
    if not champion.fresh:
        told += "; the champion may have been fitted on some of these loans, which favours it"
    return [told]


def _describe_ratio(lowest: Segment) -> str:
    return f"lowest approval ratio by {lowest.column}: {lowest.approval_ratio:.2f} ({lowest.group})"
