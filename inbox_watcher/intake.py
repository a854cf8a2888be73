"""From a file in the inbox to a plan on disk: claim, look, count, cut."""

import os
from contextlib import suppress

import msgspec

from dag_specs.errors import DagSpecError
from inbox_watcher.batch import Batch, State
from inbox_watcher.claim import move_once
from inbox_watcher.layout import LONGEST_NAME
from inbox_watcher.sizing import choose_chunk_bytes
from inbox_watcher.workplace import Workplace
from scoring.atomic import stands, write_bytes
from scoring.batch_plan import FORMAT, BatchPlan
from scoring.chunks import plan_chunks
from scoring.content import prepare_content
from scoring.errors import FileRefusedError, LoansError
from scoring.failpoints import reach
from scoring.registry import Pin, read_manifest
from scoring.source import open_source


class Intake:
    """Claims files and plans them."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place

    def claim(self, batch: Batch) -> Batch:
        """Rename the file out of the inbox into the batch's folder."""
        folder = self._place.layout.batch(batch.id)
        reach("claim.folder.before")
        folder.root.mkdir(mode=0o770, exist_ok=True)
        reach("claim.folder.after")
        # Once it stands in the batch's folder it is claimed; a new file of its name in the inbox is another delivery.
        if not stands(folder.input) and not move_once(
            self._place.layout.inbox / os.fsdecode(batch.name), folder.input, "claim"
        ):
            with suppress(OSError):
                os.rmdir(folder.root)  # never with anything in it
            return self._place.record(batch, State.DONE, reason="taken out of the inbox before it was claimed")
        write_bytes(folder.manifest, msgspec.json.encode(batch), "claim.manifest")
        return self._place.record(batch, State.CLAIMED)

    def plan(self, batch: Batch) -> Batch:
        """Write down what the jobs are to do. Raises FileRefusedError when the file cannot be scored."""
        folder = self._place.layout.batch(batch.id)
        pin = _pinned(batch)
        manifest, _ = read_manifest(self._place.layout.models, pin.version, pin.manifest_sha256)
        reach("plan.folders.before")
        for path in (folder.parts, folder.logs):
            path.mkdir(mode=0o770, exist_ok=True)
        reach("plan.folders.after")
        path = prepare_content(
            folder.input,
            os.fsdecode(batch.name),
            folder.root,
            self._place.layout.outbox,
            self._place.site.scoring.max_unpacked_bytes,
        )
        if len(os.fsencode(self._place.layout.result(batch.output, "predictions.csv").name)) > LONGEST_NAME:
            raise FileRefusedError("name_too_long", "The file's name is too long.", "Send it under a shorter name.")
        source = open_source(path, manifest.contract)
        plan = plan_chunks(source, self._place.site.scoring.chunk_bytes or self._choose_chunk_bytes(source.bytes))
        batch_plan = BatchPlan(
            FORMAT,
            batch.id,
            plan,
            str(self._place.layout.models),
            pin,
            str(folder.parts),
            self._place.site.scoring.echo,
        )
        write_bytes(folder.plan, msgspec.json.encode(batch_plan), "plan.plan")
        return self._place.record(batch, State.PLANNED, rows=plan.rows, chunks=len(plan.chunks))

    def _choose_chunk_bytes(self, size: int) -> int:
        try:
            with self._place.scheduler() as scheduler:
                slots = len(scheduler.slots())
        except (DagSpecError, LoansError):
            slots = 1  # planning does not need the pool; submitting will wait for it
        return choose_chunk_bytes(size, slots)


def _pinned(batch: Batch) -> Pin:
    if batch.model is None:
        raise LoansError(f"Batch {batch.id} was claimed without a model.")
    return batch.model
