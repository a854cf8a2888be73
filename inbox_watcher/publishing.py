"""From parts to files that people find: published, archived, or set aside with the reason."""

import logging
import os
import shutil
from pathlib import Path

from inbox_watcher.batch import Batch, State
from inbox_watcher.claim import move_once
from inbox_watcher.identity import Digests, check_sidecar
from inbox_watcher.layout import failed_name, output_stem, shorten, show_name
from inbox_watcher.workplace import Workplace
from scoring.atomic import write_bytes
from scoring.batch_plan import BatchPlan, read_batch_plan
from scoring.errors import ProofError
from scoring.merge import find_bad_chunks, gather_outcomes, gather_sound
from scoring.part import name_part
from scoring.receipt import publish_result
from scoring.refusal import check_reject_share, publish_rejects
from scoring.registry import read_manifest

_LOG = logging.getLogger("loans.watch")


class Publishing:
    """Ends batches."""

    def __init__(self, place: Workplace, digests: Digests) -> None:
        """Work in `place`; files are hashed by `digests`."""
        self._place = place
        self._digests = digests

    def publish(self, batch: Batch) -> Batch:
        """Merge the parts and publish, predictions last."""
        folder = self._place.layout.batch(batch.id)
        digest = batch.input_sha256 or self._digests.result(batch.id, folder.input)
        check_sidecar(folder, digest)  # it may have come after the file
        content = folder.plan.read_bytes()
        plan = read_batch_plan(folder.plan)
        manifest, _ = read_manifest(self._place.layout.models, plan.model.version, plan.model.manifest_sha256)
        target = self._place.layout.results(batch.output)
        try:
            check_reject_share(
                gather_outcomes(plan), plan.plan.rows, self._place.site.scoring.max_reject_share, folder.parts
            )
            receipt = publish_result(
                plan, content, show_name(os.fsdecode(batch.name)), manifest, target, input_sha256=digest
            )
        except ProofError as error:
            return self._score_again(batch, plan, error)
        write_bytes(folder.receipt, target.receipt.read_bytes())
        _LOG.info("%s: %d rows scored, %d rejected, published", batch.id, receipt.scored, receipt.rejected)
        self._digests.forget(batch.id)
        return self._place.record(
            batch, State.PUBLISHED, scored=receipt.scored, rejected=receipt.rejected, input_sha256=digest
        )

    def _score_again(self, batch: Batch, plan: BatchPlan, error: ProofError) -> Batch:
        """Throw away the parts that are not what they should be; their chunks are due again."""
        bad = find_bad_chunks(plan)
        if not bad or batch.attempt >= self._place.site.scoring.attempts:
            raise error
        for chunk in bad:
            name_part(Path(plan.parts), chunk).outcome.unlink(missing_ok=True)
        _LOG.error("%s: %s", batch.id, error)
        return self._place.record(batch, State.PLANNED, chunks_done=batch.chunks - len(bad))

    def archive(self, batch: Batch) -> Batch:
        """Keep the input, drop what was only on the way."""
        folder = self._place.layout.batch(batch.id)
        move_once(folder.input, self._place.layout.archived(batch.id, os.fsdecode(batch.name)))
        shutil.rmtree(folder.parts, ignore_errors=True)
        for content in folder.contents:
            content.unlink(missing_ok=True)
        self._place.state.event_log(batch.id).unlink(missing_ok=True)
        return self._place.record(batch, State.DONE)

    def set_aside(self, batch: Batch) -> Batch:
        """Explain first, move then: whoever sees the file in failed/ sees the reason."""
        folder = self._place.layout.batch(batch.id)
        self._digests.forget(batch.id)
        kept = failed_name(batch.output, os.fsdecode(batch.name), batch.id)
        text = f"{show_name(os.fsdecode(batch.name))} was not scored.\n{batch.reason}\n(batch {batch.id})\n"
        sound = [outcome for outcome in gather_sound(batch.chunks, folder.parts) if outcome.rejected]
        if sound:
            publish_rejects(sound, folder.parts, self._place.layout.failed / shorten(output_stem(kept), ".rejects.csv"))
        write_bytes(self._place.layout.failed / shorten(kept, ".error.txt"), text.encode(errors="replace"))
        move_once(folder.input, self._place.layout.failed / kept)
        shutil.rmtree(folder.parts, ignore_errors=True)
        for content in folder.contents:
            content.unlink(missing_ok=True)
        self._place.state.event_log(batch.id).unlink(missing_ok=True)
        _LOG.warning("%s: failed, the reason stands in failed/", batch.id)
        return self._place.record(batch, State.FAILED)
