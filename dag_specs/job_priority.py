"""Which of the service's own jobs starts first: every scoring job before every training node.

HTCondor compares job priorities among the jobs of one submitter only, both when it negotiates and when a claimed slot
gets its next job.  So the service tells chunks from training nodes by two ranges that never meet: scoring priorities
are positive, training priorities negative.  Jobs without a priority of their own (0) lie between them.
"""

from typing import Final

SCORING_TOP: Final = 1000
"""Priority of the only job of a batch; above what earlier versions gave to training nodes (up to 345)."""

_TRAINING_RANKS: Final = 10_000
"""How many ranks training nodes have below 0."""


def scoring_priority(jobs: int) -> int:
    """Return the priority of the jobs of a batch that has `jobs` of them (at least 1).

    It falls with the power of two of `jobs`: a free slot takes a job of the smallest batch, so a batch of ten thousand
    jobs starves nobody; among batches of about one size the first submitted goes first.
    """
    return SCORING_TOP - (jobs - 1).bit_length()


def training_priority(rank: int) -> int:
    """Return the priority of a training node of a rank from 0 up; a higher rank goes first.

    Ranks above 9999 share the highest priority, -1.
    """
    return min(rank - _TRAINING_RANKS, -1)
