"""From parts to files that people find: published, archived, or set aside with the reason."""

import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.claim import move_once, take_late_sidecar
from inbox_watcher.batch.claimed_file import check_unchanged
from inbox_watcher.batch.identity import Digests, check_sidecar
from inbox_watcher.batch.workplace import Workplace
from inbox_watcher.settings.layout import FailedLayout, show_name
from scoring.atomic import remove_abandoned, stands, write_bytes
from scoring.chunk.part import name_part
from scoring.chunk.plan import BatchPlan, read_batch_plan
from scoring.errors import ProofError
from scoring.failpoints import reach
from scoring.models.registry import read_manifest
from scoring.results.merge import find_bad_chunks, gather_outcomes, gather_sound
from scoring.results.receipt import Published, publish_result, read_receipt
from scoring.results.reject_share import check_reject_share, publish_rejects

_LOG = logging.getLogger("loans.watch")


_HASHED_BESIDE = 16 << 20
"""Size above which a claimed file is hashed in a thread beside the merging (bytes)."""


def _settle(future: "Future[None]", act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001 (whoever asks for the result gets it)
        future.set_exception(error)
    else:
        future.set_result(None)


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
        take_late_sidecar(self._place.layout.inbox, os.fsdecode(batch.name), folder.sidecar)
        check_sidecar(folder, digest)
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
                confirm=self._begin_check(batch, folder.input),
            )
        except ProofError as error:
            return self._score_again(batch, plan, error)
        write_bytes(folder.receipt, target.receipt.read_bytes(), "publish.copy")
        _LOG.info("%s: %d rows scored, %d rejected, published", batch.id, receipt.scored, receipt.rejected)
        self._digests.forget(batch.id)
        return self._place.record(
            batch, State.PUBLISHED, scored=receipt.scored, rejected=receipt.rejected, input_sha256=digest
        )

    def _begin_check(self, batch: Batch, path: Path) -> Callable[[], None]:
        """Begin to hash a large claimed file beside the merging; give what compares the file with its plan.

        The file's size and times are compared once more at the end, for what was written while the parts were merged.
        """
        check = partial(check_unchanged, path, batch.claimed)
        if batch.bytes <= _HASHED_BESIDE:
            return partial(check, read=True)
        hashed: Future[None] = Future()
        Thread(target=_settle, args=(hashed, partial(check, read=True)), name="blake3", daemon=True).start()

        def confirm() -> None:
            hashed.result()
            check(read=False)

        return confirm

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
        """Keep the input, drop what was only on the way.

        Raises FileRefusedError when the input is no longer the planned one: the results are withdrawn then.
        """
        folder = self._place.layout.batch(batch.id)
        with suppress(FileNotFoundError):  # it is in the archive already
            check_unchanged(folder.input, batch.claimed, read=False)
        move_once(folder.input, self._place.layout.archived(batch.id, os.fsdecode(batch.name)), "archive")
        self._clear(batch, "archive")
        return self._place.record(batch, State.DONE)

    def set_aside(self, batch: Batch) -> Batch:
        """Explain first, move then: whoever sees the file in failed/ sees the reason. What stands there stays.

        Results of the batch that are published already are withdrawn: moved from the outbox to failed/.
        """
        folder = self._place.layout.batch(batch.id)
        self._digests.forget(batch.id)
        name = show_name(os.fsdecode(batch.name))
        archived = self._place.layout.archived(batch.id, os.fsdecode(batch.name))
        source = archived if stands(archived) else folder.input
        was_published = stands(folder.receipt)
        what = f"The results of {name} were withdrawn." if was_published else f"{name} was not scored."
        explained = f"{what}\n{batch.reason}\n(batch {batch.id})\n".encode(errors="replace")
        kept = self._choose_place(batch, explained)
        # Once the file stands in failed/, its reason and rejects do too, and the parts may be half removed.
        if stands(source) or not stands(kept.input):
            write_bytes(kept.error, explained, "failing.error")
            sound = [outcome for outcome in gather_sound(batch.chunks, folder.parts) if outcome.rejected]
            if sound and not was_published:
                publish_rejects(sound, folder.parts, kept.results.rejects)
        self._withdraw(batch, kept.results)
        move_once(source, kept.input, "failing")
        self._clear(batch, "failing")
        _LOG.warning("%s: failed, the reason stands in failed/", batch.id)
        return self._place.record(batch, State.FAILED)

    def _withdraw(self, batch: Batch, target: Published) -> None:
        """Move what the batch itself has published to failed/; what it was answered with belongs to an earlier one."""
        if not batch.chunks:
            return
        results = self._place.layout.results(batch.output)
        try:
            if read_receipt(results.receipt).batch != batch.id:
                return
        except (FileNotFoundError, ProofError):
            return
        # Predictions first, since nobody may take them for valid; the receipt, which says whose they are, last.
        for kind in ("predictions", "rejects", "receipt"):
            published, kept = getattr(results, kind), getattr(target, kind)
            if kind == "rejects" and stands(kept):
                published.unlink(missing_ok=True)  # those of a publication that was refused at its last step
            move_once(published, kept, f"withdraw.{kind}")

    def _choose_place(self, batch: Batch, explained: bytes) -> FailedLayout:
        """Name what goes to failed/: as the file is called, unless something else stands there.

        The reason, which is written first and names the batch, tells whose the others are.
        """
        for kept in self._place.layout.failed_places(batch.output, os.fsdecode(batch.name), batch.id):
            if not any(map(stands, kept.paths)) or _holds(kept.error, explained):
                break
        return kept

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
