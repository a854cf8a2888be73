"""A way to run commands in this process, and a site that `loans init` made."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inbox_watcher.settings.layout import Layout
from loans.app import main
from scoring.models.registry import Pin
from tests.unit.scoring.linear_model import publish_linear


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    """Its exit code."""
    out: str
    """What it printed as its result."""
    err: str
    """What it told a person."""

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def reason(self) -> str:
        """The first line on stderr."""
        return self.err.splitlines()[0]


Loans = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run where no site file of anybody else is found, on a terminal of a known width; leave nothing changed."""
    before, mask = dict(os.environ), os.umask(0o022)
    monkeypatch.chdir(tmp_path)
    for name, value in {"COLUMNS": "120", "XDG_STATE_HOME": str(tmp_path / "user state")}.items():
        os.environ[name] = value
    os.environ.pop("LOANS_SITE", None)
    yield
    os.umask(mask)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def loans(capsys: pytest.CaptureFixture[str]) -> Loans:
    """Give a function that runs `loans WORDS...`."""

    def run(*words: object) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Ran(code, out, err)

    return run


@pytest.fixture
def root(loans: Loans, tmp_path: Path) -> Path:
    """Make a shared tree whose site file is ./loans.toml."""
    root = tmp_path / "shared"
    assert loans("init", root).code == 0
    return root


@pytest.fixture
def pin(root: Path) -> Pin:
    """Put the hand-made model into production."""
    return publish_linear(Layout(root).models)
