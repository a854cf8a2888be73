"""The drawings of a model card: every number given is where it belongs."""

import re
from itertools import pairwise
from xml.etree.ElementTree import Element

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.card_sample import HOSTILE, make_facts, make_policy
from training.card.bars import draw_candidates, draw_gain, draw_importance, draw_intervals, draw_policy
from training.card.drawings import (
    draw_calibration,
    draw_distribution,
    draw_gains,
    draw_precision_recall,
    draw_roc,
    false_alarms,
    read_at,
)
from training.card.facts import CardFacts
from training.card.plot import WIDTH, Scale, round_ticks, wilson
from training.card.records import pd_at, points_at
from training.card.words import METRICS, count, figure, percent, signed
from training.records.findings import Importance


@pytest.fixture(scope="module")
def facts() -> CardFacts:
    """Give facts of a version."""
    return make_facts()


def words(drawn: Element) -> str:
    """Give all texts of a drawing."""
    return " ".join(drawn.itertext())


def of_kind(drawn: Element, kind: str) -> list[Element]:
    """Give the elements of a drawing that have a class."""
    return [one for one in drawn.iter() if kind in str(one.get("class", "")).split()]


def line_of(drawn: Element) -> list[tuple[float, float]]:
    """Give the points of a drawing's main line, in units of the drawing."""
    (line,) = (one for one in of_kind(drawn, "first") if one.tag == "polyline")
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in str(line.get("points")).split())]


def assert_straight(places: list[float], values: list[float]) -> None:
    """Places on a drawing are the values, moved and stretched, to half a hundredth of a unit."""
    low, high = min(values), max(values)
    start, end = places[values.index(low)], places[values.index(high)]
    for place, value in zip(places, values, strict=True):
        assert place == pytest.approx(start + (value - low) / (high - low) * (end - start), abs=0.011)


@pytest.mark.parametrize("kind", ["roc", "precision_recall", "gains"])
def test_curves_hold_every_point(facts: CardFacts, kind: str) -> None:
    """Every point given is on the line, in its place, to the right and upwards."""
    points = getattr(facts.winner.curves, kind)
    draw = {"roc": draw_roc, "precision_recall": draw_precision_recall, "gains": draw_gains}[kind]
    places = line_of(draw(facts.winner, facts.data.split.test))
    assert len(places) == len(points)
    assert_straight([x for x, _ in places], [x for x, _ in points])
    assert_straight([y for _, y in places], [y for _, y in points])
    assert places[0][0] < places[-1][0]
    assert (places[0][1] > places[-1][1]) == (points[0][1] < points[-1][1])


def test_threshold_is_marked(facts: CardFacts) -> None:
    """The mark of the threshold is at its recall, and at the false alarms that precision and recall imply."""
    part, metrics = facts.data.split.test, facts.winner.metrics
    called = metrics.recall * part.defaults / metrics.precision
    alarms = false_alarms(facts.winner, part)
    assert alarms * (part.rows - part.defaults) == pytest.approx(called - metrics.recall * part.defaults)
    # The point lies on the curve itself, which was measured another way.
    assert read_at(facts.winner.curves.roc, alarms) == pytest.approx(metrics.recall, abs=0.01)
    assert percent(metrics.recall) in words(draw_roc(facts.winner, part))
    assert percent(metrics.precision) in words(draw_precision_recall(facts.winner, part))


def test_calibration_holds_every_bin(facts: CardFacts) -> None:
    """Each bin is a dot in its place, and its numbers and size are told."""
    bins = facts.winner.curves.calibration
    drawn = draw_calibration(facts.winner)
    dots = [one for one in of_kind(drawn, "fill-first") if one.tag == "circle"]
    assert_straight([float(str(dot.get("cx"))) for dot in dots], [foretold for foretold, _, _ in bins])
    assert_straight([float(str(dot.get("cy"))) for dot in dots], [seen for _, seen, _ in bins])
    for foretold, seen, loans in bins:
        assert f"{percent(foretold)} and {percent(seen)} of {count(loans)} loans" in words(drawn)


