"""Packed history files: unpacked once, when a run is planned; its nodes read byte ranges of them as of others."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scoring.errors import LoansError
from scoring.unpack import unpack_gzip
from training.loans.named_file import naming_file

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
