"""What a reader of a model card has to know besides the figures: findings to look at, and limits in honest words.

Everything here is derived from the facts alone. A finding is something that a person should look at; it is no verdict.
"""

import math
from collections.abc import Iterator

from scoring.contract import Policy as ContractPolicy
from training.card.facts import CardFacts
from training.card.words import count, figure, listed, percent, plural, signed
from training.records.auc_gap import describe_gaps
from training.records.findings import EqualGroup, Segment

FOUR_FIFTHS = 0.8
"""Adverse impact ratio under which a selection is looked at (EEOC Uniform Guidelines, 29 CFR 1607.4 D, 1978)."""

FEW_LOANS = 100
"""A group of fewer loans says little."""

FEW_OUTCOMES = 10
"""A group with fewer loans of either outcome says little of its error and its AUC."""

CLEAR = 3.0
"""Standard errors from which a group's share of defaults is told apart from the one foretold: with some thirty groups,
one false alarm in a dozen cards."""


def find_findings(facts: CardFacts) -> tuple[str, ...]:
    """List what somebody should look at, most serious first; empty when nothing stands out."""
    return (*_group_findings(facts), *_candidate_findings(facts), *_champion_findings(facts), *_data_findings(facts))


def is_small(segment: Segment) -> bool:
    """Tell whether a group holds too few loans, or too few of one outcome, to say much."""
    return segment.rows < FEW_LOANS or min(segment.defaults, segment.rows - segment.defaults) < FEW_OUTCOMES


def is_adverse(segment: Segment) -> bool:
    """Tell whether a group's approval ratio is under four fifths; said of groups with enough loans only."""
    return segment.rows >= FEW_LOANS and segment.approval_ratio < FOUR_FIFTHS


def misses(segment: Segment) -> bool:
    """Tell whether the share of defaults seen in a group is clearly another one than was foretold."""
    return segment.rows >= FEW_LOANS and _is_off(segment.defaults, segment.rows, segment.mean_pd)


def _is_off(defaults: int, rows: int, pd: float) -> bool:
    error = math.sqrt(max(pd * (1 - pd), 1e-12) / rows)
    return abs(defaults / rows - pd) > CLEAR * error


def _group_findings(facts: CardFacts) -> Iterator[str]:
    for segment in sorted(facts.winner.segments, key=lambda one: not one.monitor):
        if is_adverse(segment):
            seen = "which the model never sees" if segment.monitor else "which the model sees"
            yield (
                f"{segment.column} ({seen}), group {segment.group}: {percent(segment.approved)} of its "
                f"{plural(segment.rows, 'loan')} would be approved, {figure(segment.approval_ratio, 2)} of the share "
                "of the group approved most. Under 0.80, the four-fifths rule asks somebody to look into the reason; "
                f"{percent(segment.defaults / segment.rows)} of the group defaulted."
            )
    for segment in facts.winner.segments:
        if misses(segment):
            way = "more" if segment.defaults / segment.rows > segment.mean_pd else "less"
            yield (
                f"{segment.column}, group {segment.group}: {percent(segment.defaults / segment.rows)} of "
                f"{plural(segment.rows, 'loan')} defaulted, clearly {way} than the {percent(segment.mean_pd)} foretold."
            )


def _candidate_findings(facts: CardFacts) -> Iterator[str]:
    auc = facts.winner.metrics.auc
    interval = facts.winner.intervals.get("auc")
    others = [one for one in facts.evaluations if one.candidate != facts.candidate]
    better = [one.candidate for one in others if one.metrics.auc > auc]
    if better:
        yield (
            f"{listed(better)} ranked the held-out loans better than the winner. The choice rests on loans of the "
            "train side, and on what a candidate costs; these loans had no say in it."
        )
    close = [one.candidate for one in others if interval and interval.low <= one.metrics.auc <= auc]
    if close:
        yield (
            f"The AUC of {listed(close)} lies within the winner's 95 % interval: on other loans the order could be "
            "another one."
        )
    restless = [one.candidate for one in facts.fitted if not one.converged]
    if restless:
        yield f"Fitting of {listed(restless)} did not come to rest within its iterations."
    gaps = describe_gaps(facts.gaps)
    if gaps:
        yield gaps
    for group in facts.data.split.set_aside:
        predicted = facts.learnt.set_aside_pd.get(group.key)
        if predicted is not None and _is_off(group.defaults, group.rows, predicted):
            yield (
                f"{count(group.rows)} loans with equal features, which no figure covers: "
                f"{percent(group.defaults / group.rows)} of them defaulted, the model gives {percent(predicted)}."
            )


