"""Prove a published receipt again, from the files alone, by a reader that shares nothing with the one that scored.

The account goes through the input line by line with Python's own csv module. Every record must be, in order, the next
prediction (same row number, same ids) or the next reject (same row number, same bytes), and nothing may be left over.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from scoring.chunk.part import Sealed, prediction_columns, seal_file
from scoring.errors import ModelError, ProofError
from scoring.models.registry import Manifest, find_damage, read_manifest
from scoring.results.receipt import Published, Receipt

_FIELD_LIMIT = 1 << 31
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    what: str
    """What was checked, in words."""
    problem: str
    """What is wrong; empty when it holds."""


def verify_result(
    content: Path, receipt: Receipt, results: Published, models: Path, challenger: Path | None = None
) -> list[Check]:
    """Check everything that a receipt says; `content` is the input as it was planned (a .csv.gz unpacked).

    `challenger` is where the file of both probabilities was left; where it was cleared away nothing is said of it.
    Raises OSError as the storage does.
    """
    checks = [
        _check_seal("input", content, receipt.input),
        _check_seal("predictions", results.predictions, receipt.predictions),
        _check_seal("rejects", results.rejects, receipt.rejects),
        _check_sums(receipt),
        _check_parts(receipt, results),
    ]
    if receipt.challenger is not None and receipt.challenger.file is not None and challenger and challenger.exists():
        checks.append(_check_seal("challenger", challenger, receipt.challenger.file))
    try:
        manifest, _ = read_manifest(models, receipt.model.version, receipt.model.manifest_sha256)
    except ModelError as error:
        return [*checks, Check("model", error.what)]
    checks.append(Check("model", "; ".join(find_damage(models, manifest))))
    found: Counter[tuple[str, str]] = Counter()
    try:
        rows = _account(content, receipt, results, manifest, found)
        problem = "" if rows == receipt.rows_in else f"{rows} records were counted, the receipt says {receipt.rows_in}"
    except ProofError as error:
        problem = error.what
    except FileNotFoundError as error:
        problem = f"{error.filename} is missing"
    except (csv.Error, ValueError, IndexError, StopIteration) as error:
        problem = f"the files do not read as a result: {type(error).__name__}"
    checks.append(Check("every record once, in order", problem))
    if manifest.policy is not None:
        checks.append(_check_counts(receipt, found))
    return checks


def _check_seal(what: str, path: Path, seal: Sealed) -> Check:
    try:
        found = seal_file(path)
    except FileNotFoundError:
        return Check(what, f"{path} is missing")
    problem = (
        "" if found == seal else f"{path} is not what the receipt says: BLAKE3 {found.blake3}, sealed {seal.blake3}"
    )
    return Check(what, problem)


def _check_sums(receipt: Receipt) -> Check:
    row = 1
    problems = []
    for place, part in enumerate(receipt.parts):
        if (part.chunk, part.first_row) != (place, row):
            problems.append(f"part {place} is chunk {part.chunk} from row {part.first_row}, row {row} was next")
        if part.scored + part.rejected != part.rows_in:
            problems.append(f"part {place}: {part.scored} + {part.rejected} is not {part.rows_in}")
        row = part.first_row + part.rows_in
    sums = [sum(getattr(part, name) for part in receipt.parts) for name in ("rows_in", "scored", "rejected")]
    if sums != [receipt.rows_in, receipt.scored, receipt.rejected]:
        problems.append(f"the parts add up to {sums}")
    if receipt.scored + receipt.rejected != receipt.rows_in:
        problems.append(f"{receipt.scored} + {receipt.rejected} is not {receipt.rows_in}")
    return Check("rows in = scored + rejected, part by part", "; ".join(problems))


def _check_counts(receipt: Receipt, found: Counter[tuple[str, str]]) -> Check:
    """Compare rows by band and decision, as they were found in the predictions, with what the receipt counts."""
    problems = []
    for place, (what, told) in enumerate((("band", receipt.bands), ("decision", receipt.decisions))):
        counted: Counter[str] = Counter()
        for pair, rows in found.items():
            counted[pair[place]] += rows
        problems += [
            f"{what} {name} stands in {counted[name]} rows, the receipt says {told.get(name, 0)}"
            for name in sorted(counted.keys() | told.keys())
            if counted[name] != told.get(name, 0)
        ]
    return Check("rows by band and decision", "; ".join(problems))


def _check_parts(receipt: Receipt, results: Published) -> Check:
    """Find each part's bytes in the published files by their hashes."""
    problems = []
    for what, path in (("predictions", results.predictions), ("rejects", results.rejects)):
        try:
            with path.open("rb") as file:
                file.readline()
                for part in receipt.parts:
                    seal: Sealed = getattr(part, what)
                    if _hash_next(file, seal.bytes) != seal.blake3:
                        problems.append(f"the {what} of chunk {part.chunk} are not the ones that were written")
        except FileNotFoundError:
            problems.append(f"{path} is missing")
    return Check("every part in the published files", "; ".join(problems))


