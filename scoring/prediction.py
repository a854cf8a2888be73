"""A block of loans → probabilities: the one place where a model's answers are taken."""

import numpy as np

from scoring.errors import ModelError
from scoring.model import Model
from scoring.reader import LoanBlock


def predict_block(model: Model, block: LoanBlock) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Give the probability of default of each accepted row, (rows,) float32. Raises ModelError for one that is none."""
    probabilities = model.graph.predict(block.values.features)
    # A NaN fails both comparisons.
    if len(probabilities) and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ModelError(
            f"Model version {model.manifest.version} gave something that is not a probability.",
            "Promote another version, and report this one to the model's owner.",
        )
    return probabilities
