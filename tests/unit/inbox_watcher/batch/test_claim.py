"""Taking files out of the inbox: a rename that is done once however often it is asked for."""

import errno
import os
import re
from pathlib import Path

import pytest

from inbox_watcher.batch.claim import move_once, new_batch_id
from scoring.errors import StorageError


def test_a_file_is_moved_once(tmp_path: Path) -> None:
    """The first call moves, the second finds it moved; both tell that it stands at its target."""
    source, target = tmp_path / "in" / "loans.csv", tmp_path / "batches" / "1" / "input"
    source.parent.mkdir()
    source.write_bytes(b"id\n")
    assert move_once(source, target)
    assert move_once(source, target)
    assert target.read_bytes() == b"id\n"
    assert not source.exists()


def test_a_file_that_was_taken_away_is_told(tmp_path: Path) -> None:
    """A file that stands at neither place was taken back: False, and nothing is made."""
    assert not move_once(tmp_path / "loans.csv", tmp_path / "batch" / "input")
    assert os.listdir(tmp_path) == []


def test_another_file_is_never_replaced(tmp_path: Path) -> None:
    """Where another file stands already, neither of the two is touched."""
    source, target = tmp_path / "loans.csv", tmp_path / "input"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    with pytest.raises(StorageError, match="exists already"):
        move_once(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"new", b"old")


def test_a_dangling_link_at_the_target_counts_as_a_file(tmp_path: Path) -> None:
    """Nothing is renamed onto a symbolic link, wherever it points."""
    source, target = tmp_path / "loans.csv", tmp_path / "input"
    source.write_bytes(b"new")
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError):
        move_once(source, target)


def test_a_file_that_goes_during_the_rename_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is taken back between the look and the rename was taken back, that is all."""
    source = tmp_path / "loans.csv"
    source.write_bytes(b"new")

    def gone(_source: Path, _target: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr(os, "rename", gone)
    assert not move_once(source, tmp_path / "input")


def test_trouble_of_the_storage_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the storage raises reaches the daemon, which tries again later."""
    source = tmp_path / "loans.csv"
    source.write_bytes(b"new")

    def stale(_source: Path, _target: Path) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "rename", stale)
    with pytest.raises(OSError, match="Stale"):
        move_once(source, tmp_path / "input")
    assert source.read_bytes() == b"new"


def test_batch_ids_are_plain_and_differ() -> None:
    """An id is digits, letters and dashes, sorts by time, and no two are alike."""
    ids = [new_batch_id() for _ in range(50)]
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", batch_id) for batch_id in ids)
    assert len(set(ids)) == 50
    assert sorted(ids, key=lambda batch_id: batch_id[:15]) == ids
