"""Find what is left of a finished batch, from plain files alone, and hand it to the proofs in `scoring`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inbox_watcher.batch import Batch
from inbox_watcher.config import Site
from inbox_watcher.layout import Layout
from inbox_watcher.status import find_batch
from scoring.batch_plan import read_batch_plan
from scoring.content import prepare_content
from scoring.errors import LoansError, ProofError
from scoring.receipt import Published, Receipt, read_receipt


@dataclass(frozen=True)
class Finished:
    """A finished batch as the shared tree holds it."""

    batch: Batch
    """What was claimed."""
    input: Path
    """The archived input."""
    results: Published
    """The published files."""
    receipt: Receipt
    """The receipt that the batch's own folder keeps."""
    published_receipt_intact: bool
    """Whether the published receipt is that very one."""


def find_finished(site: Site, wanted: str) -> Finished:
    """Find a published batch by its id, or the newest one by its file's name.

    The journal is asked only for a name. Raises LoansError when there is no such batch or it was not published.
    """
    layout = Layout(Path(site.root))
    manifest = layout.batch(wanted).manifest if "/" not in wanted and wanted not in (".", "..") else None
    if manifest is not None and manifest.exists():
        batch = _read_manifest(manifest)
    else:
        batch = _read_manifest(layout.batch(find_batch(site, wanted).id).manifest)
    folder = layout.batch(batch.id)
    if not folder.receipt.exists():
        raise LoansError(f"Batch {batch.id} was not published.", f"`loans status {batch.id}` tells where it stands.")
    results = layout.results(batch.output)
    try:
        intact = results.receipt.read_bytes() == folder.receipt.read_bytes()
    except FileNotFoundError:
        intact = False
    return Finished(
        batch,
        layout.archived(batch.id, os.fsdecode(batch.name)),
        results,
        read_receipt(folder.receipt),
        intact,
    )


@contextmanager
def planned_content(finished: Finished, site: Site) -> Iterator[Path]:
    """Give the input as it was planned: the archived file, or what it stands for, in a temporary folder."""
    if not finished.input.exists():
        raise LoansError(f"The archived input {finished.input} is missing.", "Restore it from a backup.")
    with tempfile.TemporaryDirectory(prefix="loans-audit-") as folder:
        yield prepare_content(
            finished.input,
            finished.input.name,
            Path(folder),
            Layout(Path(site.root)).outbox,
            site.scoring.max_unpacked_bytes,
        )


def find_writing(finished: Finished, site: Site) -> tuple[tuple[str, ...], bool]:
    """Tell which columns were echoed and whether formulas were neutralised: as planned, else as the site says now."""
    try:
        plan = read_batch_plan(Layout(Path(site.root)).batch(finished.batch.id).plan)
    except FileNotFoundError:
        return site.scoring.echo, site.scoring.neutralise_formulas
    return plan.echo, plan.neutralise


def _read_manifest(path: Path) -> Batch:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Batch)
    except OSError as error:
        raise LoansError(f"The batch's manifest {path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofError(f"The batch's manifest {path} does not read: {error}.") from error
