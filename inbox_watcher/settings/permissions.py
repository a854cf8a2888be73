"""Who may do what on the shared tree: the service's account everything, analysts drop files and read results.

    inbox           analysts may list it and create files in it; only the owner of a file may take it back (sticky)
    outbox, failed  analysts may list and read
    contract.toml   analysts may read: which columns a file needs
    all else        the account alone: history, archive, batches and training hold loans, models decide about them

Folders that analysts use are setgid, so that what is made in them belongs to their group; files never are. The account
must be a member of that group: it reads what analysts drop by it.
"""

import grp
import os
import pwd
import stat
from pathlib import Path

from inbox_watcher.settings.layout import Layout
from scoring.errors import LoansError

PRIVATE = 0o700
"""A folder that is the account's alone."""
ROOT_MODE = 0o750
"""The top folder: analysts see the names in it and pass through."""
INBOX_MODE = 0o3770
RESULTS_MODE = 0o2750
"""`outbox` and `failed`."""
FILE_MODE = 0o640
"""A file that analysts may read."""


def find_group(name: str) -> int:
    """Return the number of a group, named or numbered, that this account may give folders to.

    Raises LoansError when there is no such group, or the account is not a member of it; root need not be one.
    """
    try:
        gid = grp.getgrnam(name).gr_gid
    except KeyError:
        if not name.isdecimal() or int(name) >= 2**32 - 1:
            raise LoansError(
                f"There is no group {name!r} on this machine; nothing was made.",
                "Create it on every node, with one number: `groupadd --gid NUMBER NAME`.",
            ) from None
        gid = int(name)
    if os.geteuid() != 0 and gid not in {os.getegid(), *os.getgroups()}:
        account = _name_account()
        raise LoansError(
            f"The account {account} is not a member of the group {name}; nothing was made.",
            f"As root, on every node: `usermod -aG {name} {account}`. Then log in again: a session keeps the groups "
            "that it began with.",
        )
    return gid


def make_folders(layout: Layout, analysts: int | None = None) -> None:
    """Make the folders of the tree, those that are missing, for the account alone or with a group of analysts.

    With `analysts` (a gid) folders that are there already get their permissions too, and so do results and the files
    in the top folder. Raises OSError as the storage does.
    """
    for folder in layout.folders:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    if analysts is None:
        return
    for folder, mode in _modes(layout).items():
        if mode != PRIVATE:
            os.chown(folder, -1, analysts)
        folder.chmod(mode)
    for folder in (layout.outbox, layout.failed):
        for path in folder.iterdir():
            _open_file(path, analysts)
    for path in layout.root.glob(f"{layout.owner.name}*"):
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def open_contract(layout: Layout, analysts: int) -> None:
    """Let analysts read the contract. Raises OSError as the storage does."""
    _open_file(layout.contract, analysts)


def _modes(layout: Layout) -> dict[Path, int]:
    shared = {
        layout.root: ROOT_MODE,
        layout.inbox: INBOX_MODE,
        layout.outbox: RESULTS_MODE,
        layout.failed: RESULTS_MODE,
    }
    return {folder: shared.get(folder, PRIVATE) for folder in layout.folders}


def _open_file(path: Path, analysts: int) -> None:
    """Let analysts read a file of this account; a file that an analyst dropped stays as it is."""
    facts = path.lstat()
    if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid():
        os.chown(path, -1, analysts)
        path.chmod(FILE_MODE)


def _name_account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"number {os.geteuid()}"
