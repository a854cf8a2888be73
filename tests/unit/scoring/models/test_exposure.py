"""Who besides its owner may change the registry."""

import os
from pathlib import Path

import pytest

from scoring.models.exposure import Exposure, find_exposure
from scoring.models.production import PRODUCTION
from scoring.models.registry import MODEL, VERSIONS
from tests.unit.scoring.linear_model import VERSION, publish_linear

OTHERS = 64_100 if os.geteuid() == 0 else os.getgroups()[-1]
"""A group of more than one; an ordinary account's last group counts as such where it has not the account's name."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Make a registry that a group may enter and read, with a model in production."""
    models = tmp_path / "models"
    publish_linear(models)
    for folder, _, files in os.walk(models):
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            os.chown(path, -1, OTHERS)
            path.chmod(0o750 if path.is_dir() else 0o640)
    return models


def test_what_others_may_read_only_is_not_exposed(models: Path) -> None:
    """A registry that a group reads and its owner alone writes is whole."""
    assert find_exposure(models) == Exposure()


@pytest.mark.parametrize("name", [".", VERSIONS, PRODUCTION, f"{VERSIONS}/{VERSION}", f"{VERSIONS}/{VERSION}/{MODEL}"])
def test_what_others_may_write_is_named(models: Path, name: str) -> None:
    """What a group may change is a note that names group and path; what anybody may change is damage."""
    path = models / name
    path.chmod(path.stat().st_mode | 0o020)
    (note,) = find_exposure(models).notes
    assert str(path) in note
    assert find_exposure(models).damage == ()
    path.chmod(path.stat().st_mode | 0o002)
    (damage,) = find_exposure(models).damage
    assert str(path) in damage


def test_below_a_closed_folder_nothing_is_exposed(models: Path) -> None:
    """Whatever stands in a registry that only its owner can enter, nobody else reaches it."""
    (models / PRODUCTION).chmod(0o666)
    assert find_exposure(models).damage
    models.chmod(0o700)
    assert find_exposure(models) == Exposure()
