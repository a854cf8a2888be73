"""Durable writes: a temporary name in the same folder, fsync, rename, fsync of the folder. The only place for them."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from scoring.failpoints import reach

FILE_MODE = 0o640
"""Readable by the group of the folder, never by the world: the files hold people's data. Writable by the owner alone:
the group of `outbox` are the analysts, who may read results and not change them."""

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")

_being_written: set[str] = set()
"""Temporary names of this process."""


def stands(path: Path) -> bool:
    """Tell whether a name is there. Raises OSError where `os.path.lexists` would take trouble for absence."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def refresh_folder(folder: Path) -> None:
    """Have an NFS client ask its server about a folder again, which open(2) of it does.

    A name that was asked for and was not there is otherwise said to be absent for up to a minute after another machine
    has made it. Raises OSError as the storage does.
    """
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut (fsync(2) on the directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_checked(source: Path, target: Path) -> None:
    """Rename a file; an error is believed only when the destination does not hold the very file.

    An NFS server that loses its answer is asked again, and then says ENOENT of a rename that it has done. Raises
    OSError as the storage does.
    """
    before = os.lstat(source)
    try:
        os.rename(source, target)
    except OSError:
        try:
            after = os.lstat(target)
            done = (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino) and not stands(source)
        except OSError:
            done = False  # what was wrong first is told
        if not done:
            raise


@contextmanager
def written_atomically(path: Path, act: str = "") -> Iterator[BinaryIO]:
    """Give a file to write to, and to read back, that appears as `path`, complete, only if the block ends well.

    The bytes go to a hidden temporary name in the same folder. When the block raises, that name is removed and
    whatever stood at `path` before stays as it was. Raises OSError as the storage does, at close(2) too; the first
    error is kept. `act` names the write among the failpoints.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    _being_written.add(temporary.name)
    try:
        reach("{}.create.before", act)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                reach("{}.create.after", act)
                yield file
                file.flush()
                reach("{}.fsync.before", act)
                os.fsync(file.fileno())
                reach("{}.fsync.after", act)
            reach("{}.rename.before", act)
            rename_checked(temporary, path)
            reach("{}.rename.after", act)
        except BaseException:  # a stop by Ctrl-C or SystemExit leaves no half-written file either
            with suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)
    finally:
        _being_written.discard(temporary.name)


def write_bytes(path: Path, content: bytes, act: str = "") -> None:
    """Replace `path` by `content` (bytes) in one durable step."""
    with written_atomically(path, act) as file:
        file.write(content)


def remove_abandoned(folder: Path) -> int:
    """Remove what writers that were killed left in a folder that this process alone writes to; give their number.

    Raises OSError as the storage does; a folder that is not there holds nothing.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    count = 0
    for name in names:
        if _TEMPORARY.fullmatch(name) and name not in _being_written:
            with suppress(FileNotFoundError):
                os.unlink(folder / name)
                count += 1
    return count
