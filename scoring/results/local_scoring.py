"""Score one file on this machine, without HTCondor, through the very functions that a chunk job and the daemon call."""

import shutil
import tempfile
from pathlib import Path

import msgspec

from scoring.atomic import write_bytes
from scoring.chunk.challenger import Challenger
from scoring.chunk.plan import FORMAT, BatchPlan
from scoring.chunk.score import score_chunk
from scoring.csv.chunks import plan_chunks
from scoring.csv.source import open_source
from scoring.csv.truncation import refuse_cut
from scoring.errors import FileRefusedError
from scoring.models.registry import Pin, read_manifest
from scoring.plain_file import refuse_odd_source, refuse_odd_target
from scoring.results.content import prepare_content
from scoring.results.receipt import Published, Receipt, publish_result
from scoring.results.reject_share import check_reject_share, publish_rejects


def name_results(output: Path) -> Published:
    """Name the results of `loans score FILE -o OUT`: OUT itself, and the others beside it."""
    stem = _stem(output)
    return Published(output, output.with_name(f"{stem}.rejects.csv"), output.with_name(f"{stem}.receipt.json"))


def name_compared(output: Path) -> Path:
    """Name the file of both probabilities of `loans score FILE -o OUT --challenger VERSION`."""
    return output.with_name(f"{_stem(output)}.challenger.csv")


def _stem(output: Path) -> str:
    return output.name.removesuffix(".csv").removesuffix(".predictions")


def score_file(
    path: Path,
    output: Path,
    models: Path,
    model: Pin,
    *,
    threads: int,
    max_reject_share: float = 1.0,
    max_unpacked_bytes: int = 1 << 40,
    echo: tuple[str, ...] = (),
    neutralise: bool = False,
    challenger: Challenger | None = None,
) -> Receipt:
    """Score `path` into `output`, with rejects and a receipt beside it, and with a challenger both probabilities too.

    A file of which more than `max_reject_share` (0 to 1) is rejected is refused; its rejects appear all the same.
    Raises FileRefusedError, ModelError or ProofError with the reason in words; no predictions appear then.
    """
    manifest, _ = read_manifest(models, model.version, model.manifest_sha256)
    refuse_odd_source(path)
    refuse_odd_target(output)
    path = path.resolve()
    results = name_results(output)
    compared = name_compared(output)
    targets = [results.predictions, results.rejects, results.receipt, *([compared] if challenger else [])]
    if path in [target.resolve() for target in targets]:
        raise FileRefusedError("same_file", f"{path} would be overwritten by its own results.", "Name another -o.")
    parts = Path(tempfile.mkdtemp(prefix=".loans-", dir=output.resolve().parent))
    try:
        content_path = prepare_content(path, path.name, parts, path.parent, max_unpacked_bytes)
        source = open_source(content_path, manifest.contract)
        refuse_cut(content_path, manifest.contract)
        plan = plan_chunks(source, max(source.bytes, 1))
        batch = BatchPlan(FORMAT, "local", plan, str(models), model, str(parts), echo, neutralise, challenger)
        content = msgspec.json.encode(batch)
        write_bytes(parts / "plan.json", content)
        outcomes = [score_chunk(batch, chunk.number, threads=threads) for chunk in plan.chunks]
        try:
            check_reject_share(outcomes, plan.rows, max_reject_share, parts)
        except FileRefusedError:
            publish_rejects(outcomes, parts, results.rejects)
            raise
        return publish_result(batch, content, path.name, manifest, results, challenger=compared)
    finally:
        shutil.rmtree(parts, ignore_errors=True)
