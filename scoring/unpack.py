"""Unpack a gzip file once, streamed, within bounds: what unpacks without end is refused, not suffered."""

import zlib
from pathlib import Path

from scoring.atomic import written_atomically
from scoring.errors import FileRefusedError

MAX_RATIO = 100
"""Unpacked bytes per packed byte; loans pack 3 to 20 times, a gzip bomb about 1,000 times."""

ALWAYS_FINE = 64 << 20
"""Unpacked bytes below which the ratio does not matter."""

_BLOCK = 1 << 20
_GZIP_WINDOW = zlib.MAX_WBITS | 16


def unpack_gzip(packed: Path, target: Path, max_bytes: int) -> int:
    """Unpack `packed` into `target` (all members of it), durably; give the unpacked bytes.

    Constant memory. Raises FileRefusedError when it is damaged, cut, or unpacks to more than `max_bytes` or MAX_RATIO
    times its size, OSError as the storage does; no `target` appears then.
    """
    bound = min(max_bytes, max(ALWAYS_FINE, packed.stat().st_size * MAX_RATIO))
    size = 0
    with packed.open("rb") as source, written_atomically(target, "plan.unpacked") as file:
        member = zlib.decompressobj(_GZIP_WINDOW)
        pending = source.read(_BLOCK)
        while pending:
            try:
                content = member.decompress(pending, _BLOCK)
            except zlib.error as error:
                raise FileRefusedError(
                    "gzip_damaged", "The file is not gzip, or damaged.", "Pack it again and send it again."
                ) from error
            size += len(content)
            if size > bound:
                raise FileRefusedError(
                    "gzip_too_large",
                    f"The file unpacks to more than {bound:,} bytes.",
                    "Send it unpacked, or in several files.",
                )
            file.write(content)
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
            raise FileRefusedError("gzip_cut", "The gzip file ends too early.", "Send the whole file again.")
    return size