def test_distribution_holds_every_bin(facts: CardFacts) -> None:
    """The bars of either outcome are as high as their share of it."""
    bins = facts.winner.curves.distribution
    drawn = draw_distribution(facts.winner)
    for kind, place in (("soft-first", 2), ("hatched", 3)):
        bars = [float(str(bar.get("height"))) for bar in of_kind(drawn, kind)]
        loans = [one[place] for one in bins]
        assert len(bars) == len(loans)
        scale = max(bars) / max(loans)
        assert bars == pytest.approx([one * scale for one in loans], abs=0.011)
        assert count(sum(loans)) in words(drawn)
    assert percent(facts.winner.threshold) in words(drawn)


@pytest.mark.parametrize(("tall", "anchor"), [(0, "end"), (19, "start")])
def test_names_of_outcomes_stand_on_no_bar(facts: CardFacts, tall: int, anchor: str) -> None:
    """Where the bars of an outcome are long at one side, its name stands at the other."""
    bins = tuple((at / 20, (at + 1) / 20, 9 if at == tall else 1, 9 if at == tall else 1) for at in range(20))
    curves = msgspec.structs.replace(facts.winner.curves, distribution=bins)
    drawn = draw_distribution(msgspec.structs.replace(facts.winner, curves=curves))
    for kind in ("label-first", "label-second"):
        (name,) = of_kind(drawn, kind)
        assert name.get("text-anchor") == anchor


def test_importance_holds_every_feature(facts: CardFacts) -> None:
    """Each feature has a bar as long as the AUC lost, its number, and its spread in words."""
    drawn = draw_importance(facts.winner.importance)
    bars = [float(str(bar.get("width"))) for bar in of_kind(drawn, "soft-first")]
    lost = [one.auc_lost for one in facts.winner.importance]
    assert bars == pytest.approx([one * bars[0] / lost[0] for one in lost], abs=0.02)
    for one in facts.winner.importance:
        assert f"{one.feature} {figure(one.auc_lost, 4)}, spread {figure(one.spread, 4)}" in words(drawn)


def test_importance_may_be_negative_nought_or_unreadable() -> None:
    """A column that does harm, one that does nothing and one with a hostile name are drawn like any other."""
    drawn = draw_importance(
        (Importance("useless", 0.0, 0.0), Importance("harmful", -0.01, 0.002), Importance(HOSTILE * 3, 0.02, 0.001))
    )
    assert len(of_kind(drawn, "soft-first")) == 3
    assert all(float(str(bar.get("width"))) > 0 for bar in of_kind(drawn, "soft-first"))


def test_candidates_are_all_there(facts: CardFacts) -> None:
    """Each candidate has a mark, a whisker and a label that meets no other; one mark is the winner's."""
    drawn = draw_candidates(facts.evaluations, facts.candidate)
    assert len(of_kind(drawn, "fill-first")) == 1
    assert len(of_kind(drawn, "hollow")) == len(facts.evaluations) - 1
    assert len(of_kind(drawn, "whisker")) == len(facts.evaluations)
    labels = [(float(str(one.get("x"))), float(str(one.get("y")))) for one in of_kind(drawn, "on-line")]
    for (x, y), (left, top) in ((a, b) for a in labels for b in labels if a < b):
        assert abs(y - top) >= 12 or abs(x - left) > 80
    for one in facts.evaluations:
        told = f"AUC {figure(one.metrics.auc, 4)}, {count(one.rows_per_second)} rows a second"
        assert told in words(drawn)


@pytest.mark.parametrize("number", [1, 2, 12])
def test_any_number_of_candidates_is_drawn(facts: CardFacts, number: int) -> None:
    """One candidate alone, and a dozen that are all alike, are drawn."""
    alike = tuple(
        msgspec.structs.replace(facts.winner, candidate=f"candidate_with_a_long_name_{one}") for one in range(number)
    )
    drawn = draw_candidates(alike, "candidate_with_a_long_name_0")
    assert len(of_kind(drawn, "whisker")) == number
    labels = of_kind(drawn, "on-line")
    assert len(labels) == number
    assert all(0 <= float(str(one.get("x"))) < WIDTH for one in labels)


