"""Unpacking HTCondor into the user's cache: whole or not at all, once."""

import platform
import subprocess
import threading
from pathlib import Path

import pytest

from local_pool import distribution
from local_pool.apt_archive import Archive
from local_pool.distribution import Distribution, cache_folder, find_or_unpack
from local_pool.errors import PoolError

ARCHIVE = Archive("http://mirror.example/debian", "trixie", "main", None)


class FakeArchive:
    """Stands for apt, dpkg and patchelf: what it makes looks unpacked, and it counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        """Put itself in place of the real ones."""
        self.downloads = 0
        self.failure: Exception | None = None
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        monkeypatch.setattr(distribution, "find_installed", lambda: None)
        monkeypatch.setattr(distribution, "find_archives", lambda: (ARCHIVE,))
        monkeypatch.setattr(distribution, "download", self.download)
        monkeypatch.setattr(distribution, "_extract", self.extract)
        monkeypatch.setattr(distribution, "relocate", lambda _tree, _target: None)
        monkeypatch.setattr(distribution, "_describe", self.describe)

    def download(self, _archive: Archive, _work: Path) -> tuple[Path, ...]:
        """Count a download, or fail as told."""
        self.downloads += 1
        if self.failure:
            raise self.failure
        return (Path("condor.deb"),)

    def extract(self, _package: Path, tree: Path) -> None:
        """Unpack one program, with a bit that nothing in a user's cache should have."""
        program = tree / "usr" / "sbin" / "condor_master"
        program.parent.mkdir(parents=True)
        program.touch()
        program.chmod(0o4755)

    def describe(self, prefix: Path, sbin: Path, *, unpacked: bool) -> Distribution:
        """Describe what was unpacked."""
        return Distribution(prefix, prefix, sbin, prefix, prefix, prefix, "23.9.6", unpacked=unpacked)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeArchive:
    """Make a machine without HTCondor, with an empty cache."""
    return FakeArchive(monkeypatch, tmp_path)


def be_silent(_line: str) -> None:
    """Take what is reported, and say nothing."""


def test_unpacked_once_and_found_again(archive: FakeArchive) -> None:
    """The second time everything comes from the cache, and it is the same."""
    told: list[str] = []
    first = find_or_unpack(told.append)
    assert len(told) == 2
    assert find_or_unpack(told.append) == first
    assert len(told) == 2
    assert archive.downloads == 1
    assert first.unpacked


def test_nothing_privileged_is_left_in_the_cache(archive: FakeArchive) -> None:
    """A set-user-id bit of a package does not survive in a user's cache."""
    found = find_or_unpack(be_silent)
    assert archive.downloads == 1
    assert (found.sbin / "condor_master").stat().st_mode & 0o7777 == 0o755


@pytest.mark.usefixtures("archive")
def test_whatever_a_killed_process_left_is_cleared() -> None:
    """A folder without its record, and a half-filled working folder, do not count and do not stay."""
    cache = cache_folder()
    half = cache / f"htcondor-trixie-{platform.machine()}-1"
    (half / "usr").mkdir(parents=True)
    (half / "old").touch()
    (cache / "unpacking-dead").mkdir()
    found = find_or_unpack(be_silent)
    assert found.prefix == half / "usr"
    assert not (half / "old").exists()
    assert not list(cache.glob("unpacking-*/"))


def test_failure_leaves_nothing(archive: FakeArchive) -> None:
    """After a failed fetch the cache is as before, and the next try succeeds."""
    archive.failure = PoolError("no network.")
    with pytest.raises(PoolError, match="no network"):
        find_or_unpack(be_silent)
    assert [path.name for path in cache_folder().iterdir()] == ["unpacking.lock"]
    archive.failure = None
    assert find_or_unpack(be_silent).version == "23.9.6"


def test_full_disk_is_told_with_the_folder(archive: FakeArchive) -> None:
    """An error of the disk names the cache and the way out."""
    archive.failure = OSError(28, "No space left on device")
    with pytest.raises(PoolError, match="No space left on device") as caught:
        find_or_unpack(be_silent)
    assert str(cache_folder()) in caught.value.sentence
    assert "XDG_CACHE_HOME" in str(caught.value)


def test_moved_cache_is_not_used(archive: FakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs hold the path that they were unpacked for, so a copy elsewhere is unpacked anew."""
    find_or_unpack(be_silent)
    moved = tmp_path / "moved"
    subprocess.run(["/bin/cp", "-r", cache_folder(), moved], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    moved.rename(tmp_path / "elsewhere" / "condor-loan-scoring")
    assert find_or_unpack(be_silent).prefix.is_relative_to(tmp_path / "elsewhere")
    assert archive.downloads == 2


def test_two_at_once_unpack_once(archive: FakeArchive) -> None:
    """Two that need it at the same time share one copy; the second waits for the first."""
    found: list[Distribution] = []
    threads = [threading.Thread(target=lambda: found.append(find_or_unpack(be_silent))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found[0] == found[1]
    assert archive.downloads == 1
