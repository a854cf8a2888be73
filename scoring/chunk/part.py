"""What scoring one chunk leaves behind: predictions, rejects, and an outcome that seals both."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
from blake3 import blake3

from scoring.chunk.challenger import Tally
from scoring.models.policy import COLUMNS
from scoring.models.registry import Manifest, Pin
from scoring.plain_file import read_document

FORMAT = 1


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a written file must still be."""

    bytes: int
    """Its size (bytes)."""
    blake3: str
    """BLAKE3 of its content, hexadecimal."""


class ChallengerPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of scoring a chunk with the challenger as well."""

    model: Pin
    """The challenger."""
    problem: str = ""
    """Why it was not compared, in words; nothing of a loan."""
    file: Sealed | None = None
    """Both probabilities of each row, without a header; None where it was not compared."""
    tally: Tally | None = None
    """What was counted; None where it was not compared."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sealed account of one scored chunk; its existence, not a job's exit code, is success."""

    format: int
    """Version of this very format."""
    batch: str
    """The batch."""
    chunk: int
    """The chunk's number (0-based)."""
    first_row: int
    """Record number of the first record (1-based)."""
    rows_in: int
    """Records read."""
    scored: int
    """Records with a prediction."""
    rejected: int
    """Records with a reject row; rows_in = scored + rejected."""
    read_blake3: str
    """BLAKE3 of the bytes read, hexadecimal."""
    predictions: Sealed
    """The predictions, without a header."""
    rejects: Sealed
    """The rejects, without a header."""
    model: Pin
    """The model version that scored."""
    model_sha256: str
    """SHA-256 of the very graph that ran."""
    host: str
    """The machine."""
    packages: dict[str, str]
    """Versions of what computed."""
    started: str
    """When (UTC, ISO 8601)."""
    seconds: dict[str, float]
    """Wall time per stage (seconds)."""
    decisions: dict[str, int] = {}
    """Rows by decision; empty where the model has no policy."""
    bands: dict[str, int] = {}
    """Rows by band; empty where the model has no policy."""
    challenger: ChallengerPart | None = None
    """How the challenger fared on the same rows; None without one."""
    without_content: int = 0
    """Rejected records without any content (rules `rejects.NO_CONTENT`), which count in no share."""


class PartFiles(msgspec.Struct, frozen=True):
    """Names of one part's files in the folder of all parts."""

    predictions: Path
    rejects: Path
    outcome: Path
    challenger: Path
    """Both probabilities of each row, where there is a challenger."""
    comparing: Path
    """Stands while the challenger is compared."""


def name_part(folder: Path, chunk: int) -> PartFiles:
    """Name the files of a chunk's part."""
    stem = f"{chunk:06d}"
    return PartFiles(
        predictions=folder / f"{stem}.predictions.csv",
        rejects=folder / f"{stem}.rejects.csv",
        outcome=folder / f"{stem}.outcome.json",
        challenger=folder / f"{stem}.challenger.csv",
        comparing=folder / f"{stem}.comparing",
    )


def seal_file(path: Path) -> Sealed:
    """Seal a file as it stands, in constant memory. Raises OSError as the storage does."""
    found, size = blake3(), 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            found.update(block)
            size += len(block)
    return Sealed(size, found.hexdigest())


def prediction_columns(manifest: Manifest, echoed: Sequence[str] = ()) -> list[str]:
    """Name the columns of a model's predictions, in order; an echoed column never takes the name of one of ours."""
    meaning = () if manifest.policy is None else COLUMNS
    own = [*(column.name for column in manifest.contract.ids), "row_number", "pd", *meaning, "model_version"]
    return own + [f"{name} (input)" if name in own else name for name in echoed]


def read_outcome(path: Path) -> Outcome | None:
    """Read a part's outcome; None while there is none. Raises ProofError when it does not read."""
    try:
        return read_document(path, Outcome, "outcome", FORMAT)
    except FileNotFoundError:
        return None


class SealedWriter:
    """Writes to a file and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        """Start with nothing written."""
        self._file = file
        self._hash = blake3()
        self._bytes = 0

    def write(self, content: bytes | memoryview) -> None:
        """Write and hash some bytes. Raises OSError as the storage does."""
        self._file.write(content)
        self._hash.update(content)
        self._bytes += len(content)

    def seal(self) -> Sealed:
        """Tell what was written."""
        return Sealed(self._bytes, self._hash.hexdigest())
