"""Bytes of a chunk → values → probabilities → a sealed part. The one path from a CSV to predictions."""

import io
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from blake3 import blake3

from scoring.atomic import write_bytes, written_atomically
from scoring.chunk.comparing import Comparison
from scoring.chunk.part import FORMAT, Outcome, SealedWriter, name_part
from scoring.chunk.plan import BatchPlan
from scoring.csv.reader import LoanBlock, read_loans
from scoring.csv.rejects import NO_CONTENT, encode_rejects
from scoring.errors import ProofError
from scoring.models.model import Model, open_model, predict_block
from scoring.models.registry import MODEL, now
from scoring.models.scale import Census, Steps

PACKAGES = ("numpy", "onnxruntime", "polars")
"""What computes: their versions belong to the proof."""

FORMULA_START = r"^[=+\-@\t\r]"
"""How a text begins that a spreadsheet program takes for a formula (OWASP, CSV injection)."""


class Stopwatch:
    """Adds up wall time per stage (seconds)."""

    def __init__(self) -> None:
        """Start with no stage."""
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def rounded(self) -> dict[str, float]:
        """Give the stages to the millisecond."""
        return {name: round(value, 3) for name, value in self.seconds.items()}


def score_chunk(
    batch: BatchPlan, number: int, *, threads: int, opener: Callable[[Path, str, str, int], Model] | None = None
) -> Outcome:
    """Score one chunk of a batch and leave its part; the outcome is written last.

    `opener` opens the model instead of `open_model`: a process that scores many chunks verifies and opens each version
    once. Raises ModelError, ProofError or FileRefusedError when model, input and plan do not fit each other, OSError
    as the storage does; no part is left then.
    """
    watch = Stopwatch()
    started = now()
    chunk = batch.chunk(number)
    opener = opener or open_model
    with watch.stage("open model"):
        model = opener(Path(batch.models), batch.model.version, batch.model.manifest_sha256, threads)
    contract = model.manifest.contract
    files = name_part(Path(batch.parts), number)
    read, scored, rejected, without_content = blake3(), 0, 0, 0
    census = Census(model.scale)
    with (
        written_atomically(files.predictions, "part.predictions") as predictions_file,
        written_atomically(files.rejects, "part.rejects") as rejects_file,
        Comparison(batch, number) as comparison,
    ):
        comparison.begin(model, opener, threads)
        predictions, rejects = SealedWriter(predictions_file), SealedWriter(rejects_file)
        blocks = read_loans(batch.plan.source, chunk, contract, echo=batch.echoed, on_bytes=read.update)
        while True:
            with watch.stage("read"):
                block = next(blocks, None)
            if block is None:
                break
            with watch.stage("predict"):
                probabilities = predict_block(model, block)
                steps = census.place(probabilities)
            with watch.stage("write"):
                lines = encode_predictions(
                    block, probabilities, model, batch.plan.source.encoding, steps=steps, neutralise=batch.neutralise
                )
                predictions.write(lines)
                rejects.write(encode_rejects(block.rejects, batch.plan.source.encoding))
            comparison.add(block, probabilities, steps)
            scored += len(block.rows)
            rejected += len(block.rejects)
            without_content += sum(reject.rule in NO_CONTENT for reject in block.rejects)
        if read.hexdigest() != chunk.blake3:
            raise ProofError(
                f"Chunk {number} holds other bytes than planned: BLAKE3 {read.hexdigest()}, planned {chunk.blake3}.",
                "The input was changed after it was claimed, or the storage gave wrong bytes; send the file again.",
            )
        challenger = comparison.end()
    outcome = Outcome(
        format=FORMAT,
        batch=batch.batch,
        chunk=number,
        first_row=chunk.first_row,
        rows_in=chunk.rows,
        scored=scored,
        rejected=rejected,
        read_blake3=read.hexdigest(),
        predictions=predictions.seal(),
        rejects=rejects.seal(),
        model=batch.model,
        model_sha256=model.manifest.files[MODEL].sha256,
        host=socket.gethostname(),
        packages={name: version(name) for name in PACKAGES},
        started=started,
        seconds=watch.rounded(),
        decisions=census.decisions,
        bands=census.bands,
        challenger=challenger,
        without_content=without_content,
    )
    write_bytes(files.outcome, msgspec.json.encode(outcome), "part.outcome")
    return outcome


def encode_predictions(
    block: LoanBlock,
    probabilities: np.ndarray[tuple[int], np.dtype[np.float32]],
    model: Model,
    encoding: str,
    *,
    steps: Steps | None = None,
    neutralise: bool = False,
) -> bytes | memoryview:
    """Write a block's predictions as CSV lines without a header; `pd` as the shortest exact float32.

    `steps` are those of the probabilities on the model's scale, where it has one.

    Ids and echoed texts stand verbatim, or, with `neutralise`, behind an apostrophe where a spreadsheet would take
    them for a formula.
    """
    frame = block.values.ids.with_columns(
        pl.Series("row_number", block.rows),
        pl.Series("pd", probabilities),
    )
    if model.scale is not None and steps is not None:
        frame = frame.hstack(model.scale.explain(steps))
    frame = frame.with_columns(pl.lit(model.manifest.version).alias("model_version"))
    if block.values.echo.width:
        # An echoed column may have the name of one of ours; names are not written here.
        frame = frame.hstack(block.values.echo.rename(lambda name: f"echo {name}"))
    if neutralise:
        texts = [*block.values.ids.columns, *(f"echo {name}" for name in block.values.echo.columns)]
        # By position: polars would take a column's name like `^x$` for a pattern.
        for column in map(frame.get_column, texts):
            guarded = column.str.replace(FORMULA_START, "'$0")
            frame.replace_column(frame.get_column_index(column.name), guarded)
    lines = io.BytesIO()
    # Where no field of the input held a quote and fields are comma-separated, no id can need one.
    bare = block.bare and (model.scale is None or model.scale.bare)
    frame.write_csv(lines, include_header=False, quote_style="never" if bare else "necessary")
    if encoding == "utf-8":
        return lines.getbuffer()
    return lines.getvalue().decode().encode(encoding)
