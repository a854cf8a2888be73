"""Groups of loans: every loan in one group of each column, ratios against the best group, small groups named so."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.contract import Column, Contract, Role, Type
from training.history.labelled_loans import LabelledLoans
from training.judging.segments import (
    ENOUGH,
    FEW,
    MISSING,
    UNKNOWN,
    divide,
    lowest_ratios,
    measure_segments,
    round_edges,
)

AGE = Column("age", Role.MONITOR, Type.INTEGER)
INCOME = Column("income", Role.FEATURE, Type.NUMBER)
HOME = Column("home", Role.FEATURE, Type.CATEGORY, categories=("RENT", "OWN"))
CONTRACT = Contract(1, "made up", (INCOME, HOME, AGE))


def made_loans(homes: list[float], ages: list[float], labels: list[int]) -> LabelledLoans:
    """Make loans of these homes (codes), ages and outcomes."""
    count = len(labels)
    features = np.column_stack([np.arange(count), homes]).astype(np.float32)
    return LabelledLoans(
        features,
        np.array(labels, np.uint8),
        np.arange(count),
        np.zeros(count, np.int32),
        {"age": np.array(ages, np.float32)},
    )


def test_groups_are_measured() -> None:
    """A group's rows, defaults, mean, approval, ratio, error and AUC are those of its loans."""
    homes = [0.0] * 40 + [1.0] * 50
    labels = [1, 0] * 20 + [0] * 50
    default = np.where(np.array(homes) == 0, np.where(np.array(labels) == 1, 0.8, 0.3), 0.1).astype(np.float32)
    default[2] = 0.2  # a default that is approved
    rent, own, *rest = measure_segments(CONTRACT, made_loans(homes, [30.0] * 90, labels), default, 0.5)
    assert (rent.column, rent.group, rent.monitor, rent.rows, rent.defaults) == ("home", "RENT", False, 40, 20)
    assert (rent.approved, own.approved) == (21 / 40, 1)
    assert (rent.approval_ratio, own.approval_ratio) == (21 / 40, 1)
    assert (rent.error, own.error) == (1 / 40, 0)
    assert rent.mean_pd == pytest.approx(default[:40].mean())
    assert rent.auc == pytest.approx(19 / 20)
    assert own.auc is None
    assert [(one.column, one.group, one.monitor, one.rows) for one in rest] == [("age", "all", True, 90)]


def test_a_small_group_is_named_and_sets_no_standard() -> None:
    """A group of few loans says so in its name, and others are not held against it."""
    homes = [0.0] * 100 + [1.0] * (ENOUGH - 1)
    labels = [1, 0] * 50 + [0] * (ENOUGH - 1)
    default = np.where(np.array(homes) == 0, 0.1, 0.0).astype(np.float32)
    default[:50] = 0.9
    rent, own, _ = measure_segments(CONTRACT, made_loans(homes, [30.0] * len(labels), labels), default, 0.5)
    assert own.group == f"OWN {FEW}"
    assert own.approval_ratio == pytest.approx(2)
    assert rent.approval_ratio == 1


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.one_of(st.just(np.nan), st.integers(18, 99)), min_size=1, max_size=300),
    st.sampled_from([AGE, INCOME]),
)
def test_every_number_has_one_group(values: list[float], column: Column) -> None:
    """Ranges hold each loan once, missing ones in a group of their own, in few groups with different names."""
    groups = list(divide(column, np.array(values, np.float32)))
    assert np.all(sum(members.astype(int) for _, members in groups) == 1)
    assert all(members.any() for _, members in groups)
    names = [name for name, _ in groups]
    assert len(set(names)) == len(names) <= 8
    assert (MISSING in names) == bool(np.isnan(values).any())


def test_ranges_are_round() -> None:
    """Ages are cut at round numbers into groups of like size, named as people name them."""
    ages = np.random.default_rng(1).gamma(4, 8, 5_000).astype(int).astype(np.float32) + 18
    groups = dict(divide(AGE, ages))
    print({name: int(members.sum()) for name, members in groups.items()})
    edges = round_edges(ages)
    assert all(edge % 5 == 0 for edge in edges)
    first, second, *_, last = groups
    assert first == f"under {edges[0]:g}"
    assert second == f"{edges[0]:g} to {edges[1] - 1:g}"
    assert last == f"{edges[-1]:g} and over"
    assert min(members.sum() for members in groups.values()) > 400
    amounts = np.random.default_rng(1).gamma(2, 30_000, 5_000).astype(np.float32)
    assert [name for name, _ in divide(INCOME, amounts)][1] == "20,000 to under 40,000"


def test_numbers_that_do_not_vary_are_one_group() -> None:
    """A column of one number, of no number, or nearly so, is not cut into nonsense."""
    for values in ([5.0] * 9, [np.nan] * 9, [0.0] * 99 + [1e9]):
        groups = list(divide(AGE, np.array(values, np.float32)))
        assert len(groups) == 1
    assert round_edges(np.array([], np.float32)) == []


def test_strange_categories_are_named() -> None:
    """Unknown and missing categories have groups of their own behind the known ones."""
    values = np.array([1, 0, 2, np.nan, 1], np.float32)
    assert [(name, int(members.sum())) for name, members in divide(HOME, values)] == [
        ("RENT", 1), ("OWN", 2), (UNKNOWN, 1), (MISSING, 1),
    ]  # fmt: skip


def test_a_history_without_the_column_has_no_such_groups() -> None:
    """A column that only watches may be absent from the history: then there is nothing to tell of it."""
    loans = made_loans([0.0, 1.0] * 20, [30.0] * 40, [0, 1] * 20)
    bare = LabelledLoans(loans.features, loans.labels, loans.rows, loans.files, {})
    segments = measure_segments(CONTRACT, bare, np.full(40, 0.1, np.float32), 0.5)
    assert {one.column for one in segments} == {"home"}


def test_nobody_approved_is_nobody_favoured() -> None:
    """Where every loan is declined, all groups are treated alike."""
    loans = made_loans([0.0, 1.0] * 40, [30.0] * 80, [0, 1] * 40)
    segments = measure_segments(CONTRACT, loans, np.full(80, 0.9, np.float32), 0.5)
    assert {one.approval_ratio for one in segments} == {1.0}


def test_the_lowest_ratio_of_watched_columns_is_found() -> None:
    """Of each column that only watches, the group of enough loans with the lowest ratio is told; features are not."""
    loans = made_loans([0.0] * 60, [20.0] * 25 + [40.0] * 35, [0, 1] * 30)
    (segment, *_) = measure_segments(CONTRACT, loans, np.full(60, 0.1, np.float32), 0.5)
    rows = [
        msgspec.structs.replace(segment, column=column, monitor=monitor, group=group, rows=count, approval_ratio=ratio)
        for column, monitor, group, count, ratio in (
            ("age", True, "young", 500, 0.9),
            ("age", True, "old", 500, 0.7),
            ("age", True, "ancient", 20, 0.1),
            ("home", False, "RENT", 500, 0.2),
        )
    ]
    assert {column: one.group for column, one in lowest_ratios(tuple(rows)).items()} == {"age": "old"}
