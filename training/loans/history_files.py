"""The files of a history as a version remembers them: size, rows, hash, when last written."""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from scoring.registry import HistoryFile
from training.records.request import RunRequest, Shard

_BLOCK: Final = 1 << 20


def describe_history(request: RunRequest) -> tuple[HistoryFile, ...]:
    """Hash the files of a run's history, each in one pass.

    A file of which a shard no longer holds the planned bytes was altered or removed after it was read; it is described
    without a hash, because no file with what was learnt from is left. Raises OSError as the storage does.
    """
    described = []
    for number, name in enumerate(request.history):
        shards = [shard for shard in request.shards if shard.file == number]
        described.append(_describe(Path(name), shards))
    return tuple(described)


def _describe(path: Path, shards: Sequence[Shard]) -> HistoryFile:
    rows = sum(shard.chunk.rows for shard in shards)
    whole, sound = hashlib.sha256(), True
    try:
        with path.open("rb", buffering=0) as file:
            modified = os.fstat(file.fileno()).st_mtime
            for shard in sorted(shards, key=lambda shard: shard.chunk.start):
                part = blake3()
                _read(file, shard.chunk.start, whole)
                _read(file, shard.chunk.stop, whole, part)
                sound = sound and part.hexdigest() == shard.chunk.blake3
            _read(file, None, whole)
            size = file.tell()
    except FileNotFoundError:
        return HistoryFile(path.name, 0, rows, "", "")
    when = datetime.fromtimestamp(modified, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return HistoryFile(path.name, size, rows, whole.hexdigest() if sound else "", when)


def _read(file: FileIO, stop: int | None, *digests: Any) -> None:
    """Hash the bytes from where the file stands to `stop` (byte offset; None: its end), or to where it ends."""
    while block := file.read(_BLOCK if stop is None else min(_BLOCK, stop - file.tell())):
        for digest in digests:
            digest.update(block)
