"""Starting and ending the daemon: one for each site, and at once when it is told to."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from inbox_watcher import daemon as daemon_module
from inbox_watcher.daemon import serve
from inbox_watcher.notify import tell_systemd
from inbox_watcher.owner import describe_self
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from scoring.errors import LoansError, StorageError
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.inbox_watcher.waiting import SECONDS, wait_for

REPOSITORY = Path(__file__).parents[3]


SIGNALS = """
import sys, time
from collections import Counter
from pathlib import Path
from inbox_watcher.settings.site_file import Inbox, Site
from inbox_watcher.batch.journal import Journal
from inbox_watcher.service import Watcher

until = time.monotonic() + 1.0
came = Counter()

class Deaf(Watcher):
    @property
    def _stopping(self):
        return time.monotonic() > until

    @_stopping.setter
    def _stopping(self, value):
        pass

def trace(frame, event, _):
    here = frame.f_code.co_filename, frame.f_lineno
    if event == "line" and here[0].endswith(("/threading.py", "/queue.py", "/service.py")) and came[here] < 3:
        came[here] += 1
        watcher.stop()
    return trace

root = Path(sys.argv[1])
site = Site(root=str(root), state=str(root), inbox=Inbox(rescan_seconds=0.01))
watcher = Deaf(site, Journal(root / "journal.sqlite"), lambda: None)
sys.settrace(trace)
watcher.run()
sys.settrace(None)
print("alive" if len(came) > 20 else came)
"""
"""Python runs a signal's handler between any two steps of the main thread: here, between all of them."""


def test_a_signal_may_come_at_any_moment(tmp_path: Path) -> None:
    """`stop` comes from a signal handler, also just while the daemon goes to sleep or wakes: it never hangs there."""
    (tmp_path / "inbox").mkdir()
    command = [sys.executable, "-c", SIGNALS, str(tmp_path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=8, check=False)
    assert ended.stdout == "alive\n", ended.stderr


def test_a_second_daemon_is_refused(site: Site, journal_path: Path) -> None:
    """Where a daemon holds the site's lock, another refuses to start and names it; the first is not disturbed."""
    import fcntl

    with (journal_path.parent / "watch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        with pytest.raises(LoansError, match=r"Another daemon serves this site already \(process 4711\)"):
            serve(site, PoolInProcess)
    assert not journal_path.exists()


def test_a_tree_that_is_not_there_is_told(site: Site, layout: Layout) -> None:
    """Storage that is not mounted is told before anything is made in its place."""
    layout.inbox.rmdir()
    with pytest.raises(LoansError, match=r"not whole: .*inbox missing") as caught:
        serve(site, PoolInProcess)
    assert "mounted" in caught.value.way_out
    assert not layout.inbox.exists()


def test_a_state_folder_that_cannot_be_made_is_told(site: Site, tmp_path: Path) -> None:
    """A daemon's own folder that cannot be made ends in a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"folder .* cannot be made: Not a directory"):
        serve(msgspec.structs.replace(site, state=str(tmp_path / "file" / "state")), PoolInProcess)


SERVE = """
import sys
from pathlib import Path
from inbox_watcher.settings.site_file import Inbox, Site
from inbox_watcher.daemon import serve
serve(Site(root=sys.argv[1], state=sys.argv[2], inbox=Inbox(rescan_seconds=0.05)), lambda: None)
print("ended well")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon(site: Site, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the daemon at once and well, and free its lock for the next one."""
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", SERVE, site.root, site.state], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        ) as daemon:
            lock = Path(site.state) / "watch.lock"
            wait_for((Path(site.state) / "events").exists, "the start")
            assert lock.read_text() == str(daemon.pid)
            daemon.send_signal(number)
            output, _ = daemon.communicate(timeout=SECONDS)
        assert (daemon.returncode, output) == (0, "ended well\n")
        (Path(site.state) / "events").rmdir()


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where systemd named a socket it is told the daemon's state; elsewhere nothing happens."""
    import socket

    tell_systemd("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        tell_systemd("READY=1")
        assert channel.recv(100) == b"READY=1"


@pytest.mark.parametrize("kind", ["nfs4", "cifs"])
def test_a_journal_on_a_network_filesystem_is_refused(
    site: Site, journal_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """SQLite is not safe there; the daemon says so before it makes a journal."""
    monkeypatch.setattr(daemon_module, "find_filesystem", lambda _: kind)
    with pytest.raises(StorageError, match=rf"on a network filesystem \({kind}\)") as caught:
        serve(site, PoolInProcess)
    assert "local disk" in caught.value.way_out
    assert not journal_path.exists()


def test_a_daemon_on_another_host_is_named(site: Site, layout: Layout, journal_path: Path) -> None:
    """While a daemon on another host serves the tree, this one ends with its host and since when it runs."""
    other = dataclasses.replace(describe_self(), host="submit-2", since="2026-11-01T08:00:00+00:00")
    layout.owner.write_text(json.dumps(dataclasses.asdict(other)))
    with pytest.raises(LoansError, match=rf"process {other.pid} on submit-2, since 2026-11-01T08"):
        serve(site, PoolInProcess)
    assert not journal_path.exists()
