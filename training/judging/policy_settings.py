"""What the lender wants a probability of default to mean, and the chosen threshold, as the policy of a version."""

import numpy as np

from scoring.models.policy import FORMAT, Policy
from training.records.request import PolicySettings


def make_policy(settings: PolicySettings, threshold: float) -> Policy:
    """Make the policy of a version that calls a loan a default from `threshold` on.

    A loan is declined from there, and a person looks at it from a share of that, unless the settings say otherwise.
    Cut-offs are float32 numbers, like the probabilities that they are compared with.
    """
    decline_from = float(np.float32(settings.decline_from or threshold))
    refer_from = float(np.float32(settings.refer_from or settings.refer_share * decline_from))
    return Policy(
        format=FORMAT,
        base_score=settings.base_score,
        base_odds=settings.base_odds,
        points_to_double=settings.points_to_double,
        lowest_score=settings.lowest_score,
        highest_score=settings.highest_score,
        bands=settings.bands,
        refer_from=min(refer_from, decline_from),
        decline_from=decline_from,
    )
