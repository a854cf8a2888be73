"""Whether a claimed file is still the one that was planned: real files that are written to in every way."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.claimed_file import ClaimedFile, check_unchanged, describe_claimed, hash_claimed
from scoring.errors import FileRefusedError

CONTENT = b"id,a\n1,2\n3,4\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a claimed file whose times are long past, so that any write changes them."""
    path = tmp_path / "input"
    path.write_bytes(CONTENT)
    os.utime(path, (10**9, 10**9))
    return path


@pytest.fixture
def planned(path: Path) -> ClaimedFile:
    """Describe the file as it was planned."""
    return msgspec.structs.replace(describe_claimed(path), blake3=hash_claimed(path))


def rewrite(path: Path) -> None:
    """Write other bytes of the same number in place."""
    with path.open("r+b") as file:
        file.write(CONTENT[::-1])


def rewrite_and_reset_the_time(path: Path) -> None:
    """Write other bytes and put the modification time back."""
    rewrite(path)
    os.utime(path, (10**9, 10**9))


def replace(path: Path) -> None:
    """Put another file with the same bytes and times in its place."""
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    os.utime(other, (10**9, 10**9))
    other.rename(path)


def append(path: Path) -> None:
    """Append a record."""
    with path.open("ab") as file:
        file.write(b"5,6\n")


@pytest.mark.parametrize(
    "change", [append, lambda path: os.truncate(path, 9), rewrite, rewrite_and_reset_the_time, replace]
)
def test_a_write_is_found(path: Path, planned: ClaimedFile, change: Callable[[Path], None]) -> None:
    """Whatever a writer does to the content is refused with one code, with and without reading all bytes."""
    change(path)
    for read in (False, True):
        with pytest.raises(FileRefusedError) as caught:
            check_unchanged(path, planned, read=read)
        assert caught.value.code == "written_after_claim"


def test_bytes_that_no_time_betrays_are_found_by_reading(path: Path, planned: ClaimedFile) -> None:
    """Where size and times are the planned ones, the hash of all bytes still finds another content."""
    rewrite(path)
    facts = msgspec.structs.replace(describe_claimed(path), blake3=planned.blake3)
    check_unchanged(path, facts, read=False)
    with pytest.raises(FileRefusedError):
        check_unchanged(path, facts, read=True)


def test_the_same_content_is_accepted(path: Path, planned: ClaimedFile) -> None:
    """A file whose owner, mode or times were changed, but no byte, is still the planned one."""
    check_unchanged(path, planned, read=True)
    path.chmod(0o600)
    check_unchanged(path, planned, read=False)
    os.utime(path)
    check_unchanged(path, planned, read=False)
    check_unchanged(path, None, read=True)


def test_a_file_that_was_not_read_is_judged_by_its_facts(path: Path) -> None:
    """Without a hash, a new change time is harmless and a new modification time is refused."""
    facts = describe_claimed(path)
    path.chmod(0o600)
    check_unchanged(path, facts, read=True)
    os.utime(path)
    with pytest.raises(FileRefusedError):
        check_unchanged(path, facts, read=True)


def test_moving_a_file_is_no_write(path: Path, planned: ClaimedFile, tmp_path: Path) -> None:
    """A file in the archive has a new change time; all else is compared."""
    archived = path.rename(tmp_path / "archived")
    check_unchanged(archived, planned, read=False, archived=True)
    append(archived)
    with pytest.raises(FileRefusedError):
        check_unchanged(archived, planned, read=False, archived=True)
    archived.unlink()
    with pytest.raises(FileNotFoundError):
        check_unchanged(archived, planned, read=False, archived=True)
