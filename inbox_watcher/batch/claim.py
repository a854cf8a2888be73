"""Take a file out of the inbox, and put files where they end: renames on one filesystem, never over another file."""

import errno
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path

from inbox_watcher.settings.layout import SIDECAR
from scoring.atomic import rename_checked, stands, sync_folder
from scoring.errors import StorageError
from scoring.failpoints import reach


def new_batch_id() -> str:
    """Draw a batch id that sorts by time: `20261122-150801-3f9a2c`.

    Two of one second may be the same: with 170 files a second, once in twenty minutes. Whoever takes one asks first
    whether it is taken.
    """
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def move_once(source: Path, target: Path, act: str = "") -> bool:
    """Rename a file unless it has been renamed already; tell whether it stands at `target` now.

    False means that it is at neither place: somebody took it away. Raises StorageError when another file stands at
    `target`, OSError as the storage does. `act` names the move among the failpoints.
    """
    if not stands(source):
        return stands(target)
    if stands(target):
        raise StorageError(f"{target} exists already and is not replaced.", "Move it away; the daemon tries again.")
    target.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
    reach("{}.rename.before", act)
    try:
        rename_checked(source, target)
    except FileNotFoundError:
        return stands(target)
    reach("{}.rename.after", act)
    sync_folder(target.parent)
    sync_folder(source.parent)
    return True


def claim_sidecar(inbox: Path, name: str, target: Path) -> None:
    """Take a file's sidecar along, before the file itself: it is never taken for that of a later file of its name.

    A sidecar that is older than the file belonged to another one and stays. Raises OSError as the storage does.
    """
    sidecar, file = inbox / f"{name}{SIDECAR}", inbox / name
    if os.path.lexists(target):
        return
    try:
        facts = sidecar.lstat()
        if stat.S_ISREG(facts.st_mode) and facts.st_ctime_ns >= file.lstat().st_ctime_ns:
            os.rename(sidecar, target)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise


def take_late_sidecar(inbox: Path, name: str, target: Path) -> None:
    """Take along a sidecar that arrived after its file was claimed.

    While a new file of that name is in the inbox, the sidecar is that file's and stays. Raises OSError as the storage
    does.
    """
    sidecar = inbox / f"{name}{SIDECAR}"
    try:
        if stat.S_ISREG(sidecar.lstat().st_mode) and not stands(inbox / name):
            os.replace(sidecar, target)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
