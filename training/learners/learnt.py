"""What a candidate has learnt: one fitted pipeline or several with weights, and the calibration of their mean.

The calibration is no part of any scikit-learn pipeline: calibrated classifiers around a pipeline export wrongly.
"""

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoring.atomic import write_bytes
from scoring.errors import ProofError
from training.learners.calibration import Calibration
from training.records.findings import Fitted

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Learnt:
    """A fitted candidate: everything that its graph must equal."""

    members: tuple["Pipeline", ...]
    """Fitted pipelines; one, unless it is a blend."""
    weights: tuple[float, ...]
    """Of each member's probability; their sum is 1."""
    calibration: Calibration
    """From the weighted mean to the probability of default."""

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the probability of default of each row: (rows, features) float32 → (rows,) float64."""
        mean = np.zeros(len(features))
        for member, weight in zip(self.members, self.weights, strict=True):
            mean += weight * np.asarray(member.predict_proba(features)[:, 1], np.float64)
        return self.calibration.apply(mean)


@dataclass(frozen=True)
class LearntPipeline:
    """What was learnt, spoken to like one scikit-learn pipeline: for those that compare it with its graph."""

    learnt: Learnt
    """All of it."""

    @property
    def members(self) -> tuple["Pipeline", ...]:
        """Its pipelines, whose thresholds are those of the whole."""
        return self.learnt.members

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the chances of repayment and default of each row: (rows, features) float32 → (rows, 2) float64."""
        default = self.learnt.predict(features)
        return np.column_stack([1 - default, default])


def write_learnt(path: Path, learnt: Learnt) -> str:
    """Write what was learnt as a pickle, for the other nodes of this run alone; give its SHA-256 (hexadecimal)."""
    content = pickle.dumps(learnt)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def load_fitted(path: Path, fitted: Fitted, run_id: str) -> Learnt:
    """Load the pickle that this very run wrote.

    A pickle can run anything when it is loaded: only bytes with the hash that `train` reported are. Raises ProofError
    for any other, or one of another run; OSError as the storage does.
    """
    content = path.read_bytes()
    if fitted.run_id != run_id or hashlib.sha256(content).hexdigest() != fitted.pickle_sha256:
        raise ProofError(
            f"The fitted candidate {path} is not the one that run {run_id} wrote; it is not opened.",
            "Start the training run again.",
        )
    learnt: Learnt = pickle.loads(content)  # noqa: S301 - the bytes are those that this run wrote, by hash
    return learnt
