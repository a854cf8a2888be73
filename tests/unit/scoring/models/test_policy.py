"""A policy that cannot be used is refused with every reason, before anything is published."""

from pathlib import Path

import msgspec
import pytest

from scoring.errors import ModelError
from scoring.models.policy import Band, Policy, find_policy_problems
from scoring.models.registry import list_versions
from tests.unit.scoring.linear_model import POLICY, publish_linear


def changed(**changes: object) -> Policy:
    """Give the sound policy with something changed."""
    return msgspec.structs.replace(POLICY, **changes)


def test_a_sound_policy_has_no_problem() -> None:
    """A usual policy can be used; so can one of a single band, and one that accepts or declines everything."""
    assert find_policy_problems(POLICY) == []
    assert find_policy_problems(changed(bands=(Band("all", 300),))) == []
    assert find_policy_problems(changed(refer_from=0, decline_from=0)) == []
    assert find_policy_problems(changed(refer_from=1, decline_from=1)) == []
    assert find_policy_problems(changed(bands=(Band('say "A", é', 300),))) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "format"),
        ({"base_score": float("nan")}, "base_score"),
        ({"base_odds": 0}, "base_odds"),
        ({"base_odds": float("inf")}, "base_odds"),
        ({"points_to_double": 0}, "points_to_double"),
        ({"points_to_double": -20}, "points_to_double"),
        ({"highest_score": 300, "bands": (Band("all", 300),)}, "highest_score"),
        ({"highest_score": 20_000}, "highest_score"),
        ({"refer_from": -0.1}, "refer_from"),
        ({"decline_from": 1.1}, "decline_from"),
        ({"refer_from": 0.6}, "refer_from"),
        ({"refer_from": float("nan")}, "refer_from"),
        ({"bands": ()}, "no band"),
        ({"bands": (Band("A", 600), Band("B", 610), Band("C", 300))}, "highest points to the lowest"),
        ({"bands": (Band("A", 600), Band("B", 600), Band("C", 300))}, "highest points to the lowest"),
        ({"bands": (Band("A", 900), Band("B", 300))}, "'A' begins above"),
        ({"bands": (Band("A", 600), Band("B", 301))}, "301 points"),
        ({"bands": (Band("A", 600), Band("A", 300))}, "'A'"),
        ({"bands": (Band("", 300),)}, "no name"),
        ({"bands": (Band(" A", 300),)}, "no name"),
        ({"bands": (Band("A\nB", 300),)}, "no name"),
        ({"bands": (Band("x" * 101, 300),)}, "no name"),
    ],
)
def test_problems_are_named(changes: dict[str, object], words: str) -> None:
    """Whatever makes a policy unusable is said in words, and nothing else is."""
    (problem,) = find_policy_problems(changed(**changes))
    assert words in problem


def test_all_problems_are_told_at_once() -> None:
    """Three mistakes are three sentences."""
    assert len(find_policy_problems(changed(base_odds=0, refer_from=0.9, bands=()))) == 3


def test_names_are_written_in_the_encoding_of_the_files() -> None:
    """A band whose name the files' encoding does not have is refused for those files alone."""
    greek = changed(bands=(Band("\N{GREEK SMALL LETTER ALPHA}", 300),))
    assert find_policy_problems(greek) == []
    (problem,) = find_policy_problems(greek, "latin-1")
    assert "latin-1" in problem


def test_a_version_with_an_unusable_policy_is_not_published(tmp_path: Path) -> None:
    """Publishing checks the policy, names the version and the problem, and leaves nothing behind."""
    with pytest.raises(ModelError, match=r"bad cannot be used: base_odds"):
        publish_linear(tmp_path, version="bad", policy=changed(base_odds=-1))
    assert list_versions(tmp_path) == []
