"""A published model, verified and opened: float32 features in, probabilities of default out."""

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from scoring.errors import ModelError
from scoring.registry import MODEL, VERSIONS, Manifest, read_manifest

INPUT = "features"
"""Name of the graph's input: float32, (rows, features), columns in the contract's order.

Categories are their codes (0, 1, ... in the contract's order, the number of categories for an unknown one);
a missing value is NaN."""

OUTPUT = "pd"
"""Name of the graph's output: float32, (rows,) or (rows, 1), the probability of default."""


class Model:
    """An opened model version."""

    def __init__(self, manifest: Manifest, session: onnxruntime.InferenceSession) -> None:
        """Keep a session that `open_model` has verified."""
        self.manifest = manifest
        self._session = session

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the probability of default of each row: (rows, features) float32 → (rows,) float32."""
        if not len(features):
            return np.empty(0, np.float32)
        (probability,) = self._session.run([OUTPUT], {INPUT: features})
        return np.asarray(probability, np.float32).reshape(len(features))


def open_model(models: Path, version: str, pinned: str | None = None, threads: int = 1) -> Model:
    """Verify a version against its seals and open it with `threads` threads.

    The very bytes that were hashed are the bytes that run: the file is read once. A graph in memory has no folder, so
    it cannot reach for external data. Raises ModelError when anything is missing, altered or does not load.
    """
    manifest, _ = read_manifest(models, version, pinned)
    path = models / VERSIONS / version / MODEL
    seal = manifest.files.get(MODEL)
    if seal is None:
        raise ModelError(f"Model version {version} has no {MODEL} in its manifest.")
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(graph).hexdigest() != seal.sha256:
        raise ModelError(
            f"The model {path} was altered after it was published: its SHA-256 is not the sealed one.",
            "Restore the version's folder from a backup, or promote another version.",
        )
    return Model(manifest, open_session(graph, threads, str(path)))


def open_session(graph: bytes, threads: int, name: str) -> onnxruntime.InferenceSession:
    """Open a serialised ONNX graph with a bounded number of threads.

    onnxruntime would otherwise take, and pin, every core of the machine. Raises ModelError, with `name` in it, when
    the graph does not load or does not have the one input and output that scoring needs.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each kind of bad graph
        raise ModelError(f"The model {name} does not load: {error}.") from error
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    if inputs != [INPUT] or OUTPUT not in outputs:
        raise ModelError(f"The model {name} takes {inputs} and gives {outputs}, not `{INPUT}` and `{OUTPUT}`.")
    return session
