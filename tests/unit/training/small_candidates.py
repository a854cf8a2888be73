"""Candidates as they are, but smaller: what the tests of export and proof need is every kind, not every tree."""

from typing import TYPE_CHECKING, Final

from scoring.contract import Contract
from training.history.labelled_loans import LabelledLoans
from training.learners.candidates import CANDIDATES
from training.learners.fitting import fit_candidate

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SMALLER: Final = {
    "forest": {"members": 2, "trees": 5},
    "network": {"members": 2, "units": 32},
    "boosting": {"members": 2, "trees": 30},
}


def fit_small(name: str, contract: Contract, loans: LabelledLoans, seed: int = 0) -> "Pipeline":
    """Fit a candidate with fewer members and trees than it has by default."""
    parameters = {**CANDIDATES[name].parameters, **SMALLER.get(name, {})}
    return fit_candidate(name, contract, loans, seed, parameters)[0]
