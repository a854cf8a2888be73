"""From a dropped file to the CSV that is planned: gzip is unpacked, a mended rejects file unwrapped."""

import csv
from pathlib import Path

from scoring.atomic import written_atomically
from scoring.csv.gzip_input import unpack_gzip
from scoring.csv.rejects import COLUMNS
from scoring.csv.source import SEPARATORS
from scoring.errors import FileRefusedError
from scoring.results.receipt import Receipt, quote_name, read_receipt

_FIELD_LIMIT = 1 << 31
_RAW = COLUMNS.index("raw")


def prepare_content(dropped: Path, name: str, folder: Path, receipts: Path, max_unpacked_bytes: int) -> Path:
    """Give the file to plan: `dropped` itself, or what it stands for, written into `folder`.

    `name` is what the file was called when it was dropped. A mended `X.rejects.csv` holds whole records in its column
    `raw`; how they are read is told by the receipt `X.receipt.json` in the folder `receipts`. Raises FileRefusedError
    when the file cannot be unpacked or unwrapped, OSError as the storage does.
    """
    path = dropped
    if name.lower().endswith(".gz"):
        name = name[: -len(".gz")]
        path = folder / "unpacked.csv"
        unpack_gzip(dropped, path, max_unpacked_bytes)
    separator = find_rejects_separator(path)
    if not separator:
        return path
    unwrapped = folder / "unwrapped.csv"
    unwrap_rejects(path, separator, _find_receipt(name, receipts), unwrapped)
    return unwrapped


def find_rejects_separator(path: Path) -> str:
    """Give the separator of a file whose header is that of a rejects file; empty for any other file."""
    with path.open("rb") as file:
        first = file.readline(1024)
    header = first.decode("utf-8-sig", errors="replace").strip().replace('"', "")
    return next((mark for mark in SEPARATORS if tuple(header.split(mark)) == COLUMNS), "")


def _find_receipt(name: str, receipts: Path) -> Receipt:
    stem = name[: -len(".csv")].removesuffix(".rejects") if name.lower().endswith(".csv") else name
    path = receipts / f"{stem}.receipt.json"
    try:
        return read_receipt(path)
    except FileNotFoundError as error:
        raise FileRefusedError(
            "rejects_without_receipt",
            f"This is a rejects file, but there is no receipt {path.name} that tells how its records are read.",
            "Send it under the name that it was published with: NAME.rejects.csv.",
        ) from error


def unwrap_rejects(path: Path, separator: str, receipt: Receipt, target: Path) -> int:
    """Write the records of a rejects file as a CSV with the header of the file that they came from; give their number.

    Raises FileRefusedError when the file does not read as a rejects file.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    count = 0
    header = receipt.separator.join(map(quote_name, receipt.header))
    with (
        path.open(encoding=receipt.encoding, errors="surrogateescape", newline="") as source,
        written_atomically(target, "plan.unwrapped") as file,
    ):
        file.write(header.encode(receipt.encoding) + b"\n")
        records = csv.reader(source, delimiter=separator, strict=True)
        try:
            next(records)
            for record in records:
                if not any(field.strip(" \t") for field in record):
                    continue  # spreadsheet programs leave lines without content behind
                count += 1
                file.write(record[_RAW].encode(receipt.encoding, errors="surrogateescape") + b"\n")
        except (csv.Error, IndexError, UnicodeEncodeError) as error:
            raise FileRefusedError(
                "rejects_damaged",
                f"Record {count + 1} of the rejects file does not have its {len(COLUMNS)} columns.",
                "Mend the texts in the column `raw` and leave the rest as it is.",
                line=records.line_num,
            ) from error
    return count
