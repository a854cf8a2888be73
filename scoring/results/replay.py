"""Score an archived input again with the model that scored it, and compare byte for byte."""

import shutil
import tempfile
from itertools import zip_longest
from pathlib import Path

import msgspec

from scoring.chunk.part import seal_file
from scoring.chunk.plan import FORMAT, BatchPlan
from scoring.chunk.score import score_chunk
from scoring.csv.chunks import plan_chunks
from scoring.csv.source import open_source
from scoring.errors import ProofError
from scoring.models.registry import read_manifest
from scoring.results.receipt import Published, Receipt, publish_result


class Replay(msgspec.Struct, frozen=True):
    """What came of scoring again."""

    identical: bool
    """Whether predictions and rejects are the published ones, byte for byte."""
    differing_lines: int
    """Lines of the predictions that differ."""
    first_difference: str
    """Where the first one is, in words; empty when identical."""


def replay_result(
    content: Path,
    receipt: Receipt,
    results: Published,
    models: Path,
    *,
    threads: int,
    echo: tuple[str, ...] = (),
    neutralise: bool = False,
) -> Replay:
    """Score `content` (the input as it was planned) again with the receipt's model, as one chunk, and compare.

    The files are compared, not the hashes in the receipt. Raises ModelError when the model is missing or altered,
    ProofError when the input is not the one of the receipt, OSError as the storage does.
    """
    pin = receipt.model
    manifest, _ = read_manifest(models, pin.version, pin.manifest_sha256)
    source = open_source(content, manifest.contract)
    plan = plan_chunks(source, max(source.bytes, 1))
    if plan.blake3 != receipt.input.blake3:
        raise ProofError(f"{content} is not the input of batch {receipt.batch}: its BLAKE3 is another one.")
    folder = Path(tempfile.mkdtemp(prefix="loans-replay-"))
    try:
        batch = BatchPlan(FORMAT, receipt.batch, plan, str(models), pin, str(folder), echo, neutralise)
        for chunk in plan.chunks:
            score_chunk(batch, chunk.number, threads=threads)
        again = Published(folder / "predictions.csv", folder / "rejects.csv", folder / "receipt.json")
        new = publish_result(batch, msgspec.json.encode(batch), receipt.name, manifest, again)
        if (new.predictions, new.rejects) == (seal_file(results.predictions), seal_file(results.rejects)):
            return Replay(identical=True, differing_lines=0, first_difference="")
        count, first = _compare(results.predictions, again.predictions)
        if not first:
            count, first = _compare(results.rejects, again.rejects)
        return Replay(identical=False, differing_lines=count, first_difference=first)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(published: Path, again: Path) -> tuple[int, str]:
    """Count the lines that differ, and tell of the first one (columns only, nothing of a loan)."""
    count, first = 0, ""
    with published.open("rb") as old_file, again.open("rb") as new_file:
        for number, (old, new) in enumerate(zip_longest(old_file, new_file), 1):
            if old == new:
                continue
            count += 1
            if not first:
                first = f"line {number} of {published.name}: {_describe(old, new)}"
    return count, first


def _describe(old: bytes | None, new: bytes | None) -> str:
    if old is None or new is None:
        return "only the published file has it" if new is None else "the published file lacks it"
    was, now = old.rstrip(b"\r\n").split(b","), new.rstrip(b"\r\n").split(b",")
    if len(was) != len(now):
        return "another number of fields"
    return (
        f"field(s) {', '.join(str(at) for at, pair in enumerate(zip(was, now, strict=True), 1) if pair[0] != pair[1])}"
    )
