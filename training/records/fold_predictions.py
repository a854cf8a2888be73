"""What a fit foretells for the fold that it left out: one `.npy`, sealed by the fit's outcome."""

import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.atomic import write_bytes
from scoring.errors import ProofError, StorageError
from training.records.findings import FoldFit


def write_predictions(path: Path, foretold: NDArray[np.float64]) -> bytes:
    """Write probabilities, (loans,), to a `.npy` in one durable step; give its bytes."""
    buffer = io.BytesIO()
    np.save(buffer, foretold, allow_pickle=False)
    write_bytes(path, buffer.getvalue())
    return buffer.getvalue()


def read_predictions(path: Path, fit: FoldFit) -> NDArray[np.float64]:
    """Read the probabilities of a fold, (loans,). Raises ProofError when they are not those that the fit wrote."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"The probabilities {path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != fit.predictions_sha256:
        raise ProofError(f"The probabilities {path} are not those that the fit wrote.", "Start the training run again.")
    foretold: NDArray[np.float64] = np.load(io.BytesIO(content), allow_pickle=False)
    return foretold
