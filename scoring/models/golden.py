"""Golden rows: a few dozen built loans with sealed answers, by which a node proves that it computes what was published.

Other processors, libraries or settings may compute other numbers from the same graph. Every job scores these rows
first and refuses to write anything where they differ.
"""

import platform
import socket
from collections.abc import Callable
from importlib.metadata import version

import msgspec
import numpy as np
from numpy.typing import NDArray

from scoring.errors import ModelError

FORMAT = 1

TOLERANCE = 1e-6
"""Largest accepted difference in the probability of default: the last digits of a float32 sum, never another leaf."""

Matrix = NDArray[np.float32]


class GoldenRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a version's `golden.json`."""

    format: int
    """Version of this very format."""
    features: list[list[float | None]]
    """Rows as a model takes them, in the contract's order; null for a missing value. Exact float32 numbers."""
    pd: list[float]
    """The sealed answers. Exact float32 numbers."""


def seal_golden(features: Matrix, predict: Callable[[Matrix], Matrix]) -> bytes:
    """Give the content of `golden.json` for built rows, (rows, features) float32, with the answers of `predict`."""
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in features]
    golden = GoldenRows(FORMAT, rows, [float(answer) for answer in predict(features)])
    return msgspec.json.encode(golden) + b"\n"


def check_golden(content: bytes, predict: Callable[[Matrix], Matrix], name: str) -> None:
    """Score golden rows and compare. Raises ModelError, naming host and versions, when this node computes otherwise."""
    try:
        golden = msgspec.json.decode(content, type=GoldenRows)
        features = np.array(
            [[np.nan if value is None else value for value in row] for row in golden.features], np.float32
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise ModelError(f"The golden rows of {name} do not read: {error}.") from error
    if golden.format != FORMAT or not len(features) or len(features) != len(golden.pd):
        raise ModelError(f"The golden rows of {name} are of format {golden.format}, or have no answers.")
    difference = np.abs(predict(features).astype(np.float64) - np.array(golden.pd))
    # A NaN is no agreement, whatever it is compared with.
    apart = np.flatnonzero(~(difference <= TOLERANCE))
    if len(apart):
        raise ModelError(
            f"This node computes other probabilities than {name} was published with: {len(apart)} of {len(features)} "
            f"golden rows differ, row {apart[0] + 1} by {difference[apart[0]]:.2g} (host {socket.gethostname()}, "
            f"{platform.machine()}, onnxruntime {version('onnxruntime')}, numpy {version('numpy')}).",
            "Install the versions that the model's manifest names on this node, or keep it out of the pool.",
        )
