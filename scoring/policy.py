"""What a probability of default means to a lender: points, a band and a decision; sealed within a model version.

Points follow the scorecard convention (Siddiqi, Credit Risk Scorecards, 2006, ch. 6): at `base_score` points the odds of
repayment to default are `base_odds` to 1, and `points_to_double` more points double them.
"""

import msgspec

FORMAT = 1


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