def test_intervals_hold_every_metric(facts: CardFacts) -> None:
    """Each metric has a whisker from its low to its high end, which are told as well."""
    drawn = draw_intervals(facts.winner)
    assert len(of_kind(drawn, "whisker")) == len(METRICS)
    for name, interval in facts.winner.intervals.items():
        value = figure(getattr(facts.winner.metrics, name))
        told = f"{METRICS[name].name} {value} from {figure(interval.low)} to {figure(interval.high)}"
        assert told in words(drawn)


def test_gain_is_told_and_on_its_side(facts: CardFacts) -> None:
    """A gain is to the right of no gain, and its interval is told."""
    assert facts.comparison
    drawn = draw_gain(facts.comparison, facts.candidate)
    (dot,) = of_kind(drawn, "fill-first")
    assert float(str(dot.get("cx"))) > WIDTH / 2
    assert signed(facts.comparison.gain.low) in words(drawn)


def test_policy_is_drawn_in_order() -> None:
    """Bands and decisions fill the scale without a gap, and both cut-offs are told."""
    policy = make_policy()
    refer, decline = points_at(policy, policy.refer_from), points_at(policy, policy.decline_from)
    drawn = draw_policy(policy, refer, decline)
    for top in ("22", "66"):
        bars = sorted(
            (float(str(one.get("x"))), float(str(one.get("width"))))
            for one in drawn.iter("rect")
            if one.get("y") == top
        )
        assert bars[0][0] == 24
        assert bars[-1][0] + bars[-1][1] == pytest.approx(WIDTH - 24)
        assert all(left + width == pytest.approx(after, abs=0.02) for (left, width), (after, _) in pairwise(bars))
    assert {"decline", "accept", f"pd {percent(policy.refer_from)}", f"pd {percent(policy.decline_from)}"} <= {
        str(one.text) for one in drawn.iter("text")
    }


def test_points_follow_the_formula() -> None:
    """At the base odds the base score, twice the odds the points that double them; and back; certainty is an end."""
    policy = make_policy()
    assert points_at(policy, 1 / 31) == pytest.approx(600)
    assert points_at(policy, 1 / 61) == pytest.approx(620)
    assert (points_at(policy, 0.0), points_at(policy, 1.0)) == (850, 300)
    assert pd_at(policy, points_at(policy, 0.2)) == pytest.approx(0.2)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6), st.integers(1, 12))
def test_ticks_are_round_few_and_within(low: float, span: float, most: int) -> None:
    """Whatever the range, ticks lie in it, are not many, and are the same distance apart."""
    high = low + span
    ticks = round_ticks(low, high, most)
    assert len(ticks) <= most + 1
    assert all(low - span * 1e-6 <= tick <= high + span * 1e-6 for tick in ticks)
    steps = {round((after - before) / span, 6) for before, after in pairwise(ticks)}
    assert len(steps) <= 1


@given(st.floats(allow_nan=False))
def test_nothing_is_drawn_outside(value: float) -> None:
    """A value beyond the ends of a scale is put on the end."""
    assert 10 <= Scale(0, 1, 10, 90).at(value) <= 90


@pytest.mark.parametrize(("successes", "low", "high"), [(0, 0.0, 0.0370), (5, 0.0215, 0.1118), (100, 0.9630, 1.0)])
def test_interval_of_a_share(successes: int, low: float, high: float) -> None:
    """Wilson's interval of so many of a hundred is the one of the tables, and stays between 0 and 1."""
    assert list(wilson(successes, 100)) == pytest.approx([low, high], abs=5e-5)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1).map(sorted), st.floats(0, 1))
def test_reading_a_line_stays_on_it(points: list[tuple[float, float]], x: float) -> None:
    """A value read off a line is between the lowest and the highest of its points."""
    heights = [y for _, y in points]
    assert min(heights) - 1e-9 <= read_at(points, x) <= max(heights) + 1e-9


def test_drawings_hold_no_broken_number(facts: CardFacts) -> None:
    """No place of a drawing is nan, infinite or in exponents, which no browser draws."""
    part = facts.data.split.test
    for drawn in (draw_roc(facts.winner, part), draw_gains(facts.winner, part), draw_distribution(facts.winner)):
        for one in drawn.iter():
            for name, value in one.attrib.items():
                if name in {"x", "y", "cx", "cy", "r", "width", "height", "d", "points"}:
                    assert not re.search(r"nan|inf|\de[+-]?\d", value)
