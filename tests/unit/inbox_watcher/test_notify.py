"""What systemd is told, and that only a loop that turns feeds its watchdog."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inbox_watcher.notify import Heartbeat, tell_systemd
from inbox_watcher.settings.site_file import Site
from tests.unit.inbox_watcher.waiting import SECONDS

REPOSITORY = Path(__file__).parents[3]

SERVE = """
import sys, threading, time
from inbox_watcher import service
from inbox_watcher.settings.site_file import Inbox, Site
from inbox_watcher.daemon import serve

turns = 0
collect = service.Watcher._collect

def hang_later(self):
    global turns
    turns += 1
    if turns > int(sys.argv[3]):
        threading.Event().wait()
    collect(self)

service.Watcher._collect = hang_later
serve(Site(root=sys.argv[1], state=sys.argv[2], inbox=Inbox(rescan_seconds=60)), lambda: None)
"""


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(SECONDS)
        yield channel


def beats_within(heard: socket.socket, seconds: float) -> int:
    """Count the beats of some time."""
    until = time.monotonic() + seconds
    count = 0
    while (left := until - time.monotonic()) > 0:
        heard.settimeout(left)
        try:
            count += heard.recv(100) == b"WATCHDOG=1"
        except TimeoutError:
            break
    return count


@contextmanager
def serve(site: Site, tmp_path: Path, turns: int) -> "Iterator[subprocess.Popen[bytes]]":
    """Start the daemon with a watchdog of 0.4 s; its loop hangs after so many turns."""
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    command = [sys.executable, "-c", SERVE, site.root, site.state, str(turns)]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL) as daemon:
        try:
            yield daemon
        finally:
            daemon.kill()


def test_a_loop_that_turns_feeds_the_watchdog(site: Site, heard: socket.socket, tmp_path: Path) -> None:
    """READY, then a beat at least every WatchdogSec although nothing happens, then STOPPING, and none after it."""
    with serve(site, tmp_path, 10**9) as daemon:
        assert heard.recv(100) == b"READY=1"
        moments = []
        for _ in range(5):
            assert heard.recv(100) == b"WATCHDOG=1"
            moments.append(time.monotonic())
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(SECONDS)
        rest = []
        heard.settimeout(0.1)
        while b"STOPPING=1" not in rest:
            rest.append(heard.recv(100))
    gaps = [later - before for before, later in itertools.pairwise(moments)]
    assert sum(gaps) / len(gaps) < 0.4
    assert sum(gaps) > 0.15 * len(gaps)
    assert rest[-1] == b"STOPPING=1"
    with pytest.raises(TimeoutError):
        heard.recv(100)


def test_a_loop_that_hangs_starves_the_watchdog(site: Site, heard: socket.socket, tmp_path: Path) -> None:
    """A loop that is stuck sends no beat, however alive the process is otherwise."""
    with serve(site, tmp_path, 2) as daemon:
        assert heard.recv(100) == b"READY=1"
        assert heard.recv(100) == b"WATCHDOG=1"
        assert beats_within(heard, 1.2) <= 1
        assert daemon.poll() is None


def test_heartbeat(heard: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat is sent when half of the watchdog's time is over; without a watchdog, or for another process, never."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    moment = 0.0
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    beating = Heartbeat(lambda: moment)
    assert beating.period == 5
    heard.settimeout(0)  # what was sent on this machine is there
    sent = []
    for second in range(20):
        moment = float(second)
        beating.beat()
        try:
            sent.append((second, heard.recv(100)))
        except BlockingIOError:
            continue
    assert sent == [(second, b"WATCHDOG=1") for second in (0, 5, 10, 15)]
    for name, value in (("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", "0"), ("WATCHDOG_USEC", "soon")):
        monkeypatch.setenv(name, value)
        assert Heartbeat().period == float("inf")
        monkeypatch.delenv(name)
    Heartbeat().beat()
    with pytest.raises(BlockingIOError):
        heard.recv(100)


def test_a_socket_that_is_gone_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While systemd is away the daemon goes on."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    tell_systemd("READY=1")
