"""Durable writes: a temporary name in the same folder, fsync, rename, fsync of the folder. The only place for them."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

FILE_MODE = 0o660
"""Readable by the owner and the site's group, never by the world: the files hold people's data."""


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut (fsync(2) on the directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, and to read back, that appears as `path`, complete, only if the block ends well.

    The bytes go to a hidden temporary name in the same folder. When the block raises, that name is removed and
    whatever stood at `path` before stays as it was. Raises OSError as the storage does; the first error is kept.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` (bytes) in one durable step."""
    with written_atomically(path) as file:
        file.write(content)
