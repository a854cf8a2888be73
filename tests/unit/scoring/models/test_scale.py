"""Points, bands and decisions: the exact formula for every float32, and the same cut-points on every machine."""

import hashlib
from decimal import Decimal, localcontext

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scoring.models.policy import DECISIONS, Band, Policy, find_policy_problems
from scoring.models.scale import Census, Scale
from tests.unit.scoring.linear_model import POLICY

USUAL = Policy(1, 600, 50, 20, 300, 850, (Band("A", 700), Band("B", 600), Band("C", 300)), 0.1, 0.3)
float32s = st.floats(0, 1, width=32)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a sound policy, odd ones among them."""
    lowest = draw(st.integers(-500, 900))
    highest = lowest + draw(st.integers(1, 300))
    starts = draw(st.sets(st.integers(lowest + 1, highest), max_size=5)) | {lowest}
    cuts = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    policy = Policy(
        format=1,
        base_score=draw(st.one_of(st.integers(-100, 1000), st.floats(-1000, 1000))),
        base_odds=draw(st.one_of(st.integers(1, 100), st.floats(1e-6, 1e6))),
        points_to_double=draw(st.one_of(st.integers(1, 60), st.floats(0.01, 1000))),
        lowest_score=lowest,
        highest_score=highest,
        bands=tuple(Band(f"band {start}", start) for start in sorted(starts, reverse=True)),
        refer_from=cuts[0],
        decline_from=cuts[1],
    )
    assert find_policy_problems(policy) == []
    return policy


def points_by_formula(policy: Policy, probability: float) -> int:
    """Work out the points of one probability as the formula is written, to 45 digits."""
    if probability in (0, 1):
        return policy.lowest_score if probability else policy.highest_score
    with localcontext(prec=45):
        exact = Decimal(probability)
        logarithm = ((1 - exact) / exact).ln() - Decimal(policy.base_odds).ln()
        score = Decimal(policy.base_score) + Decimal(policy.points_to_double) / Decimal(2).ln() * logarithm
        # A tie comes out of this a hair off: what is one to 35 places is one.
        rounded = int(score.quantize(Decimal("1e-35")).to_integral_value())
    return min(max(rounded, policy.lowest_score), policy.highest_score)


def describe(policy: Policy, probabilities: np.ndarray) -> list[tuple[int, str, str]]:
    """Give points, band and decision of each probability."""
    scale = Scale(policy)
    return scale.explain(scale.place(probabilities)).rows()


@given(policy=policies(), drawn=st.lists(float32s, max_size=30), seed=st.integers(0, 1000))
@example(policy=msgspec.structs.replace(USUAL, base_score=500.5, base_odds=1), drawn=[0.5], seed=0)
@example(policy=msgspec.structs.replace(USUAL, base_score=499.5, base_odds=1), drawn=[0.5], seed=0)
@example(
    policy=msgspec.structs.replace(USUAL, base_score=510.5, base_odds=3, points_to_double=10), drawn=[0.25], seed=0
)
@settings(max_examples=40)
def test_points_are_the_formula(policy: Policy, drawn: list[float], seed: int) -> None:
    """For any policy, any float32 and both neighbours of it, points, band and decision are what the formula gives."""
    draw = np.random.default_rng(seed)
    odds = np.exp(draw.normal(-np.log(policy.base_odds), 3, 20))
    values = np.concatenate([drawn, odds / (1 + odds), [0, 1, policy.refer_from, policy.decline_from]]).astype(
        np.float32
    )
    values = np.concatenate([values, np.nextafter(values, np.float32(0)), np.nextafter(values, np.float32(1))])
    for value, (score, band, decision) in zip(values, describe(policy, values), strict=True):
        assert score == points_by_formula(policy, float(value)), float(value)
        assert band == next(band.name for band in policy.bands if band.from_score <= score)
        declined, referred = value >= np.float32(policy.decline_from), value >= np.float32(policy.refer_from)
        assert decision == ("decline" if declined else "refer" if referred else "accept")


@given(policy=policies(), drawn=st.lists(float32s, min_size=2, max_size=50))
@settings(max_examples=40)
def test_more_risk_is_never_more_points(policy: Policy, drawn: list[float]) -> None:
    """Along rising probabilities points never rise, and no decision gets milder."""
    told = describe(policy, np.sort(np.array(drawn, np.float32)))
    scores = [score for score, _, _ in told]
    assert scores == sorted(scores, reverse=True)
    places = [DECISIONS.index(decision) for _, _, decision in told]
    assert places == sorted(places)


def test_ends_are_the_highest_and_the_lowest_points() -> None:
    """0, also a negative one, has the highest points, 1 the lowest; so have numbers beyond the scale."""
    values = np.array([0, -0.0, 1e-45, 1e-30, 1 - 2**-24, 1], np.float32)
    assert [score for score, _, _ in describe(USUAL, values)] == [850] * 4 + [300] * 2


def test_extreme_scales_have_ends_too() -> None:
    """A scale on which the odds of a point leave every float's range still has its ends at 0 and 1."""
    for base in (-1e6, 1e6):
        policy = msgspec.structs.replace(USUAL, base_score=base, points_to_double=0.01)
        assert find_policy_problems(policy) == []
        inside = 300 if base < 0 else 850
        assert [score for score, _, _ in describe(policy, np.array([0, 0.5, 1], np.float32))] == [850, inside, 300]


def test_a_million_loans_are_placed_as_one_by_one() -> None:
    """The table of first bits gives what comparing with every cut-point gives, whatever the size of a block."""
    draw = np.random.default_rng(1)
    values = np.concatenate([draw.random(500_000), 10 ** draw.uniform(-45, 0, 500_000)]).astype(np.float32)
    scale = Scale(USUAL)
    steps = scale.place(values)
    assert (np.diff(steps[np.argsort(values, kind="stable")]) >= 0).all()
    points = scale.explain(steps)["score"].to_numpy()
    wanted = 600 + 20 / np.log(2) * (np.log((1 - values.astype(float)) / np.maximum(values, 1e-300)) - np.log(50))
    sure = np.abs(wanted - np.floor(wanted) - 0.5) > 1e-6
    np.testing.assert_array_equal(points[sure], np.clip(np.rint(wanted), 300, 850)[sure])
    assert sure.mean() > 0.999


def test_cut_points_are_the_same_on_every_machine() -> None:
    """The places where points change are these very float32 numbers: another answer would make replays differ."""
    scale = Scale(USUAL)
    heads = np.arange(0, 0x3F800001, 1 << 12, dtype=np.uint32).view(np.float32)
    told = b",".join(b"%d" % score for score in scale.explain(scale.place(heads))["score"].to_list())
    assert hashlib.sha256(told).hexdigest() == "c9866830cade6648a639490a53ef629ee659d4662eed13b1b62da9d9c7227b37"


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_rows_are_counted(rows: int) -> None:
    """Rows by decision and band add up over blocks, name every decision and band, and are those of the columns."""
    values = np.random.default_rng(2).random(rows).astype(np.float32)
    census = Census(scale := Scale(POLICY))
    for block in (values[: rows // 3], values[rows // 3 :]):
        assert census.place(block) is not None
    _, bands, decisions = (column.to_list() for column in scale.explain(scale.place(values)))
    assert census.decisions == {name: decisions.count(name) for name in DECISIONS}
    assert census.bands == {name: bands.count(name) for name in "ABCD"}


def test_without_a_scale_nothing_is_counted() -> None:
    """A version without a policy places no row and counts none."""
    census = Census(None)
    assert census.place(np.zeros(3, np.float32)) is None
    assert (census.decisions, census.bands) == ({}, {})
