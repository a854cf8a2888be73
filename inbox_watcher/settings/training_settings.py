"""The sections [training] and [policy] of the site file: how models are trained, and what their numbers mean."""

import msgspec


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are trained."""

    history: tuple[str, ...] = ()
    """Labelled files; empty: every CSV in ROOT/history."""
    contract: str = ""
    """The data contract; empty: ROOT/contract.toml."""
    candidates: tuple[str, ...] = ("logistic", "tree", "forest", "network", "boosting", "blend")
    """Which candidates are trained."""
    grid: dict[str, dict[str, tuple[float, ...]]] = {}
    """By candidate and parameter, the values to try, in place of the candidate's own grid."""
    folds: int = 3
    """Parts of the history, of which each parameter set is fitted on all but one (2 to 10)."""
    seed: int = 0
    """Of the split and of everything drawn."""
    shards: int = 2
    """Nodes that read the history, at least; more where the history is large and the pool runs more at a time."""
    threads: int = 1
    """Cores that each node asks for, unless scoring jobs ask for more, and threads that it takes."""
    max_running: int = 0
    """Fits that run at a time; 0: as many as there are slots."""
    min_rows_per_second: float = 0.0
    """Rows a second, on one core, that the winner must score; 0: any."""
    margin_auc: float = 0.001
    """AUC that a new model must gain on the champion."""
    min_auc: float = 0.70
    """Least AUC of a model that is promoted (0.5 to 1)."""
    max_ece: float = 0.03
    """Largest expected calibration error of a model that is promoted (0 to 1); from 0.03 on, chance is allowed for."""
    cost_of_bad: float = 0.0
    """What an accepted loan costs that defaults; 0 with the other cost: the threshold has the highest F1."""
    cost_of_lost_good: float = 0.0
    """What a declined loan costs that would have been repaid, in the same unit."""


class ScoreBand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of points with a name."""

    name: str
    """What the lender calls it."""
    from_score: int
    """Its lowest points."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a probability of default means to the lender; sealed in each model version that is trained from here on."""

    base_score: float = 600.0
    """Points at the base odds."""
    base_odds: float = 50.0
    """Odds of repayment to default, to 1, at the base score."""
    points_to_double: float = 20.0
    """Points that double the odds."""
    lowest_score: int = 300
    """Points are never fewer."""
    highest_score: int = 900
    """Points are never more."""
    bands: tuple[ScoreBand, ...] = (
        ScoreBand("A", 620),
        ScoreBand("B", 580),
        ScoreBand("C", 540),
        ScoreBand("D", 500),
        ScoreBand("E", 300),
    )
    """From the highest points to the lowest; the last one begins at `lowest_score`."""
    refer_share: float = 0.5
    """Where `refer_from` is 0: the share of `decline_from` from which a person looks at a loan (0 to 1)."""
    refer_from: float = 0.0
    """Probability of default from which a person looks at a loan; 0: by `refer_share`."""
    decline_from: float = 0.0
    """Probability of default from which a loan is declined; 0: the threshold that training chooses."""


def find_training_problems(training: Training) -> list[str]:
    """List what is wrong with [training], in words; its names and grids are looked at when a run is planned."""
    problems = []
    if not training.candidates:
        problems.append("training.candidates names none")
    if not 2 <= training.folds <= 10:
        problems.append("training.folds must lie between 2 and 10")
    if not 0.5 <= training.min_auc <= 1:
        problems.append("training.min_auc must lie between 0.5 and 1")
    if not 0 <= training.max_ece <= 1:
        problems.append("training.max_ece must lie between 0 and 1")
    if (training.cost_of_bad > 0) != (training.cost_of_lost_good > 0):
        problems.append("training.cost_of_bad and training.cost_of_lost_good must both be given, or neither")
    return problems


def find_policy_problems(policy: Policy) -> list[str]:
    """List what is wrong with [policy], in words."""
    problems = []
    if policy.lowest_score >= policy.highest_score:
        problems.append("policy.lowest_score must be less than policy.highest_score")
    starts = [band.from_score for band in policy.bands]
    if not starts or starts[-1] != policy.lowest_score:
        problems.append("the last of policy.bands must begin at policy.lowest_score")
    if starts != sorted(set(starts), reverse=True) or max(starts, default=0) > policy.highest_score:
        problems.append("policy.bands must go from the highest points to the lowest, none above policy.highest_score")
    names = [band.name for band in policy.bands]
    if len(set(names)) < len(names) or not all(name.isalnum() and len(name) <= 20 for name in names):
        problems.append("policy.bands must have different names of letters and digits")
    shares = {
        "refer_share": policy.refer_share,
        "refer_from": policy.refer_from,
        "decline_from": policy.decline_from,
    }
    problems += [f"policy.{name} must lie between 0 and 1" for name, share in shares.items() if not 0 <= share <= 1]
    if policy.decline_from and policy.refer_from > policy.decline_from:
        problems.append("policy.refer_from must not be above policy.decline_from")
    return problems


TRAINING_TEMPLATE = """\
[training]
# Labelled files; none: every CSV in ROOT/history.
# history = []
# The data contract (default: ROOT/contract.toml).
# contract = ""
# Which kinds of model are tried; "blend" is a weighted mean of the others. The two classics alone are quick.
# candidates = ["logistic", "tree", "forest", "network", "boosting", "blend"]
# Values to try of a candidate's parameters, in place of its own grid: {boosting = {learning_rate = [0.05, 0.1]}}, or
# a table [training.grid.boosting]. Every combination is fitted once for each fold, in a job of its own.
# grid = {}
# Parts of the history, of which each parameter set is fitted on all but one (2 to 10).
# folds = 3
# Of the split and of everything drawn. With another seed, a new model and the champion share no untouched loans.
# seed = 0
# Nodes that read the history, at least; more where the history is large and the pool runs more at a time.
# shards = 2
# Cores that each node asks for, and threads that it takes. No node asks for fewer cores, less memory or less disk than
# a scoring job, so that a waiting file can take over the slot of any node that ends.
# threads = 1
# Fits that run at a time; 0: as many as there are slots.
# max_running = 0
# The winner scores at least so many rows a second on one core; 0: the best model, whatever it costs.
# min_rows_per_second = 0.0
# A new model goes into production when it gains so much AUC on the champion, beyond noise, ...
# margin_auc = 0.001
# ... has at least this AUC ...
# min_auc = 0.7
# ... and at most this expected calibration error. On few held-out loans, as much as chance alone makes is accepted,
# unless this is less than 0.03.
# max_ece = 0.03
# What an accepted loan costs that defaults, and a declined one that would have been repaid (the same unit): the
# threshold makes the sum smallest. Both 0: it has the highest F1.
# cost_of_bad = 0.0
# cost_of_lost_good = 0.0

[policy]
# What a probability of default means: sealed in each model version, from the next training run on.
# At base_score points the odds of repayment to default are base_odds to 1; points_to_double more points double them.
# base_score = 600.0
# base_odds = 50.0
# points_to_double = 20.0
# Points are never fewer or more.
# lowest_score = 300
# highest_score = 900
# From the highest points to the lowest; the last band begins at lowest_score.
# bands = [{name = "A", from_score = 620}, {name = "B", from_score = 580}, {name = "C", from_score = 540}, \
{name = "D", from_score = 500}, {name = "E", from_score = 300}]
# A loan is declined from this probability on; 0: from the threshold that training chooses.
# decline_from = 0.0
# A person looks at a loan from this probability on; 0: from refer_share of decline_from.
# refer_from = 0.0
# refer_share = 0.5
"""
