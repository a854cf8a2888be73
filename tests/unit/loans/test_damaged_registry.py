"""`loans models` where something in the registry is damaged: told and refused, and whatever is sound goes on."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from inbox_watcher.settings.layout import Layout
from scoring.models.production import PRODUCTION, promote
from scoring.models.registry import MANIFEST, MODEL, VERSIONS, Pin
from tests.unit.inbox_watcher.conftest import publish_copy
from tests.unit.loans.conftest import Loans

OTHER = "20260202-000000-other"


def damage(root: Path, version: str) -> None:
    """Alter a version's model."""
    path = Layout(root).models / VERSIONS / version / MODEL
    path.write_bytes(path.read_bytes() + b"x")


def test_a_pointer_that_does_not_read_hides_no_version(loans: Loans, root: Path, pin: Pin) -> None:
    """The list shows the versions, so that one can be promoted, says what is wrong with the pointer, and fails."""
    (Layout(root).models / PRODUCTION).write_text("garbage")
    shown = loans("models", "list")
    assert shown.code == 1
    assert pin.version in shown.out
    assert "does not tell which model is in production" in shown.reason
    told = loans("models", "list", "--json")
    assert (told.code, told.json["production"]) == (1, None)
    assert list(told.json["broken"]) == [PRODUCTION]
    assert loans("models", "promote", pin.version).code == 0
    assert loans("models", "list").code == 0


def test_a_full_disk_is_told_in_words(loans: Loans, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the storage refuses without a name is a sentence with a way out, not a number."""

    def refuse(_path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert root.exists()
    monkeypatch.setattr("inbox_watcher.settings.site_file.load_site", refuse)
    ran = loans("models", "list")
    assert (ran.code, ran.reason) == (1, "The storage refused a file: No space left on device.")
    assert "not full" in ran.err


def test_a_damaged_version_is_shown_as_such(loans: Loans, root: Path, pin: Pin) -> None:
    """What the manifest says is shown, with the damage first, and the command fails."""
    damage(root, pin.version)
    shown = loans("models", "show", pin.version)
    assert shown.code == 1
    assert shown.reason.startswith(f"Version {pin.version} is damaged, and neither promoted nor scored with: ")
    told = loans("models", "show", pin.version, "--json")
    assert told.code == 1
    (words,) = told.json["damage"]
    assert MODEL in words


def test_a_copied_folder_is_no_version(loans: Loans, root: Path, pin: Pin) -> None:
    """A folder that was copied under another name says whose copy it is, and how to go on."""
    versions = Layout(root).models / VERSIONS
    shutil.copytree(versions / pin.version, versions / "copy")
    ran = loans("models", "promote", "copy")
    assert ran.code == 1
    assert f"copy/{MANIFEST} is that of version {pin.version}: its folder was copied or renamed" in ran.reason
    assert "backup" in ran.err


def test_a_rollback_does_not_point_back_to_where_it_is(loans: Loans, root: Path, pin: Pin) -> None:
    """Where what was before is damaged, the way out is never the version that is in production already."""
    models = Layout(root).models
    other = publish_copy(models, pin, OTHER)
    for one in (other, pin):
        promote(models, one, by="test", why="test")
    damage(root, OTHER)
    ran = loans("models", "rollback")
    assert ran.code == 1
    assert f"There is no going back to {OTHER}" in ran.reason
    assert "No older version that was in production is sound" in ran.err
