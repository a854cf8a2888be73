"""The history as a table to look at: what the reader makes of it, with the words of categories instead of codes."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Column, Contract
from scoring.errors import LoansError
from training.loans.named_file import naming_file
from training.loans.packed_history import unpack_history

if TYPE_CHECKING:
    import polars as pl


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

    from scoring.chunks import plan_chunks
    from scoring.reader import read_loans
    from scoring.source import open_source

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
