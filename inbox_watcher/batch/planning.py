"""From a file in the inbox to a plan on disk: claim, look, count, cut."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.claim import claim_sidecar, move_once
from inbox_watcher.batch.claimed_file import ClaimedFile, check_unchanged, describe_claimed, hash_claimed
from inbox_watcher.batch.identity import Digests, Precedence, check_sidecar, read_promised
from inbox_watcher.batch.pinned_models import PinnedModels, check_challenger
from inbox_watcher.batch.workplace import Workplace
from inbox_watcher.settings.layout import LONGEST_NAME, BatchLayout
from scoring.atomic import stands, write_bytes
from scoring.chunk.plan import FORMAT, BatchPlan
from scoring.csv.chunks import plan_chunks
from scoring.csv.source import open_source
from scoring.csv.truncation import refuse_cut
from scoring.errors import FileRefusedError, LoansError, ProofError
from scoring.failpoints import reach
from scoring.models.registry import Pin
from scoring.results.content import prepare_content
from scoring.results.receipt import Receipt, read_receipt

_REMEMBERED = 100
"""How many batches back speed is looked for."""


class Intake:
    """Claims files and plans them."""

    def __init__(self, place: Workplace, digests: Digests, count_places: Callable[[], int]) -> None:
        """Work in `place`.

        `digests` hashes the claimed files; `count_places` counts the chunk jobs that the pool can run at a time (0:
        unknown).
        """
        self._place = place
        self._count_places = count_places
        self._models = PinnedModels(place.layout.models)
        self._digests = digests
        self._precedence = Precedence(place.layout, place.journal, digests)

    def claim(self, batch: Batch) -> Batch:
        """Rename the file out of the inbox into the batch's folder."""
        folder = self._place.layout.batch(batch.id)
        reach("claim.folder.before")
        folder.root.mkdir(mode=0o770, exist_ok=True)
        reach("claim.folder.after")
        name = os.fsdecode(batch.name)
        if not stands(folder.input):
            claim_sidecar(self._place.layout.inbox, name, folder.sidecar)
        # Once it stands in the batch's folder it is claimed; a new file of its name in the inbox is another delivery.
        if not stands(folder.input) and not move_once(self._place.layout.inbox / name, folder.input, "claim"):
            with suppress(OSError):
                folder.sidecar.unlink(missing_ok=True)
                os.rmdir(folder.root)  # never with anything else in it
            return self._place.record(batch, State.DONE, reason="taken out of the inbox before it was claimed")
        write_bytes(folder.manifest, msgspec.json.encode(batch), "claim.manifest")
        return self._place.record(batch, State.CLAIMED)

    def plan(self, batch: Batch) -> Batch:
        """Write down what the jobs are to do, unless this very delivery was answered before.

        Raises FileRefusedError when the file cannot be scored, OnItsWayError while the same delivery is on its way.
        """
        folder = self._place.layout.batch(batch.id)
        claimed = describe_claimed(folder.input)
        self._digests.start(batch.id, folder.input)
        try:
            return self._plan(batch, folder, claimed)
        except FileRefusedError:
            self._digests.forget(batch.id)
            raise

    def _plan(self, batch: Batch, folder: BatchLayout, claimed: ClaimedFile) -> Batch:
        digest = ""
        if read_promised(folder.sidecar):
            digest = self._digests.result(batch.id, folder.input)
            check_sidecar(folder, digest)
        earlier = self._precedence.find_published(batch)
        if earlier is not None:
            return self._answer(batch, earlier, claimed)
        pin = _pinned(batch)
        manifest = self._models.read(pin)
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
        over = len(os.fsencode(self._place.layout.result(batch.output, "predictions.csv").name)) - LONGEST_NAME
        if over > 0:
            raise FileRefusedError(
                "name_too_long",
                f"The file's name is too long: its results would have names of {LONGEST_NAME + over} bytes, and no "
                f"filesystem takes more than {LONGEST_NAME}.",
                f"Send it under a name that is {over} bytes shorter.",
            )
        source = open_source(path, manifest.contract)
        refuse_cut(path, manifest.contract)
        plan = plan_chunks(source, self._place.site.scoring.chunk_bytes or self._choose_chunk_bytes(source.bytes))
        # A file that is scored as it was dropped was hashed as a whole by the planner.
        content = plan.blake3 if path == folder.input else hash_claimed(folder.input)
        claimed = msgspec.structs.replace(claimed, blake3=content)
        check_unchanged(folder.input, claimed, read=False)
        batch_plan = BatchPlan(
            FORMAT,
            batch.id,
            plan,
            str(self._place.layout.models),
            pin,
            str(folder.parts),
            self._place.site.scoring.echo,
            self._place.site.scoring.neutralise_formulas,
            check_challenger(self._models, batch.challenger),
        )
        write_bytes(folder.plan, msgspec.json.encode(batch_plan), "plan.plan")
        return self._place.record(
            batch,
            State.PLANNED,
            rows=plan.rows,
            bytes=source.bytes,
            chunks=len(plan.chunks),
            input_sha256=digest or batch.input_sha256,
            claimed=claimed,
        )

    def _answer(self, batch: Batch, earlier: Batch, claimed: ClaimedFile) -> Batch:
        """Answer a delivery with the results that its twin has already: only its input is archived."""
        digest = self._digests.result(batch.id, self._place.layout.batch(batch.id).input)
        self._digests.forget(batch.id)
        return self._place.record(
            batch,
            State.PUBLISHED,
            output=earlier.output,
            rows=earlier.rows,
            scored=earlier.scored,
            rejected=earlier.rejected,
            input_sha256=digest,
            claimed=claimed,
            reason=f"The same file was delivered before: batch {earlier.id}.",
        )

    def _choose_chunk_bytes(self, size: int) -> int:
        if size <= SMALL_FILE:
            return choose_chunk_bytes(size, 1)  # nobody has to be asked
        # Planning does not need the pool; submitting waits for it.
        places = self._count_places() or ASSUMED_PLACES
        return choose_chunk_bytes(size, places, self._measure_speed())

    def _measure_speed(self) -> float:
        """Learn from the receipts of the last large batches how fast a job is here (bytes per second)."""
        receipts = []
        for batch in self._place.journal.latest(_REMEMBERED):
            if batch.chunks > 1 and batch.state is State.DONE:
                with suppress(OSError, ProofError):
                    receipts.append(read_receipt(self._place.layout.batch(batch.id).receipt))
        return measure_speed(receipts)


