"""From parts to files that people find: published, archived, or set aside with the reason."""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from inbox_watcher.batch import Batch, State
from inbox_watcher.claim import move_once
from inbox_watcher.identity import Digests, check_sidecar
from inbox_watcher.layout import failed_name, output_stem, shorten, show_name
from inbox_watcher.workplace import Workplace
from scoring.atomic import remove_abandoned, stands, write_bytes
from scoring.batch_plan import BatchPlan, read_batch_plan
from scoring.errors import ProofError
from scoring.failpoints import reach
from scoring.merge import find_bad_chunks, gather_outcomes, gather_sound
from scoring.part import name_part
from scoring.receipt import publish_result
from scoring.refusal import check_reject_share, publish_rejects
from scoring.registry import read_manifest

_LOG = logging.getLogger("loans.watch")


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except (FileNotFoundError, IsADirectoryError):
        return False


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
                plan,
                content,
                show_name(os.fsdecode(batch.name)),
                manifest,
                target,
                input_sha256=digest,
                challenger=folder.challenger,
            )
        except ProofError as error:
            return self._score_again(batch, plan, error)
        write_bytes(folder.receipt, target.receipt.read_bytes(), "publish.copy")
        _LOG.info("%s: %d rows scored, %d rejected, published", batch.id, receipt.scored, receipt.rejected)
        self._digests.forget(batch.id)
        return self._place.record(
            batch, State.PUBLISHED, scored=receipt.scored, rejected=receipt.rejected, input_sha256=digest
        )

    def _score_again(self, batch: Batch, plan: BatchPlan, error: ProofError) -> Batch:
        """Throw away the parts that are not what they should be; their chunks are due again."""
        bad = find_bad_chunks(plan)
        if not bad or batch.tries >= self._place.site.scoring.attempts:
            raise error
        for chunk in bad:
            name_part(Path(plan.parts), chunk).outcome.unlink(missing_ok=True)
        _LOG.error("%s: %s", batch.id, error)
        return self._place.record(batch, State.PLANNED, chunks_done=batch.chunks - len(bad))

    def archive(self, batch: Batch) -> Batch:
        """Keep the input, drop what was only on the way."""
        folder = self._place.layout.batch(batch.id)
        move_once(folder.input, self._place.layout.archived(batch.id, os.fsdecode(batch.name)), "archive")
        self._clear(batch, "archive")
        return self._place.record(batch, State.DONE)

    def set_aside(self, batch: Batch) -> Batch:
        """Explain first, move then: whoever sees the file in failed/ sees the reason. What stands there stays."""
        folder = self._place.layout.batch(batch.id)
        self._digests.forget(batch.id)
        text = f"{show_name(os.fsdecode(batch.name))} was not scored.\n{batch.reason}\n(batch {batch.id})\n"
        explained = text.encode(errors="replace")
        target, error, rejects = self._choose_place(batch, explained)
        # Once the file stands in failed/, its reason and rejects do too, and the parts may be half removed.
        if stands(folder.input) or not stands(target):
            write_bytes(error, explained, "failing.error")
            sound = [outcome for outcome in gather_sound(batch.chunks, folder.parts) if outcome.rejected]
            if sound:
                publish_rejects(sound, folder.parts, rejects)
        move_once(folder.input, target, "failing")
        self._clear(batch, "failing")
        _LOG.warning("%s: failed, the reason stands in failed/", batch.id)
        return self._place.record(batch, State.FAILED)

    def _choose_place(self, batch: Batch, explained: bytes) -> tuple[Path, Path, Path]:
        """Name file, reason and rejects in failed/: as the file is called, unless something else stands there.

        The reason, which is written first and names the batch, tells whose the others are.
        """
        name = os.fsdecode(batch.name)
        for kept in (failed_name(batch.output, name, batch.id), failed_name(batch.output, name, batch.id, alone=True)):
            names = (kept, shorten(kept, ".error.txt"), shorten(output_stem(kept), ".rejects.csv"))
            target, error, rejects = (self._place.layout.failed / each for each in names)
            if not any(map(stands, (target, error, rejects))) or _holds(error, explained):
                break
        return target, error, rejects

    def _clear(self, batch: Batch, act: str) -> None:
        """Drop what was only on the way. Raises OSError as the storage does: then it is still there to be dropped."""
        folder = self._place.layout.batch(batch.id)
        reach("{}.parts.before", act)
        with suppress(FileNotFoundError):
            shutil.rmtree(folder.parts)
        reach("{}.parts.after", act)
        reach("{}.contents.before", act)
        for content in folder.contents:
            content.unlink(missing_ok=True)
        remove_abandoned(folder.root)
        reach("{}.contents.after", act)
        reach("{}.events.before", act)
        self._place.state.event_log(batch.id).unlink(missing_ok=True)
        reach("{}.events.after", act)
