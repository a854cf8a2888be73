"""Labelled loans as arrays: what the nodes of the training DAG hand to each other, on disk as one `.npz`."""

import hashlib
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scoring.atomic import written_atomically
from scoring.contract import Column, Contract
from scoring.errors import LoansError, StorageError
from training.history.history_files import naming_file, unpack_history

if TYPE_CHECKING:
    import polars as pl

_MONITOR = "monitor_"


@dataclass(frozen=True)
class LabelledLoans:
    """Loans with known outcome; every array has one entry for each loan, in the same order."""

    features: NDArray[np.float32]
    """(loans, features), columns in the contract's order; missing = NaN, categories as codes."""
    labels: NDArray[np.uint8]
    """(loans,), 1 = default."""
    rows: NDArray[np.int64]
    """(loans,), 1-based row in its file."""
    files: NDArray[np.int32]
    """(loans,), 0-based position of its file in the run's history."""
    monitors: Mapping[str, NDArray[np.float32]]
    """(loans,) for each column that only watches; never fitted on."""

    def __len__(self) -> int:
        """Count the loans."""
        return len(self.labels)

    @property
    def defaults(self) -> int:
        """Count the loans that defaulted."""
        return int(np.count_nonzero(self.labels))

    def take(self, positions: NDArray[np.intp]) -> "LabelledLoans":
        """Pick loans by position, in the order given."""
        return LabelledLoans(
            features=self.features[positions],
            labels=self.labels[positions],
            rows=self.rows[positions],
            files=self.files[positions],
            monitors={name: values[positions] for name, values in self.monitors.items()},
        )

    def digest(self) -> str:
        """Hash all arrays (SHA-256, hexadecimal): two equal digests are the same loans in the same order."""
        digest = hashlib.sha256()
        for name, values in sorted(self._arrays().items()):
            digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the arrays to `path` in one durable step. Raises OSError as the storage does."""
        with written_atomically(path) as file:
            np.savez(file, allow_pickle=False, **self._arrays())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        watched: dict[str, NDArray[Any]] = {_MONITOR + name: values for name, values in self.monitors.items()}
        return watched | {"features": self.features, "labels": self.labels, "rows": self.rows, "files": self.files}


def load_loans(path: Path) -> LabelledLoans:
    """Read what `LabelledLoans.save` wrote. Raises StorageError when it is missing or damaged."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
        return LabelledLoans(
            features=content["features"],
            labels=content["labels"],
            rows=content["rows"],
            files=content["files"],
            monitors={name.removeprefix(_MONITOR): content[name] for name in content if name.startswith(_MONITOR)},
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"The loans {path} cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}.",
            "Start the training run again.",
        ) from error


def join_loans(parts: Sequence[LabelledLoans]) -> LabelledLoans:
    """Put parts of the same columns one after the other.

    A column that only watches and is absent from a part is NaN there. Raises LoansError when there is no part or the
    parts differ in their number of features.
    """
    if not parts:
        raise LoansError("There are no loans to train on.", "Put labelled CSV files into the history folder.")
    widths = {part.features.shape[1] for part in parts}
    if len(widths) > 1:
        raise LoansError(f"Parts of the history have different numbers of features: {sorted(widths)}.")
    watched = sorted({name for part in parts for name in part.monitors})
    return LabelledLoans(
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        rows=np.concatenate([part.rows for part in parts]),
        files=np.concatenate([part.files for part in parts]),
        monitors={name: np.concatenate([_watched(part, name) for part in parts]) for name in watched},
    )


def _watched(part: LabelledLoans, name: str) -> NDArray[np.float32]:
    values = part.monitors.get(name)
    return np.full(len(part), np.nan, np.float32) if values is None else values


@dataclass(frozen=True)
class HistoryFrame:
    """Labelled loans in one table, and what was rejected."""

    loans: "pl.DataFrame"
    """`file`, `row` (1-based), the contract's features and monitor-only columns, and the target: true = default."""
    rejected: Mapping[str, int]
    """Rows that broke the contract, by rule."""


def read_history(files: Iterable[Path], contract: Contract) -> HistoryFrame:
    """Read labelled files as a training run reads them; a missing value is null, an unknown category too.

    Packed files are unpacked into a scratch folder for as long as it takes.

    Raises LoansError when the contract names no target, FileRefusedError when a file as a whole cannot be read.
    """
    # polars fixes its threads when it is imported; whoever calls this may want to say how many.
    import polars as pl

    from scoring.csv.chunks import plan_chunks
    from scoring.csv.reader import read_loans
    from scoring.csv.source import open_source

    target = contract.target
    if target is None:
        raise LoansError("The contract names no target, so that no loan has an outcome.", "Name it in the contract.")
    frames: list[pl.DataFrame] = []
    rejected: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="loans-history-") as folder:
        for path in unpack_history(tuple(files), Path(folder)):
            with naming_file(path):
                source = open_source(path, contract, labelled=True)
                plan = plan_chunks(source, max(source.bytes, 1))
            for chunk in plan.chunks:
                for block in read_loans(source, chunk, contract, labelled=True):
                    values = block.values
                    columns = {
                        column.name: _words(column, values.features[:, place])
                        for place, column in enumerate(contract.features)
                    }
                    columns |= {
                        column.name: _words(column, values.monitors[column.name])
                        for column in contract.monitors
                        if column.name in values.monitors
                    }
                    labels = pl.Series(target.name, values.labels, dtype=pl.UInt8).cast(pl.Boolean)
                    place_of = {"file": pl.repeat(path.name, len(block.rows), eager=True), "row": pl.Series(block.rows)}
                    frames.append(pl.DataFrame({**place_of, **columns, target.name: labels}))
                    rejected.update(reject.rule for reject in block.rejects)
    loans = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
    return HistoryFrame(loans, dict(sorted(rejected.items())))


def _words(column: Column, values: NDArray[np.float32]) -> "pl.Series":
    import polars as pl

    if not column.categories:
        return pl.Series(column.name, values).fill_nan(None)
    # What is no category of the contract has a code behind the last one.
    known = np.isfinite(values) & (values < len(column.categories))
    codes = pl.Series(np.where(known, values, 0).astype(np.uint32))
    texts = pl.Series(column.name, column.categories, dtype=pl.String).gather(codes)
    return texts.set(pl.Series(~known), None).cast(pl.Enum(column.categories))
