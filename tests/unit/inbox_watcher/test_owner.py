"""Who owns a shared tree: one daemon, on whatever host, and the next one when it is gone."""

import fcntl
import json
import logging
import os
import re
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from inbox_watcher import owner
from inbox_watcher.owner import STALE_SECONDS, Owner, describe_self, owned
from scoring.errors import LoansError, StorageError
from tests.unit.inbox_watcher.waiting import wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the owner's file."""
    return tmp_path / ".watch-owner.json"


def no_loss() -> None:
    """Fail: nobody else is there."""
    raise AssertionError("the tree was lost")


def write_owner(path: Path, one: Owner, age: float = 0.0) -> None:
    """Write the file of an owner that was last heard of `age` seconds ago."""
    path.write_text(json.dumps(asdict(one)))
    os.utime(path, (time.time() - age, time.time() - age))


def dead_pid() -> int:
    """Give the number of a process that has ended."""
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    return child


def test_a_tree_is_owned_and_given_back(path: Path) -> None:
    """The file names host, process and time while the tree is owned; nothing is left afterwards."""
    with owned(path, no_loss):
        said = json.loads(path.read_text())
        assert (said["host"], said["pid"]) == (os.uname().nodename, os.getpid())
        assert os.listdir(path.parent) == [path.name]
        assert path.stat().st_mode & 0o007 == 0
    assert os.listdir(path.parent) == []


def test_a_living_owner_on_this_host_is_not_replaced(path: Path) -> None:
    """However old its heartbeat: the process is there, its storage may hang."""
    other = replace(describe_self(), token="other")
    write_owner(path, other, age=10 * STALE_SECONDS)
    with (
        pytest.raises(LoansError, match=rf"process {os.getpid()} on .*, since {re.escape(other.since)}"),
        ExitStack() as stack,
    ):
        stack.enter_context(owned(path, no_loss))
    assert json.loads(path.read_text())["token"] == "other"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("change", ["ended", "another process of that number", "another boot"])
def test_a_dead_owner_on_this_host_is_replaced_at_once(
    path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that ended, whose number another one has, or of the time before a restart, owns nothing."""
    mine = describe_self()
    gone = {
        "ended": replace(mine, pid=dead_pid()),
        "another process of that number": replace(mine, started="1"),
        "another boot": replace(mine, boot="0000 pid:[1]"),
    }[change]
    write_owner(path, replace(gone, token="gone"))
    caplog.set_level(logging.WARNING)
    with owned(path, no_loss):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert f"taken over from a daemon that is gone: process {gone.pid}" in caplog.text
    assert os.listdir(path.parent) == [f"{path.name}.takeover"]


@pytest.mark.parametrize("where", ["another host", "another container"])
def test_an_owner_elsewhere_is_judged_by_its_heartbeat(
    path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While it was heard of lately it is not replaced, and named; when it was not for long, it is, and that is told."""
    mine = describe_self()
    other = replace(mine, pid=dead_pid(), token="other", since="2026-01-01T00:00:00+00:00")
    other = (
        replace(other, host="submit-2")
        if where == "another host"
        else replace(other, boot=f"{mine.boot.partition(' ')[0]} pid:[42]")
    )
    write_owner(path, other, age=STALE_SECONDS - 20)
    words = rf"process {other.pid} on {other.host}, since 2026-01-01"
    with pytest.raises(LoansError, match=words) as caught, ExitStack() as stack:
        stack.enter_context(owned(path, no_loss))
    assert "wait 120 seconds" in caught.value.way_out
    write_owner(path, other, age=STALE_SECONDS + 20)
    with owned(path, no_loss):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert f"on {other.host}" in caplog.text


def test_a_file_that_does_not_read_is_replaced(path: Path) -> None:
    """Half a file, as a full disk leaves it, names nobody and keeps nobody out."""
    path.write_text('{"host": "x"')
    with owned(path, no_loss):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_the_owner_keeps_its_file_fresh(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat is the file's time; a file that somebody removed is made again."""
    monkeypatch.setattr(owner, "HEARTBEAT_SECONDS", 0.02)
    with owned(path, no_loss):
        os.utime(path, (1, 1))
        wait_for(lambda: path.stat().st_mtime > 10**9, "a heartbeat")
        path.unlink()
        wait_for(path.exists, "the file")


def test_an_owner_that_was_replaced_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that slept too long and finds another in its place stops, and leaves the other's file alone."""
    monkeypatch.setattr(owner, "HEARTBEAT_SECONDS", 0.02)
    lost = threading.Event()
    with owned(path, lost.set):
        other = path.with_name("other")
        write_owner(other, replace(describe_self(), host="submit-2", token="other"))
        other.rename(path)
        assert lost.wait(5)
    assert json.loads(path.read_text())["token"] == "other"


def test_a_daemon_that_died_while_taking_over_keeps_nobody_out(path: Path) -> None:
    """Killed in the milliseconds of a takeover, it leaves a file that nobody locks; the next daemon does not wait."""
    gone = replace(describe_self(), pid=dead_pid(), token="gone")
    write_owner(path, gone)
    write_owner(path.with_name(f"{path.name}.takeover"), gone)
    begun = time.monotonic()
    with owned(path, no_loss):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert time.monotonic() - begun < 1
    assert os.listdir(path.parent) == [f"{path.name}.takeover"]


def test_one_that_is_taking_over_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another daemon takes the tree over, on whatever host, nobody else does; when it has, that is told."""
    write_owner(path, replace(describe_self(), pid=dead_pid(), token="gone"))
    monkeypatch.setattr(owner, "_TAKEOVER_SECONDS", 0.001)
    with path.with_name(f"{path.name}.takeover").open("w") as permit, ExitStack() as stack:
        fcntl.flock(permit, fcntl.LOCK_EX)
        with pytest.raises(LoansError, match="took this site over at this very moment"):
            stack.enter_context(owned(path, no_loss))
        assert json.loads(path.read_text())["token"] == "gone"
    with owned(path, no_loss):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("left", ["", ".takeover"])
def test_two_that_start_together_do_not_both_get_it(path: Path, left: str) -> None:
    """Of many that find a dead owner, or its permit too, at the same moment, one gets the tree."""
    for name in {path.name, path.name + left}:
        write_owner(path.with_name(name), replace(describe_self(), pid=dead_pid(), token="gone"))
    start = threading.Barrier(8)
    won: list[int] = []
    with ExitStack() as stack:
        lock = threading.Lock()

        def race(number: int) -> None:
            start.wait()
            try:
                held = owned(path, lambda: None)
                held.__enter__()
            except LoansError:
                return
            with lock:
                won.append(number)
                stack.push(held)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_a_tree_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Storage that refuses the file ends in a sentence."""
    with pytest.raises(StorageError, match="cannot be written: No such file"), ExitStack() as stack:
        stack.enter_context(owned(tmp_path / "nowhere" / "owner.json", no_loss))
