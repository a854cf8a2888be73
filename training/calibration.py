"""Calibration: a monotonous curve from what a model says to how often loans like that default.

Three kinds, of which the out-of-fold probabilities choose: none; a sigmoid in log-odds (Platt 1999); isotonic, as a
curve of few knots whose slope is bounded, so that float32 and float64 cannot come apart on a step.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

NONE: Final = "none"
SIGMOID: Final = "sigmoid"
ISOTONIC: Final = "isotonic"


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A monotonous curve from probability to probability."""

    kind: str = NONE
    """`none`, `sigmoid` or `isotonic`."""
    slope: float = 1.0
    """Sigmoid: factor of the log-odds."""
    intercept: float = 0.0
    """Sigmoid: added to the log-odds."""
    knots: tuple[tuple[float, float], ...] = ()
    """Isotonic: (said, seen), ascending in both, joined by straight lines; float32 numbers."""

    def apply(self, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrate probabilities: (rows,) → (rows,), both float64 between 0 and 1."""
        return said
