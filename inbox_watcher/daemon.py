"""Start the daemon once for a site, and end it when the system says so."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dag_specs.jobs import Scheduler
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.recovery import adopt_orphans
from inbox_watcher.owner import owned
from inbox_watcher.service import Watcher
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.mounts import NETWORK_FILESYSTEMS, find_filesystem
from inbox_watcher.settings.patience import wait_for_storage
from inbox_watcher.settings.site_file import Site
from scoring.errors import LoansError, StorageError


def serve(site: Site, connect: Callable[[], Scheduler]) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Storage in trouble is waited for. Raises LoansError when another daemon serves this site, StorageError when its
    folders cannot be used.
    """
    os.umask(0o007)
    state = StateLayout(Path(site.state))
    wait_for_storage(lambda: _check_tree(Layout(Path(site.root))))
    try:
        state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The daemon's folder {state.root} cannot be made: {error.strerror}.") from error
    kind = find_filesystem(state.root)
    if kind in NETWORK_FILESYSTEMS:
        raise StorageError(
            f"The daemon's folder {state.root} is on a network filesystem ({kind}), where its journal is not safe.",
            "Name a folder on a local disk of this machine as `state` in the site file.",
        )
    watchers: list[Watcher] = []

    def give_up() -> None:
        for watcher in watchers:
            watcher.stop()

    with _alone(state.lock), owned(Layout(Path(site.root)).owner, give_up):
        journal = Journal(state.journal)
        wait_for_storage(lambda: adopt_orphans(Layout(Path(site.root)), journal))
        watcher = Watcher(site, journal, connect)
        watchers.append(watcher)

        def stop(_number: int, _frame: FrameType | None) -> None:
            watcher.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        watcher.run()
        journal.close()


def _check_tree(layout: Layout) -> None:
    missing = [str(folder) for folder in layout.folders if not folder.is_dir()]
    if missing:
        raise LoansError(
            f"The shared tree is not whole: {', '.join(missing)} missing.",
            "Is the storage mounted? `loans init ROOT` makes a new tree.",
        )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the daemon's lock (flock(2): the kernel frees it however the process ends)."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise LoansError(
                f"Another daemon serves this site already (process {file.read().strip() or 'unknown'}).",
                "Stop that one first, or give this one a site file with another `state` and `root`.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
