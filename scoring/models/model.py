"""A published model, verified and opened: float32 features in, probabilities of default out."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from scoring.csv.reader import LoanBlock
from scoring.errors import ModelError, StorageError
from scoring.models.golden import check_golden
from scoring.models.policy import refuse_unusable
from scoring.models.registry import GOLDEN, MODEL, VERSIONS, Manifest, read_manifest
from scoring.models.scale import Scale

INPUT = "features"
"""Name of the graph's input: float32, (rows, features), columns in the contract's order.

Categories are their codes (0, 1, ... in the contract's order, the number of categories for an unknown one);
a missing value is NaN."""

OUTPUT = "pd"
"""Name of the graph's output: float32, (rows,) or (rows, 1), the probability of default."""


class Graph:
    """An opened ONNX graph: the one place where predictions are made."""

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        """Open a serialised graph with `threads` threads, for this call path only.

        onnxruntime would otherwise take, and pin, every core of the machine. A graph in memory has no folder, so it
        cannot reach for external data. Raises ModelError, with `name` in it, when the graph does not load or does not
        have the one input and output that scoring needs.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a class of its own for each kind of bad graph
            raise ModelError(f"The model {name} does not load: {error}.") from error
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        if inputs != [INPUT] or OUTPUT not in outputs:
            raise ModelError(f"The model {name} takes {inputs} and gives {outputs}, not `{INPUT}` and `{OUTPUT}`.")

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the probability of default of each row: (rows, features) float32 → (rows,) float32."""
        if not len(features):
            return np.empty(0, np.float32)
        if len(features) == 1:
            # A single row takes another kernel, which rounds otherwise: a row's answer must not depend on its company.
            return self.predict(np.repeat(features, 2, axis=0))[:1]
        (probability,) = self._session.run([OUTPUT], {INPUT: features})
        return np.asarray(probability, np.float32).reshape(len(features))


@dataclass(frozen=True)
class Model:
    """A published version, verified and opened."""

    manifest: Manifest
    """What it is."""
    graph: Graph
    """What computes."""
    scale: Scale | None = None
    """What its probabilities mean; None for a version without a policy."""


def open_model(models: Path, version: str, pinned: str | None = None, threads: int = 1) -> Model:
    """Verify a version against its seals, open it with `threads` threads, and let it prove itself on its golden rows.

    The very bytes that were hashed are the bytes that run: each file is read once. Raises ModelError when anything is
    missing, altered, does not load, or when this node computes other answers than the sealed ones.
    """
    manifest, _ = read_manifest(models, version, pinned)
    folder = models / VERSIONS / version
    graph = Graph(_read_sealed(folder, MODEL, manifest), threads, str(folder / MODEL))
    check_golden(_read_sealed(folder, GOLDEN, manifest), graph.predict, f"version {version}")
    refuse_unusable(manifest.policy, manifest.contract.encoding, version)
    return Model(manifest, graph, Scale(manifest.policy) if manifest.policy else None)


def _read_sealed(folder: Path, name: str, manifest: Manifest) -> bytes:
    path = folder / name
    seal = manifest.files.get(name)
    if seal is None:
        raise ModelError(f"Model version {manifest.version} has no {name} in its manifest.")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"The file {path} of the model cannot be read: {error.strerror}.") from error
    except OSError as error:
        raise StorageError(f"The file {path} of the model cannot be read: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != seal.sha256:
        raise ModelError(
            f"{path} was altered after the model was published: its SHA-256 is not the sealed one.",
            "Restore the version's folder from a backup, or promote another version.",
        )
    return content


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