def _pinned(batch: Batch) -> Pin:
    if batch.model is None:
        raise LoansError(f"Batch {batch.id} was claimed without a model.")
    return batch.model


SMALL_FILE = 32 << 20
"""Bytes below which a file is one chunk: a few seconds of work, about what starting a job costs."""

LONGEST_JOB_SECONDS = 120.0
"""A job that is lost costs at most this much work (seconds)."""

FIRST_GUESS = 40e6
"""Bytes per second that one job is expected to score before any was measured."""

WAVES = 2
"""Jobs per place: with more than one, a slow slot holds up less."""

ASSUMED_PLACES = 16
"""Places of a pool that does not answer, or reports no slot yet: a few jobs too many cost less than an idle pool."""


LARGE_ENOUGH_SECONDS = 1.0
"""Work below which a receipt says more of imports than of speed (seconds)."""


def measure_speed(receipts: Iterable[Receipt]) -> float:
    """Give the bytes per second that one job scored, over all `receipts`; FIRST_GUESS where they tell too little."""
    size = seconds = 0.0
    for receipt in receipts:
        size += receipt.input.bytes
        seconds += sum(sum(part.seconds.values()) for part in receipt.parts)
    return size / seconds if seconds >= LARGE_ENOUGH_SECONDS else FIRST_GUESS


def choose_chunk_bytes(size: int, places: int, bytes_per_second: float = FIRST_GUESS) -> int:
    """Give the bytes of each chunk of a file of `size` bytes for a pool that runs `places` chunk jobs at a time."""
    if size <= SMALL_FILE:
        return max(size, 1)
    even = -(-size // (max(places, 1) * WAVES))
    longest = int(bytes_per_second * LONGEST_JOB_SECONDS)
    return max(min(even, longest), SMALL_FILE // 2)