def _hash_next(file: BinaryIO, size: int) -> str:
    found = blake3()
    while size and (block := file.read(min(size, _BLOCK))):
        found.update(block)
        size -= len(block)
    return found.hexdigest()


def _account(
    content: Path, receipt: Receipt, results: Published, manifest: Manifest, found: Counter[tuple[str, str]]
) -> int:
    """Go through input, predictions and rejects side by side; give the number of records.

    Rows by band and decision are added to `found`, where the model has a policy.
    Raises ProofError at the first record that is not accounted for.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    places = [receipt.header.index(column.name) for column in manifest.contract.ids]
    columns = prediction_columns(manifest)
    meaning = None if manifest.policy is None else (columns.index("band"), columns.index("decision"))
    decoding = {"encoding": receipt.encoding, "errors": "surrogateescape", "newline": ""}
    with (
        content.open("rb") as file,
        results.predictions.open(**decoding) as predictions_file,  # type: ignore[call-overload]
        results.rejects.open(**decoding) as rejects_file,  # type: ignore[call-overload]
    ):
        file.readline()
        predictions, rejects = csv.reader(predictions_file), csv.reader(rejects_file)
        next(predictions), next(rejects)
        prediction, reject = next(predictions, None), next(rejects, None)
        row = 0
        width = len(places)
        while prediction is not None or reject is not None:
            row += 1
            if reject is not None and int(reject[0]) == row:
                _pass_reject(file, reject, receipt.encoding)
                reject = next(rejects, None)
            elif prediction is not None and int(prediction[width]) == row:
                record = _next_record(file, receipt)
                if len(record) != len(receipt.header) or [record[place] for place in places] != prediction[:width]:
                    raise ProofError(f"the prediction of row {row} has other ids than record {row} of the input")
                if meaning is not None:
                    found[prediction[meaning[0]], prediction[meaning[1]]] += 1
                prediction = next(predictions, None)
            else:
                raise ProofError(f"row {row} is neither among the predictions nor among the rejects")
        # Records without content at the end are no rows.
        if any(field.strip(" \t") for record in _read_records(file, receipt) for field in record):
            raise ProofError(f"the input goes on after row {row}")
        return row


def _pass_reject(file: BinaryIO, reject: list[str], encoding: str) -> None:
    """Pass over a rejected record, which must stand in the input byte for byte."""
    raw = reject[5].encode(encoding, errors="surrogateescape")
    if file.read(len(raw)) != raw:
        raise ProofError(f"reject {reject[0]} is not the record that stands in the input")
    if file.readline() not in (b"\n", b"\r\n", b"", b"\r"):
        raise ProofError(f"reject {reject[0]} is not the whole record that stands in the input")


def _next_record(file: BinaryIO, receipt: Receipt) -> list[str]:
    return next(_read_records(file, receipt), [])


def _read_records(file: BinaryIO, receipt: Receipt) -> Iterator[list[str]]:
    lines = (line.decode(receipt.encoding, errors="surrogateescape") for line in _lines(file))
    return csv.reader(lines, delimiter=receipt.separator, strict=True)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline():
        yield line
