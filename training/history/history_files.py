"""The files of a history as a version remembers them: size, rows, hash, when last written."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from scoring.csv.gzip_input import unpack_gzip
from scoring.errors import FileRefusedError, LoansError
from scoring.models.registry import HistoryFile
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


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Name the history file in whatever is refused of it.

    Raises FileRefusedError as the block does, LoansError where there is no such file, or it is a folder.
    """
    try:
        yield
    except FileRefusedError as error:
        raise FileRefusedError(
            error.code, f"The history file {path} cannot be learnt from. {error.what}", error.way_out, error.line
        ) from error
    except FileNotFoundError as error:
        raise LoansError(
            f"There is no history file {path}.",
            "Name one that is there, with --history or under [training] in the site file.",
        ) from error
    except IsADirectoryError as error:
        raise LoansError(
            f"The history file {path} is a folder.",
            "Name the files in it, with --history or under [training] in the site file.",
        ) from error


PACKED: Final = ".gz"
"""What the name of a packed file ends with, in whatever case."""

MAX_UNPACKED_BYTES: Final = 1 << 40
"""Most bytes that a file may unpack to, unless told otherwise."""


def is_packed(path: Path) -> bool:
    """Tell by its name whether a file is packed."""
    return path.suffix.lower() == PACKED


def unpack_history(files: Sequence[Path], folder: Path, max_bytes: int = MAX_UNPACKED_BYTES) -> tuple[Path, ...]:
    """Give the files to read: each as it is, a packed one as what it holds, written into `folder` under its own name.

    `folder` is made if it is needed. Raises LoansError when two files hold the same name packed and plain,
    FileRefusedError when one does not unpack or holds more than `max_bytes`, OSError as the storage does.
    """
    plain = [path.with_suffix("") if is_packed(path) else path for path in files]
    twice = [path for path, times in Counter(plain).items() if times > 1]
    if twice:
        raise LoansError(
            f"The history file {twice[0]} is there twice: packed and unpacked, or named two times.",
            "Its loans would count twice: take one of them away, or name the files to read with --history.",
        )
    read = []
    for number, path in enumerate(files, 1):
        if not is_packed(path):
            read.append(path)
            continue
        # Files of different folders may have one name.
        home = folder / str(number)
        home.mkdir(mode=0o770, parents=True, exist_ok=True)
        target = home / path.with_suffix("").name
        with naming_file(path):
            unpack_gzip(path, target, max_bytes)
        # How recent the loans can be is told by when the packed file was written.
        written = path.stat().st_mtime_ns
        os.utime(target, ns=(written, written))
        read.append(target)
    return tuple(read)
