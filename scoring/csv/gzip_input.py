"""Unpack a gzip file once, streamed, within bounds: what unpacks without end is refused, not suffered."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from scoring.atomic import written_atomically
from scoring.errors import FileRefusedError

MAX_RATIO = 100
"""Unpacked bytes per packed byte; loans pack 3 to 20 times, a gzip bomb about 1,000 times."""

ALWAYS_FINE = 64 << 20
"""Unpacked bytes below which the ratio does not matter."""

_BLOCK = 1 << 20
_GZIP_WINDOW = zlib.MAX_WBITS | 16
_RESERVED = bytes(64)
"""What a copy has reserved and not yet written ends like."""


def unpack_gzip(packed: Path, target: Path, max_bytes: int) -> int:
    """Unpack `packed` into `target` (all members of it), durably; give the unpacked bytes.

    Constant memory. Raises FileRefusedError when it is damaged, cut, or unpacks to more than `max_bytes` or MAX_RATIO
    times its size, OSError as the storage does; no `target` appears then.
    """
    bound = _choose_bound(packed.stat().st_size, max_bytes)
    size = 0
    with packed.open("rb") as source, written_atomically(target, "plan.unpacked") as file:
        for content in unpacked(source):
            size += len(content)
            if size > bound:
                raise FileRefusedError(
                    "gzip_too_large",
                    f"The file unpacks to more than {bound:,} bytes.",
                    "Send it unpacked, or in several files.",
                )
            file.write(content)
    return size


def _choose_bound(packed: int, max_bytes: int) -> int:
    return min(max_bytes, max(ALWAYS_FINE, packed * MAX_RATIO))


def unpacked(source: BinaryIO) -> Iterator[bytes]:
    """Give the content of a gzip file, all members of it, in blocks of at most 1 MiB.

    Raises FileRefusedError when it is damaged or ends too early, OSError as the storage does.
    """
    member = zlib.decompressobj(_GZIP_WINDOW)
    pending = source.read(_BLOCK)
    while pending:
        try:
            content = member.decompress(pending, _BLOCK)
        except zlib.error as error:
            raise FileRefusedError(
                "gzip_damaged", "The file is not gzip, or damaged.", "Pack it again and send it again."
            ) from error
        yield content
        if member.eof:
            # gzip(1): members may follow each other; trailing zeros are padding.
            pending = member.unused_data.lstrip(b"\0")
            while not pending and (block := source.read(_BLOCK)):
                pending = block.lstrip(b"\0")
            if pending:
                member = zlib.decompressobj(_GZIP_WINDOW)
        else:
            pending = member.unconsumed_tail or source.read(_BLOCK)
    if not member.eof:
        raise FileRefusedError(
            "truncated",
            "The gzip file ends too early: its end is missing.",
            "Send the whole file again, best under another name first and then by renaming it.",
        )


def is_packed_cut(file: BinaryIO, max_bytes: int) -> bool:
    """Tell whether an open gzip file ends too early, so that more may be on its way; all of it is read.

    A file that is refused for another reason is not cut. Constant memory; nothing is written. Raises OSError as the
    storage does.
    """
    size = os.fstat(file.fileno()).st_size
    bound, found = _choose_bound(size, max_bytes), 0
    try:
        for content in unpacked(file):
            found += len(content)
            if found > bound:
                return False
    except FileRefusedError as error:
        if error.code == "truncated":
            return True
        return os.pread(file.fileno(), len(_RESERVED), max(size - len(_RESERVED), 0)) == _RESERVED
    return False