def _champion_findings(facts: CardFacts) -> Iterator[str]:
    comparison = facts.comparison
    if comparison is None:
        return
    if not comparison.fresh:
        yield (
            f"The champion {comparison.champion} may have been fitted on some of the loans on which the two were "
            "compared: its figures may be flattered."
        )
    if comparison.gain.low <= 0:
        yield (
            f"The gain of {signed(comparison.auc_gain)} in AUC over {comparison.champion} may be chance: its 95 % "
            f"interval goes from {signed(comparison.gain.low)} to {signed(comparison.gain.high)}."
        )


def _data_findings(facts: CardFacts) -> Iterator[str]:
    rejected, rows = facts.data.loans_rejected, facts.data.loans_in
    if rows and rejected / rows > 0.01:
        yield (
            f"{count(rejected)} of {count(rows)} rows of the history "
            f"({percent(rejected / rows)}) broke the contract and were left out: if they differ from the "
            "rest, the model does not know it."
        )


def find_limits(facts: CardFacts) -> tuple[str, ...]:
    """List what the figures do not show, in words."""
    return (
        *_population_limits(facts),
        *_equal_limits(facts),
        *_group_limits(facts),
        *_use_limits(facts),
        *facts.limits,
    )


def _population_limits(facts: CardFacts) -> Iterator[str]:
    test = facts.data.split.test
    names = listed([file.name for file in facts.data.files])
    yield (
        f"Tested on {plural(test.rows, 'loan')} of the same source as those it learnt from ({names}). On loans of "
        "another lender, product, country or way of selling it was not tested."
    )
    yield (
        "The history holds loans whose end is known. If it holds granted loans only, as histories do, nothing is known "
        "of applicants who were refused; they may default more often than applicants who look alike."
    )
    yield (
        "The contract names no column that says when a loan was made, so the held-out loans were drawn at random from "
        "the same time: how the model fares as times, prices or rules change was not tested."
    )
    yield (
        "The intervals say how far a figure moves when other loans of the same source are drawn. They do not hold what "
        "another fit, other times or wrong labels would change."
    )


def _equal_limits(facts: CardFacts) -> Iterator[str]:
    groups = facts.data.split.set_aside
    if groups:
        rows = sum(group.rows for group in groups)
        yield (
            f"{count(rows)} of the {plural(facts.data.split.train.rows, 'loan')} learnt from "
            f"({percent(rows / facts.data.split.train.rows)}) lie in {plural(len(groups), 'large group')} with equal "
            "features in every column. Equal loans are never divided between learning and testing, so every fit learnt "
            "from these, and no figure on this card covers them. Of each group, the share that defaulted and the "
            f"probability that the model gives: {listed([_describe_group(facts, group) for group in groups])}."
        )


def _describe_group(facts: CardFacts, group: EqualGroup) -> str:
    predicted = facts.learnt.set_aside_pd.get(group.key)
    return f"{percent(group.defaults / group.rows)} of {count(group.rows)} ({percent(predicted)})"


def _group_limits(facts: CardFacts) -> Iterator[str]:
    small = [f"{one.column} {one.group} ({count(one.rows)})" for one in facts.winner.segments if is_small(one)]
    if small:
        yield (
            f"Groups of fewer than {FEW_LOANS} held-out loans, or fewer than {FEW_OUTCOMES} of one outcome, say "
            f"little; their figures are shown and not judged: {listed(small)}."
        )
    monitors = [column.name for column in facts.contract.monitors]
    if monitors:
        yield (
            f"The model never sees {listed(monitors)}. Columns that it does see may stand in for them all the same; "
            "the figures by group show the effect, not the way it comes about."
        )
    else:
        yield (
            "No column of the contract is declared as monitor-only (age, sex, ...): how the model treats such groups "
            "was not tested."
        )


def _use_limits(facts: CardFacts) -> Iterator[str]:
    yield (
        "What the model leans on is not what causes a default: an applicant whose value changes need not become a "
        "better or a worse risk. Columns that say much the same share the credit, and either alone may look "
        "unimportant."
    )
    ranged = [
        column.name for column in facts.contract.features if column.minimum is not None or column.maximum is not None
    ]
    if ranged:
        yield (
            f"Values outside the contract's range ({listed(ranged)}) are rejected, not scored; within it, few or no "
            "loans may have been near its ends."
        )
    open_ended = [
        column.name
        for column in facts.contract.features
        if column.categories and column.unknown is ContractPolicy.ALLOW
    ]
    if open_ended:
        yield (
            f"Categories that the contract does not list are scored ({listed(open_ended)}), though the model has "
            "learnt nothing of them."
        )
