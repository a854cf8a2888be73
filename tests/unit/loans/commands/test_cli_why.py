"""`loans why`: sentences for people, the same as JSON for programs, whatever does not answer."""

import sys
import time
from pathlib import Path

import pytest

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import load_site
from loans.terminal import pool_look
from scoring.models.registry import Pin
from tests.unit.loans.conftest import Loans

ID = "20261122-150801-000001"


def journal(state: State, **facts: object) -> None:
    """Write a batch into the site's journal."""
    site = load_site(Path("loans.toml"))
    opened = Journal(StateLayout(Path(site.state)).journal)
    opened.record(Batch(ID, b"may [red].csv", state, "then", "2026-05-01T10:00:00Z", "may", **facts))  # type: ignore[arg-type]
    opened.close()


def test_an_ended_batch(loans: Loans, root: Path) -> None:
    """The end of a batch is told by its journal alone, by id or by the file's name."""
    assert root.exists()
    journal(State.FAILED, reason="The column [income] is missing. [missing_columns]\nAdd it.")
    for name in (ID, "may [red].csv"):
        ran = loans("why", name)
        assert ran.code == 0
        assert ran.out.splitlines() == [
            "Failed at 2026-05-01T10:00:00Z: The column [income] is missing. [missing_columns].",
            "  Add it.",
        ]
    told = loans("why", ID, "--json").json
    assert (told["batch"], told["state"]) == (ID, "failed")
    assert told["sentences"][0]["kind"] == "end"
    assert told["sentences"][0]["way_out"] == "Add it."


def test_a_pool_that_is_not_up(loans: Loans, root: Path, tmp_path: Path) -> None:
    """Where the pool cannot be reached that is said, and what the files tell is told all the same."""
    text = Path("loans.toml").read_text().replace('# home = ""', f'home = "{tmp_path / "no pool"}"')
    Path("loans.toml").write_text(text)
    folder = Layout(root).batch(ID)
    folder.parts.mkdir(parents=True)
    journal(State.RUNNING, chunks=9, attempt=1, clusters=(4,))
    told = loans("why", ID, "--json").json["sentences"]
    words = [sentence["text"] for sentence in told]
    assert "The pool cannot be reached: The pool on this machine is not up." in words
    assert any("The daemon does not run" in text for text in words)
    assert words[-1] == "0 of 9 chunks are done."


def test_a_file_in_the_inbox(loans: Loans, root: Path) -> None:
    """A file without a batch tells what it waits for; a name that is nowhere ends with 1."""
    (Layout(root).inbox / "june.csv").write_bytes(b"x")
    told = loans("why", "june.csv", "--json").json
    assert told["batch"] is None
    assert "The file waits in the inbox: no model is in production." in [said["text"] for said in told["sentences"]]
    ran = loans("why", "july.csv")
    assert (ran.code, ran.out, ran.reason) == (1, "", "There is no batch and no file 'july.csv'.")


def test_with_a_model_the_daemon_is_missed(loans: Loans, root: Path, pin: Pin) -> None:
    """Where all is ready but the daemon, that is the reason."""
    assert pin
    (Layout(root).inbox / "june.csv").write_bytes(b"x")
    assert loans("why", "june.csv").out.splitlines()[0] == "The file waits in the inbox: the daemon does not run."


def test_a_pool_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The pool is asked by a process of its own, which is ended when the time is over."""
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    begun = time.monotonic()
    assert pool_look.look_at_pool(tmp_path / "loans.toml", (1,), 0.3).trouble == "no answer within 0 seconds"
    assert time.monotonic() - begun < 5
    slow.write_text("#!/bin/sh\necho oops\n")
    assert pool_look.look_at_pool(tmp_path / "loans.toml", (1,)).trouble.startswith("it could not be asked")


def test_what_the_daemon_leaves_alone_is_told(loans: Loans, root: Path) -> None:
    """A link, a folder, another ending, a name of a file that is not complete: `why` says what the daemon minds."""
    inbox = Layout(root).inbox
    (inbox / "link.csv").symlink_to("/etc/passwd")
    (inbox / "folder.csv").mkdir()
    for name in ("note.txt", "half.csv.part", ".hidden.csv"):
        (inbox / name).touch()
    for name, reason in (
        ("link.csv", "no plain file"),
        ("folder.csv", "no plain file"),
        ("note.txt", "neither with .csv nor"),
        ("half.csv.part", "not complete yet"),
        (".hidden.csv", "begins with a dot"),
    ):
        (said,) = loans("why", name, "--json").json["sentences"]
        assert said["text"].startswith(f"The daemon leaves {name!r} alone: "), said
        assert reason in said["text"]
        assert "Drop a copy" in said["way_out"]
    for name in ("", "..", "/"):
        assert loans("why", name).reason.startswith("There is no batch and no file")


def test_an_inbox_that_is_gone_is_trouble(loans: Loans, root: Path) -> None:
    """Storage that is not mounted is not told as a file that is not there."""
    Layout(root).inbox.rmdir()
    ran = loans("why", "june.csv", "--json")
    assert ran.json["sentences"][0]["text"] == "The shared storage cannot be read: No such file or directory."
