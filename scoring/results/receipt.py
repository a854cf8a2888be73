"""The receipt of a published file: what came in, what went out, by which model, where and when; sealed by hashes."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from scoring.atomic import write_bytes, written_atomically
from scoring.chunk.part import Outcome, Sealed, name_part, prediction_columns
from scoring.chunk.plan import BatchPlan
from scoring.csv.rejects import HEADER
from scoring.models.policy import DECISIONS
from scoring.models.registry import MODEL, Manifest, Pin, now
from scoring.plain_file import read_document
from scoring.results.challenger_report import ChallengerReport, report_challenger
from scoring.results.merge import gather_outcomes, join_files

FORMAT = 1


class ReceiptPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chunk's share in a receipt."""

    chunk: int
    """Its number (0-based)."""
    first_row: int
    """Record number of its first record (1-based)."""
    rows_in: int
    """Records read."""
    scored: int
    """Records with a prediction."""
    rejected: int
    """Records with a reject row."""
    read_blake3: str
    """BLAKE3 of the bytes read, hexadecimal."""
    predictions: Sealed
    """Its predictions, without a header."""
    rejects: Sealed
    """Its rejects, without a header."""
    host: str
    """Where it was scored."""
    started: str
    """When (UTC, ISO 8601)."""
    seconds: dict[str, float]
    """Wall time per stage (seconds)."""


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole account of one file."""

    format: int
    """Version of this very format."""
    batch: str
    """The batch's id."""
    name: str
    """The file's name as it was dropped."""
    input: Sealed
    """The file as it was planned (a .csv.gz unpacked)."""
    header: tuple[str, ...]
    """Its column names as they stand."""
    separator: str
    """The character between its fields."""
    encoding: str
    """How its text is encoded."""
    rows_in: int
    """Records in the file."""
    scored: int
    """Records with a prediction."""
    rejected: int
    """Records with a reject row; rows_in = scored + rejected."""
    plan_sha256: str
    """SHA-256 of the batch's plan, hexadecimal."""
    predictions: Sealed
    """The published predictions."""
    rejects: Sealed
    """The published rejects."""
    model: Pin
    """The version that scored."""
    model_sha256: str
    """SHA-256 of the graph that ran, hexadecimal."""
    packages: dict[str, list[str]]
    """Versions of what computed; more than one where nodes differed."""
    parts: list[ReceiptPart]
    """Every chunk, in order."""
    published: str
    """When (UTC, ISO 8601)."""
    input_sha256: str = ""
    """SHA-256 of the file as it was dropped, hexadecimal; empty where nothing was dropped (`loans score`)."""
    decisions: dict[str, int] = {}
    """Rows by decision; empty where the model has no policy."""
    bands: dict[str, int] = {}
    """Rows by band, from the highest points to the lowest; empty where the model has no policy."""
    challenger: ChallengerReport | None = None
    """How the challenger fared on the same rows; None without one."""


class Published(msgspec.Struct, frozen=True):
    """Where one file's results stand."""

    predictions: Path
    rejects: Path
    receipt: Path


def publish_result(
    batch: BatchPlan,
    plan_bytes: bytes,
    name: str,
    manifest: Manifest,
    target: Published,
    *,
    input_sha256: str = "",
    challenger: Path | None = None,
    confirm: Callable[[], object] = lambda: None,
) -> Receipt:
    """Merge a batch's parts and publish rejects, receipt and, last and by one rename, predictions.

    `manifest` is that of the pinned model; `challenger` is where both probabilities of each row go when the batch has
    a challenger. `confirm` is called when everything is merged and nothing has appeared yet; what it raises ends the
    publication. Whoever sees the predictions sees a complete set. Raises ProofError when the parts do not make up the
    plan, OSError as the storage does; no predictions appear then.
    """
    outcomes = gather_outcomes(batch)
    parts = [name_part(Path(batch.parts), outcome.chunk) for outcome in outcomes]
    encoding = batch.plan.source.encoding
    with written_atomically(target.predictions, "publish.predictions") as predictions_file:
        predictions = join_files(
            [(part.predictions, outcome.predictions) for part, outcome in zip(parts, outcomes, strict=True)],
            (",".join(map(quote_name, prediction_columns(manifest, batch.echoed))) + "\n").encode(encoding),
            predictions_file,
        )
        with written_atomically(target.rejects, "publish.rejects") as rejects_file:
            rejects = join_files(
                [(part.rejects, outcome.rejects) for part, outcome in zip(parts, outcomes, strict=True)],
                HEADER,
                rejects_file,
            )
            confirm()
        receipt = msgspec.structs.replace(
            _write_receipt(batch, plan_bytes, name, manifest, outcomes, predictions, rejects, input_sha256),
            challenger=report_challenger(batch, outcomes, challenger),
        )
        content = msgspec.json.format(msgspec.json.encode(receipt), indent=1) + b"\n"
        write_bytes(target.receipt, content, "publish.receipt")
    return receipt


def quote_name(name: str) -> str:
    """Quote a column name where CSV needs it."""
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\r\n') else name


def _write_receipt(
    batch: BatchPlan,
    plan_bytes: bytes,
    name: str,
    manifest: Manifest,
    outcomes: Sequence[Outcome],
    predictions: Sealed,
    rejects: Sealed,
    input_sha256: str,
) -> Receipt:
    policy = manifest.policy
    packages: dict[str, set[str]] = {}
    for outcome in outcomes:
        for package, version in outcome.packages.items():
            packages.setdefault(package, set()).add(version)
    return Receipt(
        format=FORMAT,
        batch=batch.batch,
        name=name,
        input=Sealed(batch.plan.source.bytes, batch.plan.blake3),
        header=batch.plan.source.header,
        separator=batch.plan.source.separator,
        encoding=batch.plan.source.encoding,
        rows_in=batch.plan.rows,
        scored=sum(outcome.scored for outcome in outcomes),
        rejected=sum(outcome.rejected for outcome in outcomes),
        plan_sha256=hashlib.sha256(plan_bytes).hexdigest(),
        predictions=predictions,
        rejects=rejects,
        model=batch.model,
        model_sha256=manifest.files[MODEL].sha256,
        packages={package: sorted(versions) for package, versions in packages.items()},
        parts=[
            ReceiptPart(
                chunk=outcome.chunk,
                first_row=outcome.first_row,
                rows_in=outcome.rows_in,
                scored=outcome.scored,
                rejected=outcome.rejected,
                read_blake3=outcome.read_blake3,
                predictions=outcome.predictions,
                rejects=outcome.rejects,
                host=outcome.host,
                started=outcome.started,
                seconds=outcome.seconds,
            )
            for outcome in outcomes
        ],
        published=now(),
        input_sha256=input_sha256,
        decisions={} if policy is None else _add_up((outcome.decisions for outcome in outcomes), DECISIONS),
        bands={} if policy is None else _add_up((outcome.bands for outcome in outcomes), policy.band_names),
    )


def _add_up(counts: Iterable[dict[str, int]], names: Sequence[str]) -> dict[str, int]:
    """Add up rows by name, in the order of the names; those that no chunk tells of are 0."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {name: total[name] for name in names}


def read_receipt(path: Path) -> Receipt:
    """Read a receipt. Raises OSError as the storage does, ProofError when it does not read."""
    return read_document(path, Receipt, "receipt", FORMAT)
