"""Which candidate wins, and whether it replaces the champion: decisions on figures, with their reasons."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import LoansError, ProofError
from tests.unit.training.made_findings import (
    made_comparison,
    made_evaluation,
    made_fitted,
    made_segment,
)
from training.judging.choose import BLEND_MARGIN, EQUAL, choose_best, decide_promotion
from training.records.findings import Comparison, Evaluation, Fitted
from training.records.request import Gates, PromoteMode

GATES = Gates()


def both(*candidates: tuple[str, float, float]) -> tuple[list[Evaluation], dict[str, Fitted]]:
    """Make candidates of (name, validation AUC, AUC on the held-out loans)."""
    return (
        [made_evaluation(name, held_out) for name, _, held_out in candidates],
        {name: made_fitted(name, shown) for name, shown, _ in candidates},
    )


def test_validation_chooses_not_the_held_out_loans() -> None:
    """The best out-of-fold AUC wins, whatever the held-out loans say of others; the reason names it."""
    choice = choose_best(*both(("a", 0.91, 0.80), ("b", 0.90, 0.99)))
    assert choice.candidate == "a"
    assert "a has the best AUC" in choice.why
    assert "0.9100" in choice.why


def test_equals_are_told_apart() -> None:
    """Between equals, and between those whose AUC is equal within noise, log loss decides, then the name."""
    evaluations, _ = both(("b", 0, 0.9), ("a", 0, 0.9))
    close = {"a": made_fitted("a", 0.9240, log_loss=0.21), "b": made_fitted("b", 0.9231, log_loss=0.18)}
    choice = choose_best(evaluations, close)
    assert choice.candidate == "b"
    assert "0.9231 against 0.9240 of a, and the lower log loss, 0.1800 against 0.2100" in choice.why
    apart = close | {"b": made_fitted("b", 0.9240 - 2 * EQUAL, log_loss=0.18)}
    assert choose_best(evaluations, apart).candidate == "a"
    assert choose_best(evaluations, {"a": made_fitted("a"), "b": made_fitted("b")}).candidate == "a"
    by_loss = {"a": made_fitted("a", log_loss=0.3), "b": made_fitted("b", log_loss=0.2)}
    assert choose_best(evaluations, by_loss).candidate == "b"


def test_a_blend_must_earn_its_place() -> None:
    """A blend wins by the margin or not at all; where it does not, the reason says so."""
    assert choose_best(*both(("a", 0.9, 0.9), ("blend", 0.9 + 2 * BLEND_MARGIN, 0.9))).candidate == "blend"
    choice = choose_best(*both(("a", 0.9, 0.9), ("b", 0.8, 0.9), ("blend", 0.9 + BLEND_MARGIN / 2, 0.95)))
    assert choice.candidate == "a"
    assert "the blend gains +0.0001 on the best single candidate" in choice.why
    assert choose_best(*both(("blend", 0.9, 0.9))).candidate == "blend"


def test_a_slow_candidate_does_not_win() -> None:
    """The rows a second that the site asks for are obeyed, and the reason names who was too slow."""
    evaluations = [made_evaluation("quick", speed=90_000), made_evaluation("slow", speed=59_999)]
    fitted = {"quick": made_fitted("quick", 0.90), "slow": made_fitted("slow", 0.97)}
    assert choose_best(evaluations, fitted).candidate == "slow"
    choice = choose_best(evaluations, fitted, 60_000)
    assert choice.candidate == "quick"
    assert "slow: it scores 59,999 rows a second" in choice.why


def test_when_none_is_fast_enough_the_speeds_are_told() -> None:
    """With every candidate too slow, the refusal lists each with its speed, the quickest first, and the way out."""
    evaluations = [made_evaluation("slow", speed=1_000), made_evaluation("quick", speed=90_000)]
    fitted = {name: made_fitted(name) for name in ("slow", "quick")}
    with pytest.raises(LoansError, match="No candidate scores the 100,000 rows a second") as refused:
        choose_best(evaluations, fitted, 100_000)
    lines = refused.value.way_out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["quick", "slow"]
    assert "90,000 rows/s" in lines[0]
    assert "min_rows_per_second" in lines[2]


def test_a_refused_candidate_stops_nobody() -> None:
    """A candidate whose graph is not proved never wins, and the others go on; refused ones alone are an error."""
    evaluations = [made_evaluation("best", refused="The exported model differs."), made_evaluation("sound")]
    fitted = {"best": made_fitted("best", 0.99), "sound": made_fitted("sound", 0.8)}
    choice = choose_best(evaluations, fitted)
    assert choice.candidate == "sound"
    assert "not best: it may not be published (The exported model differs)" in choice.why
    with pytest.raises(LoansError, match="none passed the export gate") as refused:
        choose_best(evaluations[:1], fitted)
    assert "differs" in refused.value.way_out


def test_different_loans_are_not_compared() -> None:
    """Candidates that were measured on different loans are refused, and so is none at all."""
    with pytest.raises(ProofError, match="different loans"):
        choose_best([made_evaluation("a"), made_evaluation("b", test="other")], {})
    with pytest.raises(LoansError, match="No candidate"):
        choose_best([], {})


@given(
    gain=st.floats(-0.1, 0.1),
    low=st.floats(-0.1, 0.1),
    auc=st.floats(0.5, 1),
    ece=st.floats(0, 0.1),
    mode=st.sampled_from(PromoteMode),
)
def test_promotion_needs_every_gate(gain: float, low: float, auc: float, ece: float, mode: PromoteMode) -> None:
    """Left to itself a run promotes only what passes all gates and is better beyond noise; told to, it obeys."""
    best = made_evaluation("tree", auc, ece=ece)
    decision = decide_promotion(best, mode, GATES, made_comparison(gain, low, low + 0.1))
    deserved = auc >= GATES.min_auc and ece <= GATES.max_ece and gain >= GATES.margin_auc and low > 0
    assert decision.promote is {PromoteMode.AUTO: deserved, PromoteMode.NEVER: False, PromoteMode.FORCE: True}[mode]
    alone = decide_promotion(best, mode, GATES, None)
    passed = auc >= GATES.min_auc and ece <= GATES.max_ece
    assert alone.promote is {PromoteMode.AUTO: passed, PromoteMode.NEVER: False, PromoteMode.FORCE: True}[mode]


@pytest.mark.parametrize(
    ("evaluation", "champion", "words"),
    [
        (made_evaluation("tree"), made_comparison(0.0, -0.001, 0.001), "it gains +0.0000 AUC on the champion, 0.001"),
        (made_evaluation("tree"), made_comparison(0.002, -0.001, 0.005), "within noise (95 % interval -0.0010 to"),
        (made_evaluation("tree", 0.69), None, "its AUC is 0.6900, at least 0.7 is asked for"),
        (made_evaluation("tree", ece=0.031), None, "its expected calibration error is 0.0310, at most 0.03"),
        (made_evaluation("tree"), "it cannot be compared", "it cannot be compared"),
    ],
)
def test_a_challenger_is_told_why(evaluation: Evaluation, champion: Comparison | str | None, words: str) -> None:
    """What keeps a candidate from production stands in the reason, with figures; told to, the run promotes it still."""
    decision = decide_promotion(evaluation, PromoteMode.AUTO, GATES, champion)
    assert not decision.promote
    assert "it stays a challenger" in decision.why
    assert words in decision.why
    forced = decide_promotion(evaluation, PromoteMode.FORCE, GATES, champion)
    assert forced.promote
    assert words in forced.why


def test_a_promotion_is_told_in_figures() -> None:
    """The reason names candidate, champion, both figures, the interval, and groups that are approved the least."""
    lowest = [made_segment("person_age", "under 24", 0.87)]
    better = made_comparison(0.02, 0.01, 0.03)
    decision = decide_promotion(made_evaluation("tree", 0.92), PromoteMode.AUTO, GATES, better, lowest)
    assert decision.promote
    for words in ("tree has an AUC of 0.9200 on 9,400", "v-champion has 0.9000", "+0.0200", "+0.0100 to +0.0300"):
        assert words in decision.why
    assert "lowest approval ratio by person_age: 0.87 (under 24)" in decision.why
    assert "favours" not in decision.why
    stale = decide_promotion(
        made_evaluation("tree"), PromoteMode.AUTO, GATES, made_comparison(0.02, 0.01, 0.03, fresh=False)
    )
    assert stale.promote
    assert "may have been fitted on some of these loans, which favours it" in stale.why


def test_few_loans_are_not_held_against_a_candidate() -> None:
    """A calibration error that chance makes on so few loans passes, unless the site asks for less than 0.03."""
    few = msgspec.structs.replace(made_evaluation("tree", 0.8, ece=0.05), chance_ece=0.06)
    tolerant = decide_promotion(few, PromoteMode.AUTO, Gates(), None)
    assert tolerant.promote
    assert "error of 0.0500 is no more than chance makes on so few loans (0.0600)" in tolerant.why
    assert not decide_promotion(few, PromoteMode.AUTO, Gates(max_ece=0.029), None).promote
    many = msgspec.structs.replace(few, chance_ece=0.04)
    assert "at most 0.04 is accepted" in decide_promotion(many, PromoteMode.AUTO, Gates(), None).why
