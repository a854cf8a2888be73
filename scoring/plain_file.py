"""Open a file that strangers may have put there: a plain file with one name, never what a name leads elsewhere to."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from scoring.errors import FileRefusedError

_NOT_PLAIN = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR)
"""What open(2) says of symbolic links, sockets, devices and folders."""


def open_plain(path: Path) -> BinaryIO:
    """Open for reading, unbuffered: a link is not followed, a pipe is not waited for, a second name is refused.

    What is judged is the open file, not its name. Raises FileRefusedError for anything but a plain file with one
    name, OSError as the storage does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_PLAIN:
            raise _refusal() from error
        raise
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
        return os.fdopen(descriptor, "rb", buffering=0)
    os.close(descriptor)
    raise _refusal()


def _refusal() -> FileRefusedError:
    return FileRefusedError(
        "not_a_plain_file",
        "This is no plain file with one name: a link, a second name of another file, a pipe or a device.",
        "Send a copy of the file itself.",
    )
