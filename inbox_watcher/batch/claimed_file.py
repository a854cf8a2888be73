"""The claimed file as it was when it was planned, and whether anybody has written to it since."""

import os
from pathlib import Path
from typing import BinaryIO

import msgspec
from blake3 import blake3

from scoring.errors import FileRefusedError
from scoring.plain_file import open_plain

_BLOCK = 4 << 20

WAY_OUT = (
    "Send the whole file again: write it under a name that begins with a dot or ends in .tmp and rename it when it is "
    "complete, or drop NAME.done beside it then."
)
"""How a sender avoids that a file is claimed too early."""


class ClaimedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What identifies the content of a claimed file."""

    size: int
    """Its size (bytes)."""
    inode: int
    """Its inode number."""
    modified: int
    """Its modification time (nanoseconds since 1970)."""
    changed: int
    """Time of the last change to its content or its attributes (nanoseconds since 1970)."""
    blake3: str = ""
    """BLAKE3 of all its bytes (hexadecimal); empty where the file was not read for a plan."""


def describe_claimed(path: Path) -> ClaimedFile:
    """Return size, inode and times of a claimed file, without its hash.

    The file is opened, since open(2) makes an NFS client ask the server. Raises FileRefusedError for anything but a
    plain file, OSError as the storage does.
    """
    with open_plain(path) as file:
        return _describe(file)


def hash_claimed(path: Path) -> str:
    """Return the BLAKE3 of a file (hexadecimal). Raises as `describe_claimed`."""
    with open_plain(path) as file:
        return _hash(file)


def check_unchanged(path: Path, planned: ClaimedFile | None, *, read: bool, archived: bool = False) -> None:
    """Compare a claimed file with what was planned.

    The content decides: where only times differ, and where `read` asks for it, all bytes are hashed and compared.
    With `archived`, the change time is not compared, since moving the file into the archive sets it. A batch that was
    planned by an earlier release has nothing to compare with. Raises FileRefusedError (code `written_after_claim`)
    when the file is not the planned one, FileNotFoundError when it is gone, OSError as the storage does.
    """
    if planned is None:
        return
    with open_plain(path) as file:
        found = _describe(file)
        if (found.size, found.inode) != (planned.size, planned.inode):
            raise _refusal(f"it had {planned.size:,} bytes when it was claimed, and has {found.size:,} now")
        same_times = found.modified == planned.modified and (archived or found.changed == planned.changed)
        if same_times and not (read and planned.blake3):
            return
        if not planned.blake3:
            if found.modified == planned.modified:
                return  # its attributes were changed, not its content
            raise _refusal("its modification time has changed")
        if _hash(file) != planned.blake3 or _describe(file) != found:
            raise _refusal(f"it still has {found.size:,} bytes, but not the same ones")


def _describe(file: BinaryIO) -> ClaimedFile:
    facts = os.fstat(file.fileno())
    return ClaimedFile(facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns)


def _hash(file: BinaryIO) -> str:
    digest = blake3()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _refusal(found: str) -> FileRefusedError:
    return FileRefusedError("written_after_claim", f"The file was written to after it was claimed: {found}.", WAY_OUT)
