"""How many rows a second a candidate scores, CSV to CSV, on one core: measured, not estimated.

The held-out loans are written as a CSV by the contract, over and over until there are ROWS of them, and scored by the
very function that a chunk job calls: bytes of a CSV → reader → graph → encoded and sealed part. What counts is
processor time of the whole process, the best of REPEATS runs: with one thread that is the wall time of an undisturbed
core, and neither a neighbour on the machine nor a slow disk moves it. Not counted: the start of a job, opening the
model, waiting for storage.
"""

import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from scoring.chunk.plan import FORMAT, BatchPlan
from scoring.contract import Contract, Type
from scoring.errors import ProofError
from scoring.models.model import Model, open_model
from scoring.models.policy import Policy
from scoring.models.registry import GOLDEN, MODEL, publish_version
from training.history.labelled_loans import LabelledLoans

ROWS: Final = 40_000
"""Rows that are scored, unless there are more held-out loans."""

REPEATS: Final = 3
"""Runs at most; the best one counts."""

ENOUGH_SECONDS: Final = 4.0
"""After so much processor time no further run begins: a slow model is slow each time."""

_VERSION: Final = "measured"


def measure_rows_per_second(
    graph: bytes, golden: bytes, contract: Contract, loans: LabelledLoans, policy: Policy | None = None
) -> float:
    """Measure a serialised graph on held-out loans (rows a second).

    Uses the scratch folder of the job for some ten megabytes. Raises ModelError when the graph must not be published or
    gives no probabilities, OSError as the storage does.
    """
    # polars fixes its threads when it is imported, so that has to wait for the node's limit.
    from scoring.chunk.score import score_chunk
    from scoring.csv.chunks import plan_chunks
    from scoring.csv.source import open_source

    with tempfile.TemporaryDirectory(prefix="loans-speed-") as name:
        folder = Path(name)
        pin = publish_version(
            folder,
            version=_VERSION,
            candidate=_VERSION,
            contract=contract,
            files={MODEL: graph, GOLDEN: golden},
            metrics={},
            parameters={},
            training={},
            packages={},
            policy=policy,
        )
        model = open_model(folder, pin.version, pin.manifest_sha256, threads=1)
        path = folder / "loans.csv"
        rows = write_loans(path, contract, loans, ROWS)
        plan = plan_chunks(open_source(path, contract), path.stat().st_size)
        batch = BatchPlan(FORMAT, _VERSION, plan, str(folder), pin, str(folder))

        def opener(_models: Path, _version: str, _pinned: str, _threads: int) -> Model:
            return model

        seconds: list[float] = []
        while len(seconds) < REPEATS and sum(seconds) < ENOUGH_SECONDS:
            begun = time.process_time()
            outcomes = [score_chunk(batch, chunk.number, threads=1, opener=opener) for chunk in plan.chunks]
            seconds.append(time.process_time() - begun)
    if sum(outcome.scored for outcome in outcomes) != rows:
        raise ProofError(f"Of {rows} loans that were written to measure the speed, not all could be scored.")
    return rows / min(seconds)


def write_loans(path: Path, contract: Contract, loans: LabelledLoans, rows: int) -> int:
    """Write loans as a CSV to be scored, repeated to about `rows` rows; give the number of rows.

    Ids are made up. Every value is one that the contract accepts, because it was read by it.
    """
    import polars as pl

    times = max(1, -(-rows // len(loans)))
    # No larger than what is asked for: a history of millions is not written out again.
    features = loans.features[:rows] if times == 1 else loans.features
    count = len(features) * times
    missing = contract.missing_texts[0] if contract.missing_texts else ""
    columns = {column.name: pl.int_range(count, eager=True).cast(pl.String) for column in contract.ids}
    for position, column in enumerate(contract.features):
        values = features[:, position]
        gaps = np.isnan(values)
        if column.type is Type.CATEGORY:
            texts = np.array([*column.categories, _stranger(column.categories)])
            column_texts = pl.Series(texts[np.where(gaps, 0, values).astype(np.intp)])
        else:
            # As a lender writes them: whole numbers without a fraction.
            whole = np.all(np.where(gaps, 0, values % 1) == 0) and np.all(np.abs(np.where(gaps, 0, values)) < 2**53)
            numbers = pl.Series(np.where(gaps, 0, values))
            column_texts = (numbers.cast(pl.Int64) if whole else numbers).cast(pl.String)
        column_texts = column_texts.scatter(np.flatnonzero(gaps), missing) if gaps.any() else column_texts
        columns[column.name] = pl.concat([column_texts] * times)
    path.write_bytes(pl.DataFrame(columns).write_csv().encode(contract.encoding))
    return count


def _stranger(categories: tuple[str, ...]) -> str:
    """Make a text that is none of the categories."""
    return "x" + max(categories, key=len)
