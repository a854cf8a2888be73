"""What a version remembers of its history's files, and of the code that trained it."""

import hashlib
from pathlib import Path

import pytest

from tests.unit.training.runs import MakeRequest
from training.history.history_files import describe_history
from training.records import environment as code_version


def test_every_file_is_hashed(history: Path, make_request: MakeRequest, tmp_path: Path) -> None:
    """Each file of a history is described by name, size, rows and the SHA-256 of all its bytes."""
    lines = history.read_bytes().splitlines(keepends=True)
    other = tmp_path / "more loans.csv"
    other.write_bytes(b"".join(lines[:100]) + b"\n\n")
    found = describe_history(make_request(history, other, shards=3))
    assert [(file.name, file.rows) for file in found] == [(history.name, 4_000), (other.name, 99)]
    for file, path in zip(found, (history, other), strict=True):
        content = path.read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert file.modified.endswith("Z")


def test_an_altered_file_has_no_hash(history: Path, make_request: MakeRequest, tmp_path: Path) -> None:
    """A file that was altered or removed after the run was planned is not described by what it holds now."""
    copy = tmp_path / "copy.csv"
    copy.write_bytes(history.read_bytes())
    request = make_request(copy)
    assert describe_history(request)[0].sha256
    copy.write_bytes(copy.read_bytes().replace(b"RENT", b"OWNS", 1))
    assert describe_history(request)[0].sha256 == ""
    copy.unlink()
    (gone,) = describe_history(request)
    assert (gone.name, gone.rows, gone.bytes, gone.sha256) == ("copy.csv", 4_000, 0, "")


def test_the_code_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version of the product is told, and in a checkout the commit as git says it; elsewhere git is not asked."""
    git = tmp_path / "git"
    git.write_text('#!/bin/sh\necho "0123456789ab, with changes"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert code_version._checkout_commit(tmp_path) == ""
    (tmp_path / ".git").mkdir()
    assert code_version._checkout_commit(tmp_path) == "commit 0123456789ab, with changes"
    git.write_text("#!/bin/sh\nexit 128\n")
    assert code_version._checkout_commit(tmp_path) == ""
    assert code_version.code_version().partition(" ")[0].count(".") == 2


def test_without_git_the_version_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a node without git the version alone is told."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert code_version.code_version().count(".") == 2
    assert "commit" not in code_version.code_version()
