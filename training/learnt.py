"""What a candidate has learnt: one fitted pipeline or several with weights, and the calibration of their mean.

The calibration is no part of any scikit-learn pipeline: calibrated classifiers around a pipeline export wrongly.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration

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
