"""Durable writes: complete or not at all, nothing left behind, never readable by the world."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring.atomic import remove_abandoned, rename_checked, stands, write_bytes, written_atomically


@pytest.fixture
def umask() -> Iterator[None]:
    """Take every restriction away, as a careless account would."""
    before = os.umask(0)
    yield
    os.umask(before)


def names_in(folder: Path) -> list[str]:
    """Name everything in a folder, hidden names too."""
    return sorted(os.listdir(folder))


def test_content_appears_at_the_end(tmp_path: Path) -> None:
    """While the block runs the old content stands; afterwards the new, and no other name."""
    path = tmp_path / "a"
    write_bytes(path, b"old")
    with written_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        file.seek(0)
        assert file.read() == b"new"
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_failure_keeps_what_was(tmp_path: Path, error: type[BaseException]) -> None:
    """When the block raises, whatever it raises, the old content stays, no temporary is left, and the error is kept."""
    path = tmp_path / "a"
    write_bytes(path, b"old")

    def fail() -> None:
        with written_atomically(path) as file:
            file.write(b"half")
            raise error("why")

    with pytest.raises(error, match="why"):
        fail()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_failing_storage_keeps_what_was(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When syncing or renaming fails, the old content stays, no temporary is left, and the first error is told."""
    path = tmp_path / "a"
    write_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(5, f"{call} failed")

    monkeypatch.setattr(f"scoring.atomic.os.{call}", fail)
    with pytest.raises(OSError, match=f"{call} failed"):
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a"]


def test_first_error_is_kept_when_cleaning_fails_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When even the temporary cannot be removed, the error that is told is the one that came first."""

    def fail(*_: object) -> None:
        raise OSError(5, "unlink failed")

    monkeypatch.setattr("scoring.atomic.os.unlink", fail)
    with pytest.raises(ValueError, match="first"), written_atomically(tmp_path / "a"):
        raise ValueError("first")


def test_everything_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced before it is renamed, and its folder after."""
    acts: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        acts.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def rename(source: str, target: str) -> None:
        acts.append("rename")
        real_rename(source, target)

    monkeypatch.setattr("scoring.atomic.os.fsync", fsync)
    monkeypatch.setattr("scoring.atomic.os.rename", rename)
    write_bytes(tmp_path / "a", b"x")
    assert acts == ["file", "rename", "folder"]


@pytest.mark.usefixtures("umask")
def test_world_reads_nothing(tmp_path: Path) -> None:
    """Whatever the umask allows, neither the file nor its temporary is open to the world."""
    path = tmp_path / "a"
    with written_atomically(path):
        (temporary,) = tmp_path.iterdir()
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_umask_is_obeyed(tmp_path: Path) -> None:
    """A stricter umask makes a stricter file."""
    before = os.umask(0o077)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_missing_folder_is_told(tmp_path: Path) -> None:
    """Where there is no folder there is an error, and still no folder."""
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "none" / "a", b"x")
    assert names_in(tmp_path) == []


def test_what_is_being_written_is_not_removed_as_abandoned(tmp_path: Path) -> None:
    """Only temporary names that no writer of this process holds are removed, and nothing else."""
    (tmp_path / ".0123456789abcdef.tmp").touch()
    (tmp_path / ".hidden.tmp").touch()
    with written_atomically(tmp_path / "a") as file:
        file.write(b"a")
        assert remove_abandoned(tmp_path) == 1
    assert names_in(tmp_path) == [".hidden.tmp", "a"]
    assert remove_abandoned(tmp_path / "absent") == 0


def test_trouble_is_not_taken_for_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be looked up is neither there nor gone: the error is raised."""
    assert not stands(tmp_path / "a")

    def stale(_: Path) -> os.stat_result:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "lstat", stale)
    with pytest.raises(OSError, match="Stale"):
        stands(tmp_path / "a")


@pytest.mark.parametrize("done", [True, False])
def test_a_failed_rename_is_checked_at_its_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> None:
    """A rename that is told as failed counts when the very file stands at its destination, and only then."""
    real = os.rename

    def lie(source: Path, target: Path) -> None:
        if done:
            real(source, target)
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(os, "rename", lie)
    (tmp_path / "b").write_bytes(b"old")
    (tmp_path / "a").write_bytes(b"new")
    if done:
        rename_checked(tmp_path / "a", tmp_path / "b")
        assert names_in(tmp_path) == ["b"]
    else:
        with pytest.raises(FileNotFoundError):
            rename_checked(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == b"old"
