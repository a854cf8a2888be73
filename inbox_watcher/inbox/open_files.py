"""Whether some process still has a file open for writing, as far as the kernel tells the daemon's account."""

import fcntl
import signal
from pathlib import Path

from scoring.plain_file import open_plain


def is_open_for_writing(path: Path) -> bool:
    """Return True if any process on this host has the file open for writing.

    fcntl(2): a read lease (F_SETLEASE, F_RDLCK) is granted only on a file that nobody has open for writing, and only
    to the file's owner or a process with CAP_LEASE. Where the kernel refuses the question itself (another account's
    file, a filesystem without leases), the answer is False and the checks after the claim have to find a late writer.
    Raises FileRefusedError for anything but a plain file, OSError as the storage does.
    """
    with open_plain(path) as file:
        # Whoever opens the file while the lease is held is announced by a signal; the default one, SIGIO, would end
        # this process, while SIGURG is ignored.
        fcntl.fcntl(file.fileno(), fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(file.fileno(), fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        fcntl.fcntl(file.fileno(), fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
