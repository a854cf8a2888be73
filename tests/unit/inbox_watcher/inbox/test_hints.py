"""The hints that make the daemon quick, from a real watcher on a local folder."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.events import FileMovedEvent
from watchdog.utils.dirsnapshot import DirectorySnapshot

from inbox_watcher.inbox import hints as hints_module
from inbox_watcher.inbox.hints import Hints
from inbox_watcher.settings.mounts import is_network_filesystem

# As proc_pid_mountinfo(5) shows it: the third word is the device, the first after the dash the kind.
LINE = "36 35 {device} /export /mnt/shared rw,noatime {optional}- {kind} server:/export rw,vers=4.2\n"


def mountinfo(tmp_path: Path, *lines: tuple[str, str, str]) -> Path:
    """Write a list of mounts: device, optional fields, kind."""
    path = tmp_path / "mountinfo"
    path.write_text("".join(LINE.format(device=device, optional=more, kind=kind) for device, more, kind in lines))
    return path


def device_of(folder: Path) -> str:
    """Name the device that a folder is on, as the kernel does."""
    number = folder.stat().st_dev
    return f"{os.major(number)}:{os.minor(number)}"


@pytest.mark.parametrize("rename", [False, True])
def test_a_new_file_wakes_the_daemon(tmp_path: Path, *, rename: bool) -> None:
    """A file that is written or renamed in the inbox wakes the daemon, which learns the new name of a renamed one."""
    woken = threading.Event()
    hints = Hints(tmp_path, woken.set, 1.0)
    hints.start()
    try:
        path = tmp_path / "a.csv.part"
        path.write_bytes(b"id\n1\n")
        assert woken.wait(5)
        if rename:
            moved = threading.Event()
            hints._wake = moved.set
            path.rename(tmp_path / "a.csv")
            names: set[str] = set()
            for _ in range(10):
                # Events of the write may come first.
                assert moved.wait(5)
                moved.clear()
                names |= hints.take_moved_in()
                if names:
                    break
            assert names == {"a.csv"}
            assert hints.take_moved_in() == set()
    finally:
        hints.stop()
        hints._observer.join(5)


def test_a_claim_does_not_hold_back_the_next_hint(tmp_path: Path) -> None:
    """A file that was just renamed out of the inbox, as a claim does, delays no word on the next one."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in ("claimed.csv", ".next"):
        (inbox / name).write_bytes(b"id\n1\n")
    hints = Hints(inbox, lambda: None, 1.0)
    hints.start()
    try:
        time.sleep(0.1)
        (inbox / "claimed.csv").rename(tmp_path / "claimed.csv")
        (inbox / ".next").rename(inbox / "next.csv")
        begun = time.monotonic()
        while not hints.take_moved_in():
            assert time.monotonic() - begun < 0.4
            time.sleep(0.005)
    finally:
        hints.stop()
        hints._observer.join(5)


def test_a_rename_elsewhere_is_not_one_into_the_inbox(tmp_path: Path) -> None:
    """Only names in the inbox itself count as renamed into it."""
    hints = Hints(tmp_path, lambda: None, 1.0)
    hints.on_any_event(FileMovedEvent(f"{tmp_path}/a", f"{tmp_path}/folder/a.csv"))
    hints.on_any_event(FileMovedEvent(f"{tmp_path}/a", f"{tmp_path}/b.csv"))
    assert hints.take_moved_in() == {"b.csv"}


def test_an_inbox_that_cannot_be_watched_is_only_listed(tmp_path: Path) -> None:
    """Without a watcher the daemon is slower, never wrong: a folder that is not there raises nothing."""
    hints = Hints(tmp_path / "nowhere", lambda: None, 1.0)
    hints.start()
    hints.stop()


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "fuse.sshfs"])
def test_network_filesystems_are_polled(tmp_path: Path, kind: str) -> None:
    """Where other hosts write unseen, the kernel's events are not relied upon."""
    here = device_of(tmp_path)
    assert is_network_filesystem(tmp_path, mountinfo(tmp_path, ("0:999", "", "ext4"), (here, "", kind)))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay", "btrfs"])
def test_local_filesystems_are_watched(tmp_path: Path, kind: str) -> None:
    """A local folder is watched by the kernel's events, however many optional fields its mount has."""
    here = device_of(tmp_path)
    mounts = mountinfo(tmp_path, ("0:999", "", "nfs4"), (here, "shared:1 master:2 ", kind))
    assert not is_network_filesystem(tmp_path, mounts)


def test_what_cannot_be_told_is_polled(tmp_path: Path) -> None:
    """A folder, a list or a device that is not there is taken for a network's: polling works everywhere."""
    assert is_network_filesystem(tmp_path / "nowhere")
    assert is_network_filesystem(tmp_path, tmp_path / "no mountinfo")
    assert is_network_filesystem(tmp_path, mountinfo(tmp_path, ("0:999", "", "ext4")))


def test_this_machines_own_folder_is_told(tmp_path: Path) -> None:
    """The real list of mounts knows the kind of a real folder."""
    assert isinstance(is_network_filesystem(tmp_path), bool)
    assert not is_network_filesystem(Path("/proc"))


def test_a_poll_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping does not wait for a poll of storage that hangs: the daemon is to end."""
    hangs, polled = threading.Event(), threading.Event()

    def scan(path: str | None) -> Iterator[os.DirEntry[str]]:
        polled.set()
        hangs.wait()
        return os.scandir(path)

    monkeypatch.setattr(hints_module, "is_network_filesystem", lambda _: True)
    monkeypatch.setattr(hints_module, "_STOP_SECONDS", 0.05)
    hints = Hints(tmp_path, lambda: None, 0.01)
    assert not hints.native
    hints.start()
    (emitter,) = hints._observer.emitters
    monkeypatch.setattr(emitter, "_take_snapshot", lambda: DirectorySnapshot(str(tmp_path), listdir=scan))
    assert polled.wait(10)
    stopped = threading.Thread(target=hints.stop, daemon=True)
    stopped.start()
    stopped.join(10)
    ended, left_behind = not stopped.is_alive(), emitter.is_alive()
    hangs.set()
    emitter.join(10)
    assert ended
    assert left_behind
