"""Find what is left of a finished batch, from plain files alone, and hand it to the proofs in `scoring`."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.identity import checksum_mismatch, read_promised
from inbox_watcher.explain.status import no_batch, seek_batch
from inbox_watcher.settings.layout import FailedLayout, Layout, output_stem, revision, show_name
from inbox_watcher.settings.site_file import Site
from scoring.chunk.plan import read_batch_plan
from scoring.errors import FileRefusedError, LoansError, ProofError
from scoring.results.content import prepare_content
from scoring.results.receipt import Published, Receipt, read_receipt
from scoring.results.verify import Check


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
    receipt_problem: str
    """What is wrong with the two copies of the receipt, in words; empty when they are the same."""


def find_finished(site: Site, wanted: str) -> Finished:
    """Find a published batch by its id, or the newest one by its file's name.

    A delivery that was answered with earlier results stands for the batch that published them. The journal is asked
    only for that and for a name, and where it was lost, the receipts in the outbox are. Raises LoansError when there
    is no such batch or it was not published.
    """
    layout = Layout(Path(site.root))
    batch = _find_batch(site, layout, wanted)
    kept = layout.batch(batch.id).receipt
    if not kept.exists() and (answer := _find_answer(site, layout, batch)) != batch.id:
        batch = _read_manifest(layout.batch(answer).manifest)
        kept = layout.batch(batch.id).receipt
    name = os.fsdecode(batch.name)
    if (withdrawn := _find_withdrawn(layout, batch, kept)) is not None:
        receipt, _ = _read_receipts(kept, withdrawn.results.receipt, batch.id)
        problem = f"the results were withdrawn from the outbox: {withdrawn.error} says why"
        return Finished(batch, withdrawn.input, withdrawn.results, receipt, problem)
    results = layout.results(batch.output)
    receipt, problem = _read_receipts(kept, results.receipt, batch.id)
    return Finished(batch, layout.archived(batch.id, name), results, receipt, problem)


def _find_withdrawn(layout: Layout, batch: Batch, kept: Path) -> FailedLayout | None:
    """Name what stands in failed/ of a batch whose results were withdrawn; None where they were not."""
    if not kept.exists():
        return None
    content = kept.read_bytes()
    for place in layout.failed_places(batch.output, os.fsdecode(batch.name), batch.id):
        with suppress(OSError):
            if place.results.receipt.read_bytes() == content:
                return place
    return None


def check_promise(finished: Finished, site: Site) -> Check | None:
    """Compare the input with the SHA-256 that its .done file holds; None where there is none or it holds none.

    Raises OSError as the storage does.
    """
    sidecar = Layout(Path(site.root)).batch(finished.batch.id).sidecar
    try:
        promised = read_promised(sidecar)
    except FileRefusedError as error:
        return Check(".done file", error.what)
    if not promised:
        return None
    with finished.input.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    problem = "" if digest == promised else checksum_mismatch(digest, promised).what
    return Check(".done file", problem)


def _find_batch(site: Site, layout: Layout, wanted: str) -> Batch:
    if "/" not in wanted and wanted not in (".", ".."):
        manifest = layout.batch(wanted).manifest
        if os.path.lexists(manifest):  # false for what is too long for a name, too
            return _read_manifest(manifest)
    found = seek_batch(site, wanted)
    batch_id = found.id if found is not None else _find_published(layout, wanted)
    if not batch_id:
        raise no_batch(wanted)
    return _read_manifest(layout.batch(batch_id).manifest)


def _find_published(layout: Layout, name: str) -> str:
    """Give the id of the batch whose results of a file's name are the newest in the outbox; empty where none are."""
    batch_id, number = "", 1
    while "/" not in name:
        try:
            batch_id = read_receipt(layout.results(revision(output_stem(name), number)).receipt).batch
        except OSError:  # there is none, or the name is too long for any
            break
        number += 1
    return batch_id


def _find_answer(site: Site, layout: Layout, batch: Batch) -> str:
    """Give the id of the batch that published what a delivery was answered with: its own, or an earlier one's."""
    found = seek_batch(site, batch.id)
    if found is None or found.state not in (State.PUBLISHED, State.DONE):
        return batch.id
    try:
        return read_receipt(layout.results(found.output).receipt).batch
    except FileNotFoundError:
        return batch.id


def _read_receipts(kept: Path, published: Path, batch_id: str) -> tuple[Receipt, str]:
    """Read the receipt that the batch's own folder keeps, else the published one; say what is wrong with them."""
    if kept.exists():
        receipt = read_receipt(kept)
        if not published.exists():
            return receipt, f"{published} is missing"
        intact = published.read_bytes() == kept.read_bytes()
        return receipt, "" if intact else f"{published} is not the one that {kept} keeps: it was altered"
    if published.exists():
        receipt = read_receipt(published)
        if receipt.batch == batch_id:
            return receipt, f"{kept} is missing"
    raise LoansError(f"Batch {batch_id} was not published.", f"`loans status {batch_id}` tells where it stands.")


@contextmanager
def planned_content(finished: Finished, site: Site) -> Iterator[Path]:
    """Give the input as it was planned: the archived file, or what it stands for, in a temporary folder."""
    if not finished.input.exists():
        raise LoansError(f"The archived input {finished.input} is missing.", "Restore it from a backup.")
    with tempfile.TemporaryDirectory(prefix="loans-audit-") as folder:
        dropped = finished.input
        if show_name(dropped.name) != dropped.name:
            # A plan is text; a name that is none stays out of it.
            dropped = Path(folder) / "input"
            dropped.symlink_to(finished.input)
        yield prepare_content(
            dropped,
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
