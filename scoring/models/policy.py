"""What a probability of default means to a lender: points, a band and a decision; sealed within a model version.

Points follow the scorecard convention (Siddiqi, Credit Risk Scorecards, 2006, ch. 6): at `base_score` points the odds
of repayment to default are `base_odds` to 1, and `points_to_double` more points double them.
"""

from collections import Counter
from itertools import pairwise

import msgspec

from scoring.errors import ModelError

FORMAT = 1

DECISIONS = ("accept", "refer", "decline")
"""What becomes of a loan, by rising probability of default."""

COLUMNS = ("score", "band", "decision")
"""What predictions tell of each loan, in their order."""

_MOST_POINTS = 10_000
"""Points between the lowest and the highest: each has a cut-point of its own."""

_LARGEST = 1e6
"""What base score, base odds and points to double may be at most: far beyond any scorecard."""

_LONGEST_NAME = 100
"""Characters of a band's name."""


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of points with a name."""

    name: str
    """What the lender calls it: `A`, `B`, ..."""
    from_score: int
    """Its lowest points (inclusive); it ends where the next higher band begins."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How probabilities become points, bands and decisions."""

    format: int
    """Version of this very format."""
    base_score: float
    """Points at the base odds."""
    base_odds: float
    """Odds of repayment to default, to 1, at the base score."""
    points_to_double: float
    """Points that double the odds."""
    lowest_score: int
    """Points are never fewer."""
    highest_score: int
    """Points are never more."""
    bands: tuple[Band, ...]
    """From the highest points to the lowest; the last one begins at `lowest_score`."""
    refer_from: float
    """Probability of default from which a person looks at a loan; below it the loan is accepted."""
    decline_from: float
    """Probability of default from which a loan is declined; at least `refer_from`."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """The bands' names, from the highest points to the lowest."""
        return tuple(band.name for band in self.bands)


def find_policy_problems(policy: Policy, encoding: str = "utf-8") -> list[str]:
    """List everything that makes a policy unusable, in words; an empty list means it can be used.

    `encoding` is that of the files whose predictions carry the names of its bands.
    """
    problems = []
    if policy.format != FORMAT:
        problems.append(f"its format is {policy.format}, this version reads {FORMAT}")
    if not -_LARGEST <= policy.base_score <= _LARGEST:
        problems.append(f"base_score must lie between {-_LARGEST:,.0f} and {_LARGEST:,.0f}")
    if not 1 / _LARGEST <= policy.base_odds <= _LARGEST:
        problems.append(f"base_odds must lie between {1 / _LARGEST} and {_LARGEST:,.0f}")
    if not 0.01 <= policy.points_to_double <= _LARGEST:
        problems.append(f"points_to_double must lie between 0.01 and {_LARGEST:,.0f}")
    if not 0 < policy.highest_score - policy.lowest_score <= _MOST_POINTS:
        problems.append(f"highest_score must be above lowest_score, by {_MOST_POINTS:,} points at most")
    # A NaN fails the comparison.
    if not 0 <= policy.refer_from <= policy.decline_from <= 1:
        problems.append("0 <= refer_from <= decline_from <= 1 does not hold")
    return problems + _find_band_problems(policy, encoding)


def refuse_unusable(policy: Policy | None, encoding: str, version: str) -> None:
    """Raise ModelError with every problem of a version's policy; no policy has none."""
    problems = [] if policy is None else find_policy_problems(policy, encoding)
    if problems:
        raise ModelError(f"The policy of version {version} cannot be used: {'; '.join(problems)}.")


def _find_band_problems(policy: Policy, encoding: str) -> list[str]:
    if not policy.bands:
        return ["there is no band"]
    problems = []
    starts = [band.from_score for band in policy.bands]
    if any(higher <= lower for higher, lower in pairwise(starts)):
        problems.append("the bands do not stand from the highest points to the lowest")
    if starts[0] > policy.highest_score:
        problems.append(f"the band {policy.bands[0].name!r} begins above highest_score")
    if starts[-1] != policy.lowest_score:
        problems.append(f"the last band begins at {starts[-1]} points, not at lowest_score")
    repeated = [name for name, count in Counter(band.name for band in policy.bands).items() if count > 1]
    if repeated:
        problems.append(f"band(s) named more than once: {', '.join(map(repr, repeated))}")
    problems += [
        f"{band.name!r} is no name of a band: 1 to {_LONGEST_NAME} characters on one line, no space at either end"
        for band in policy.bands
        if not _is_name(band.name)
    ]
    problems += [
        f"the band {band.name!r} cannot be written in {encoding}"
        for band in policy.bands
        if not _can_be_written(band.name, encoding)
    ]
    return problems


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and name == name.strip() and name.isprintable()


def _can_be_written(name: str, encoding: str) -> bool:
    try:
        name.encode(encoding)
    except UnicodeError:
        return False
    return True
