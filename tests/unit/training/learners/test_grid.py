"""Parameter sets: every combination once, complete, and every mistake in a site's grid in words."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import LoansError
from training.learners.blend import BLEND
from training.learners.candidates import CANDIDATES
from training.learners.grid import MOST_SETS, expand_grid, grid_problems, known_candidates, plan_sets

NUMBERS = st.floats(-1e6, 1e6)
GRIDS = st.dictionaries(st.sampled_from("abc"), st.lists(NUMBERS, min_size=1, max_size=4, unique=True), max_size=3)


@given(grid=GRIDS, defaults=st.fixed_dictionaries(dict.fromkeys("abcd", NUMBERS)))
def test_every_combination_once(grid: dict[str, list[float]], defaults: dict[str, float]) -> None:
    """The sets are the product of what the grid varies; what it does not name keeps its default."""
    sets = expand_grid(defaults, grid)
    assert [tuple(one[name] for name in grid) for one in sets] == list(product(*grid.values()))
    assert all(one.keys() == defaults.keys() for one in sets)
    assert all(one[name] == defaults[name] for one in sets for name in defaults if name not in grid)


def test_a_site_replaces_a_candidates_own_grid() -> None:
    """A grid in the site file is the whole grid of its candidate; others keep their own; a blend has no sets."""
    sets = plan_sets(("logistic", "tree", BLEND), {"tree": {"min_samples_leaf": [10, 50]}})
    assert [one["min_samples_leaf"] for one in sets["tree"]] == [10, 50]
    assert {one["ccp_alpha"] for one in sets["tree"]} == {CANDIDATES["tree"].parameters["ccp_alpha"]}
    assert sets["logistic"] == expand_grid(CANDIDATES["logistic"].parameters, CANDIDATES["logistic"].grid)
    assert sets[BLEND] == ()


@pytest.mark.parametrize(
    ("grids", "words"),
    [
        ({"oracle": {"a": [1.0]}}, "grid.oracle: there is no such candidate"),
        ({"tree": {"C": [1.0]}}, "grid.tree.C: tree has no such parameter, it has min_samples_leaf"),
        ({"tree": {"ccp_alpha": []}}, "grid.tree.ccp_alpha is empty"),
        ({"tree": {"ccp_alpha": [0.1, float("nan")]}}, "is no number"),
        ({"tree": {"ccp_alpha": [0.1, 0.1]}}, "names a value twice"),
        ({"tree": {"ccp_alpha": [n / 1000 for n in range(MOST_SETS + 1)]}}, f"makes {MOST_SETS + 1} parameter sets"),
        ({BLEND: {}}, "no parameters of its own"),
    ],
)
def test_a_wrong_grid_is_told(grids: dict[str, dict[str, list[float]]], words: str) -> None:
    """Each mistake in a grid is named by its place in the site file."""
    (problem,) = grid_problems(grids)
    assert words in problem
    with pytest.raises(LoansError) as caught:
        plan_sets(("logistic",), grids)
    assert words in caught.value.what


def test_all_mistakes_are_told_at_once() -> None:
    """Names and grids are looked at together."""
    with pytest.raises(LoansError) as caught:
        plan_sets(("logistic", "oracle"), {"tree": {"C": [], "x": [1.0]}})
    for words in ("grid.tree.C", "grid.tree.x", f"oracle (there are {', '.join(known_candidates())})"):
        assert words in caught.value.what
