"""How a node of the training DAG ended: one JSON file, always, and on failure one line on stderr and an exit code.

The outcome also seals the files that the node wrote, so that whoever comes later - DAGMan once more, or a resumed run -
can tell work that is finished from work that is to be done again.
"""

import hashlib
import io
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from scoring.atomic import write_bytes
from scoring.errors import LoansError, ProofError, StorageError
from scoring.models.registry import sha256_of
from training.records.findings import FoldFit

FORMAT = 2
DONE = "done"
FAILED = "failed"

FUTILE: Final = 3
"""Exit code of a node that failed and would fail again: DAGMan does not try it a second time."""

OURS = ("scoring", "training")
"""Packages whose lines are told when something goes wrong inside."""

Details = TypeVar("Details")


class Outcome(msgspec.Struct, Generic[Details], frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one node ended."""

    format: int
    """Version of this very format."""
    node: str
    """The node's name in the DAG."""
    state: str
    """`done` or `failed`."""
    started: float
    """When its process began (seconds since 1970, UTC)."""
    seconds: float
    """Wall time of the process, imports included (seconds)."""
    host: str
    """The machine that it ran on."""
    details: Details | None = None
    """What the node found out, when it is done."""
    outputs: dict[str, str] = {}
    """SHA-256 of each file that it wrote for other nodes, by absolute path."""
    what: str = ""
    """What happened, when it failed: one sentence."""
    way_out: str = ""
    """What to do about that, where it is known."""
    futile: bool = False
    """Whether it would fail again, however often it is tried."""


def run_node(node: str, path: Path, work: Callable[[], msgspec.Struct], outputs: Sequence[Path] = ()) -> int:
    """Do a node's work, which writes `outputs`, and leave its outcome at `path`; give the exit code of the process.

    0: done, or it was done before: a node that is finished does nothing. 1: failed. FUTILE: failed for a reason that
    no second attempt mends. What a person can act on (LoansError, OSError, MemoryError) is told in its own words.
    Anything else is a fault of ours: its kind and place are told, never its text, which might quote a loan.
    """
    if is_finished(node, path):
        return 0
    details: msgspec.Struct | None = None
    sealed: dict[str, str] = {}
    what = way_out = ""
    futile = False
    try:
        details = work()
        sealed = {str(output): sha256_of(output) for output in outputs}
    except LoansError as error:
        what, way_out = error.what, error.way_out
        futile = not isinstance(error, StorageError)
    except OSError as error:
        what = f"The storage refused {error.filename or 'a file'}: {error.strerror or type(error).__name__}."
        way_out = "Check that the shared storage is mounted on this execute node, writable and not full."
    except MemoryError:
        what = "There was not enough memory."
        way_out = "Ask for more memory for the training nodes, or train on fewer loans."
    except Exception as error:  # noqa: BLE001 - the node always leaves a readable outcome
        what = f"An internal error: {type(error).__name__} {_place(error)}."
        way_out = "This is a fault of the program: please report it with this line."
    started = process_started()
    outcome = Outcome(
        format=FORMAT,
        node=node,
        state=FAILED if what else DONE,
        started=round(started, 3),
        seconds=round(time.time() - started, 3),
        host=socket.gethostname(),
        details=details,
        outputs=sealed,
        what=what,
        way_out=way_out,
        futile=futile,
    )
    try:
        write_bytes(path, msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n")
    except OSError as error:
        what = what or f"The outcome {path} cannot be written: {error.strerror}."
    if what:
        print(f"{node}: {what}", file=sys.stderr)  # noqa: T201 - the one line that a failed node says
        return FUTILE if futile else 1
    return 0


def is_finished(node: str, path: Path) -> bool:
    """Tell whether a node's outcome at `path` says done and every file that it wrote is still what it wrote."""
    try:
        outcome = read_outcome(path, Any)
        return (
            outcome.node == node
            and outcome.state == DONE
            and all(sha256_of(Path(name)) == digest for name, digest in outcome.outputs.items())
        )
    except (StorageError, OSError):
        return False


def read_outcome(path: Path, kind: type[Details]) -> Outcome[Details]:
    """Read how a node ended, with details of the given kind. Raises StorageError when it does not read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"The outcome {path} cannot be read: {error.strerror}.") from error
    try:
        outcome = msgspec.json.decode(content, type=Outcome[kind])  # type: ignore[valid-type]
    except msgspec.DecodeError as error:
        raise StorageError(f"The outcome {path} does not read: {error}.") from error
    if outcome.format != FORMAT:
        raise StorageError(f"The outcome {path} is of format {outcome.format}, this version reads {FORMAT}.")
    return outcome


def read_details(path: Path, kind: type[Details]) -> Details:
    """Read what a node that is done found out. Raises LoansError when it failed, StorageError when it does not read."""
    outcome = read_outcome(path, kind)
    if outcome.details is None:
        raise LoansError(f"Node {outcome.node} is not done: {outcome.what or outcome.state}")
    return outcome.details


def process_started() -> float:
    """Tell when this process began (seconds since 1970; proc(5), field 22), so that imports count as a node's time."""
    with suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - age
    return time.time() - time.process_time()


def _place(error: BaseException) -> str:
    """Name the innermost line of our own code that an error passed through."""
    home = Path(__file__).parents[2]
    frames = [(Path(frame.filename), frame) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [frame for path, frame in frames if path.is_relative_to(home) and path.relative_to(home).parts[0] in OURS]
    if not ours:
        return "at an unknown place"
    return f"at {Path(ours[-1].filename).relative_to(home)}:{ours[-1].lineno} in {ours[-1].name}"


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
