"""Which delivery a file is: its name and its SHA-256. The same delivery twice is answered once."""

import hashlib
import os
import re
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import BatchLayout, Layout
from scoring.errors import FileRefusedError, StorageError
from scoring.plain_file import open_plain

_BLOCK = 1 << 20
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}(?![^\s])")
_LONGEST_SIDECAR = 4096


class Digests:
    """Hashes claimed files beside whatever else is done: a file is planned and scored meanwhile."""

    def __init__(self) -> None:
        """Start with nothing to hash."""
        self._lock = threading.Lock()
        self._running: dict[str, Future[str]] = {}

    def start(self, batch_id: str, path: Path) -> None:
        """Begin to hash a batch's file, unless that was begun. Raises FileRefusedError for anything but a plain file.

        The file is checked here, opened, after it was renamed into the batch's folder. Nobody but the daemon gives
        names in there, so what is opened later is that file; a writer who still has it open can only change its bytes,
        which every chunk's hash notices.
        """
        with self._lock:
            if batch_id in self._running:
                return
            file = open_plain(path)
            found: Future[str] = Future()
            self._running[batch_id] = found
        threading.Thread(target=_hash, args=(file, found), name="sha256", daemon=True).start()

    def result(self, batch_id: str, path: Path) -> str:
        """Give the SHA-256 (hexadecimal) of a batch's file; waits for it. Raises OSError as the storage does."""
        self.start(batch_id, path)
        try:
            return self._running[batch_id].result()
        except OSError:
            self.forget(batch_id)
            raise

    def forget(self, batch_id: str) -> None:
        """Give up a file that needs no hash any more."""
        with self._lock:
            found = self._running.pop(batch_id, None)
        if found is not None:
            found.cancel()


def _hash(file: BinaryIO, found: Future[str]) -> None:
    digest = hashlib.sha256()
    try:
        with file:
            while block := file.read(_BLOCK):
                digest.update(block)
                if found.cancelled():
                    return
    except OSError as error:
        with suppress(InvalidStateError):
            found.set_exception(error)
        return
    with suppress(InvalidStateError):  # nobody wants it any more
        found.set_result(digest.hexdigest())


def check_sidecar(folder: BatchLayout, digest: str) -> None:
    """Compare the hash in a file's sidecar, if it has one that holds one, with the file's own.

    Raises FileRefusedError with both when they differ, or when the sidecar is no plain file.
    """
    if (promised := read_promised(folder.sidecar)) and promised != digest:
        raise checksum_mismatch(digest, promised)


def checksum_mismatch(digest: str, promised: str) -> FileRefusedError:
    """Make the refusal of a file with the SHA-256 `digest` whose .done file promises another one."""
    return FileRefusedError(
        "checksum_mismatch",
        f"The file is not the one that its .done file promises: SHA-256 {digest}, promised {promised}.",
        "It was damaged on its way, or the .done file belongs to another one. Send both again.",
    )


def read_promised(sidecar: Path) -> str:
    """Give the SHA-256 (hexadecimal, lower case) that a sidecar holds; empty when there is none.

    Raises FileRefusedError when the sidecar is no plain file, OSError as the storage does.
    """
    try:
        with open_plain(sidecar) as file:
            text = file.read(_LONGEST_SIDECAR).decode(errors="replace")
    except FileNotFoundError:
        return ""
    found = _SHA256.match(text.strip())
    return found.group().lower() if found else ""


class OnItsWayError(StorageError):
    """The same delivery is on its way in another batch; nothing is wrong, and its results are waited for."""


class Precedence:
    """Lets one of several deliveries of the same bytes under the same name go ahead."""

    def __init__(self, layout: Layout, journal: Journal, digests: Digests) -> None:
        """Look for batches in `journal` and for their files in `layout`."""
        self._layout, self._journal, self._digests = layout, journal, digests
        self._lock = threading.Lock()
        self._ahead: set[str] = set()

    def find_published(self, batch: Batch) -> Batch | None:
        """Give the earlier batch that published these bytes under this name, while its results are still there.

        Raises OnItsWayError while the same delivery is on its way in another batch: it is to be asked again then.
        The one that asks first goes ahead and waits for nobody, so no two wait for each other.
        """
        known: dict[str, str] = {}
        while True:
            with self._lock:
                others = [other for other in self._journal.batches_of(batch.name) if other.id != batch.id]
                unknown = [other for other in others if self._counts(other) and other.id not in known]
                if not unknown:
                    same = [other for other in others if known.get(other.id) == known.get(batch.id, "")]
                    ahead = next((other for other in same if other.state not in FINAL), None)
                    if ahead is None:
                        self._ahead = {other.id for other in others if other.id in self._ahead} | {batch.id}
                        return next((other for other in same if self._is_there(other)), None)
                    raise OnItsWayError(f"The same file is on its way as batch {ahead.id}; its results are awaited.")
            known.setdefault(batch.id, self._digests.result(batch.id, self._layout.batch(batch.id).input))
            size = self._layout.batch(batch.id).input.stat().st_size
            for other in unknown:
                known[other.id] = self._digest_of(other, size)

    def _counts(self, other: Batch) -> bool:
        """Tell whether a batch is one to compare with: under way before this one, or published."""
        if other.state in FINAL:
            return other.state is State.DONE and bool(other.input_sha256)
        return other.id in self._ahead or other.state not in (State.CLAIMING, State.CLAIMED)

    def _digest_of(self, other: Batch, size: int) -> str:
        """Give another batch's hash, or something that is none where the size differs or the file has moved on."""
        if other.input_sha256:
            return other.input_sha256
        path = self._layout.batch(other.id).input
        try:
            return self._digests.result(other.id, path) if path.stat().st_size == size else "another size"
        except (FileNotFoundError, FileRefusedError):
            later = self._journal.find(other.id)
            return (later.input_sha256 if later else "") or "not known"

    def _is_there(self, other: Batch) -> bool:
        if other.state is not State.DONE or not other.input_sha256:
            return False
        results = self._layout.results(other.output)
        paths = (results.predictions, results.rejects, results.receipt)
        return all(os.path.lexists(path) for path in paths)
