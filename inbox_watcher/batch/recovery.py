"""Files that were claimed and that the journal does not know: it was lost, and they are not to be.

A batch's folder on the shared storage holds what is needed to go on: file, name, plan, receipt.
"""

import logging
import os
import shutil

import msgspec

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import GROUP_PREFIX, BatchLayout, Layout
from scoring.atomic import stands
from scoring.chunk.plan import read_batch_plan
from scoring.errors import ProofError
from scoring.results.receipt import read_receipt

_LOG = logging.getLogger("loans.watch")


def adopt_orphans(layout: Layout, journal: Journal) -> list[Batch]:
    """Write every unfinished batch that stands on the shared tree into a journal that lacks it, and give them.

    One listing where nothing is missing. Raises OSError as the storage does, StorageError as the journal does.
    """
    known = journal.ids()
    names = sorted(name for name in os.listdir(layout.batches) if name not in known)
    adopted = []
    for name in names:
        folder = layout.batch(name)
        if name.startswith(GROUP_PREFIX) and not known:
            # Nobody knows its job any more: what is unfinished of its files is submitted anew.
            shutil.rmtree(folder.root, ignore_errors=True)
        if not stands(folder.input):
            continue  # finished, or a group of small files
        batch = _find_state(folder)
        if batch is None or batch.id != name:
            _LOG.error(
                "%s holds a file that no journal knows, and nothing tells its name; it is left there", folder.root
            )
            continue
        adopted.append(batch)
    if adopted:
        journal.record_many(adopted)
        _LOG.warning("%d unfinished batch(es) that the journal does not know are gone on with", len(adopted))
    return adopted


def _find_state(folder: BatchLayout) -> Batch | None:
    """Tell from its folder how far a batch came; None where that does not read. Raises OSError as the storage does."""
    try:
        batch = msgspec.json.decode(folder.manifest.read_bytes(), type=Batch)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    try:
        receipt = read_receipt(folder.receipt)
    except (FileNotFoundError, ProofError):
        pass
    else:
        counts = {"rows": receipt.rows_in, "scored": receipt.scored, "rejected": receipt.rejected}
        return msgspec.structs.replace(
            batch, state=State.PUBLISHED, chunks=len(receipt.parts), input_sha256=receipt.input_sha256, **counts
        )
    try:
        plan = read_batch_plan(folder.plan).plan
    except (FileNotFoundError, ProofError):
        return msgspec.structs.replace(batch, state=State.CLAIMED)
    # An attempt of which nothing is known: the queue is asked for it before there is another.
    return msgspec.structs.replace(
        batch, state=State.PLANNED, rows=plan.rows, bytes=plan.source.bytes, chunks=len(plan.chunks), attempt=1
    )
