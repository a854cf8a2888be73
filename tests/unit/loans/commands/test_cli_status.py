"""`loans status` and `loans score`: what a person and a program see."""

import fcntl
import gzip
import json
import os
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.pinned_models import write_notice
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import load_site
from scoring.models.registry import Pin
from tests.unit.inbox_watcher.conftest import forge_pointer, publish_copy
from tests.unit.loans.conftest import Loans


@pytest.fixture
def journaled(root: Path) -> list[Batch]:
    """Write a few batches into the site's journal, one of a name that is hard to show."""
    assert root.exists()
    journal = Journal(StateLayout(Path(load_site(Path("loans.toml")).state)).journal)
    batches = [
        Batch("20261122-150801-000001", b"old.csv", State.DONE, "then", "then", "old", rows=7, chunks=1, chunks_done=1),
        Batch(
            "20261122-150802-000002", b"[red]\n\xe9.csv", State.FAILED, "then", "then", "x", reason="It [b]broke[/b]."
        ),
        Batch("20261122-150803-000003", b"run.csv", State.RUNNING, "then", "then", "run", chunks=9, chunks_done=4),
    ]
    for batch in batches:
        journal.record(batch)
    journal.close()
    return batches


def test_before_the_first_daemon_there_is_nothing(loans: Loans, root: Path) -> None:
    """A site whose daemon never ran has no batches; that is no error."""
    assert root.exists()
    assert loans("status").code == 0
    assert loans("status", "--json").json == []
    ran = loans("status", "loans.csv")
    assert ran.code == 1
    assert ran.reason == "There is no batch 'loans.csv'."


def test_batches_are_shown_newest_first(loans: Loans, journaled: list[Batch]) -> None:
    """The table has a line for each batch with its progress; markup in a file's name is shown as it stands."""
    ran = loans("status")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines() if line.strip().startswith("2026")]
    assert [line[0] for line in lines] == [batch.id for batch in reversed(journaled)]
    assert "4/9" in lines[0]
    assert "[red]" in ran.out


def test_files_that_wait_for_a_model_are_told(loans: Loans, journaled: list[Batch]) -> None:
    """What the daemon that runs noted stands on stderr; the result on stdout stays what it was."""
    state = StateLayout(Path(load_site(Path("loans.toml")).state))
    write_notice(state.notice, "unexplained_promotion", "2 file(s) wait: ... [unexplained_promotion]")
    assert "file(s) wait" not in loans("status").err
    with state.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = loans("status", "--json")
    assert "2 file(s) wait: ... [unexplained_promotion]" in ran.err
    assert len(ran.json) == len(journaled)


@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_narrow_terminal_shows_ids_and_names(loans: Loans, journaled: list[Batch], columns: str) -> None:
    """On 80 columns, and in a pipe, which has none, a batch's id, state and file can still be read whole."""
    os.environ["COLUMNS"] = columns
    ran = loans("status")
    for batch in journaled:
        (line,) = [line for line in ran.out.splitlines() if batch.id in line]
        assert str(batch.state) in line
    assert "old.csv" in ran.out
    assert "run.csv" in ran.out


def test_a_name_is_shown_on_one_line(loans: Loans, journaled: list[Batch]) -> None:
    """Line ends, escape sequences and bytes that are no text are shown as escapes, and reach no terminal."""
    name = b"\x1b[2Jnew\nline\r\xe9\xe2\x80\xae.csv"
    journal = Journal(StateLayout(Path(load_site(Path("loans.toml")).state)).journal)
    journal.record(msgspec.structs.replace(journaled[0], id="20261122-150804-000004", name=name))
    journal.close()
    (line,) = [line for line in loans("status").out.splitlines() if "150804" in line]
    assert line.split()[1] == r"\x1b[2Jnew\nline\r\xe9\u202e.csv"


@pytest.mark.parametrize("command", ["status", "why", "verify", "replay"])
def test_any_name_may_be_asked_for(loans: Loans, journaled: list[Batch], command: str) -> None:
    """A file whose name is not UTF-8 is found by it; one that nobody dropped is told in words."""
    ran = loans(command, os.fsdecode(journaled[1].name))
    assert ran.code == (0 if command in ("status", "why") else 1)
    assert "Traceback" not in ran.err
    ran = loans(command, os.fsdecode(b"\xff.csv"))
    assert (ran.code, ran.out) == (1, "")
    assert ran.reason.startswith("There is no batch ")


def test_json_is_one_document(loans: Loans, journaled: list[Batch]) -> None:
    """With `--json` stdout is one JSON document with every field, whatever bytes a name has."""
    told = loans("status", "--json").json
    assert [batch["id"] for batch in told] == [batch.id for batch in reversed(journaled)]
    assert told[0] | {"state": "running", "chunks": 9, "chunks_done": 4} == told[0]
    assert told[1]["name"] == "[red]\n\\xe9.csv"
    assert [batch["id"] for batch in loans("status", "--json", "--count", 0).json] == [journaled[2].id]


def test_one_batch_is_found_by_id_or_name(loans: Loans, journaled: list[Batch]) -> None:
    """A batch is named by its id or its file; a failed one tells its reason as it stands."""
    assert loans("status", "old.csv", "--json").json[0]["id"] == journaled[0].id
    ran = loans("status", journaled[1].id)
    assert ran.code == 0
    assert "It [b]broke[/b]." in ran.out


def test_a_file_is_scored_here(loans: Loans, pin: Pin) -> None:
    """`loans score` writes predictions, rejects and a receipt that adds up, by the model in production."""
    loans("generate", 50, "-o", "loans.csv")
    ran = loans("score", "loans.csv", "-o", "out.csv", "--json")
    assert ran.code == 0
    assert (ran.json["rows_in"], ran.json["scored"], ran.json["rejected"]) == (50, 50, 0)
    assert ran.json["model"]["version"] == pin.version
    assert json.loads(Path("out.receipt.json").read_text()) == ran.json
    assert len(Path("out.csv").read_text().splitlines()) == 51
    assert Path("out.rejects.csv").read_text().count("\n") == 1
    told = loans("score", "loans.csv", "-o", "out.csv")
    assert (told.code, told.out) == (0, "")
    assert told.reason == f"50 rows: 50 scored, 0 rejected, by {pin.version}."


def test_a_compressed_file_is_scored_here(loans: Loans, pin: Pin) -> None:
    """What may be dropped into the inbox may be scored here: NAME.csv.gz gives what NAME.csv gives."""
    assert pin
    loans("generate", 50, "-o", "loans.csv")
    Path("packed.csv.gz").write_bytes(gzip.compress(Path("loans.csv").read_bytes()))
    loans("score", "loans.csv", "-o", "plain.csv")
    ran = loans("score", "packed.csv.gz", "-o", "unpacked.csv")
    assert ran.code == 0, ran.err
    assert Path("unpacked.csv").read_bytes() == Path("plain.csv").read_bytes()


def test_a_file_that_cannot_be_scored_is_told(loans: Loans, root: Path, tmp_path: Path) -> None:
    """No model, no file, a bad header, an unknown version: each one sentence, exit code 1, and no predictions."""
    from inbox_watcher.settings.layout import Layout
    from tests.unit.scoring.linear_model import publish_linear

    loans("generate", 5, "-o", "loans.csv")
    ran = loans("score", "loans.csv", "-o", "out.csv")
    assert (ran.code, ran.reason) == (1, "No model is in production.")
    publish_linear(Layout(root).models)
    Path("bad.csv").write_text("id,person_age\n1,30\n")
    os.mkfifo("pipe.csv")  # nobody ever writes to it
    Path(os.fsdecode(b"Kr\xe9dit.csv")).write_bytes(Path("loans.csv").read_bytes())
    for words, reason in (
        (("score", "missing.csv", "-o", "out.csv"), "No such file"),
        (("score", "bad.csv", "-o", "out.csv"), "person_income"),
        (("score", "loans.csv", "-o", "out.csv", "--model", "20990101-000000-none"), "20990101-000000-none"),
        (("score", "loans.csv", "-o", "loans.csv"), "overwritten"),
        (("score", "loans.csv", "-o", "nowhere/out.csv"), "There is no folder"),
        (("score", "loans.csv", "-o", "."), "not replaced"),
        (("score", ".", "-o", "out.csv"), "no plain file"),
        (("score", "pipe.csv", "-o", "out.csv"), "no plain file"),
        (("score", os.fsdecode(b"Kr\xe9dit.csv"), "-o", "out.csv"), "not UTF-8"),
        (("score", "loans.csv", "-o", os.fsdecode(b"\xe9.csv")), "not UTF-8"),
    ):
        ran = loans(*words)
        assert (ran.code, ran.out) == (1, ""), words
        assert reason in ran.reason, words
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".loans", "out"))]


def test_nothing_is_scored_here_with_a_forged_pointer(loans: Loans, root: Path, pin: Pin) -> None:
    """`loans score` refuses a version in production that nobody promoted; one that is named is used."""
    models = Layout(root).models
    forge_pointer(models, publish_copy(models, pin, "20270101-000000-forged"))
    assert loans("generate", "5", "-o", "in.csv").code == 0
    ran = loans("score", "in.csv", "-o", "out.csv")
    assert ran.code == 1
    assert "No logged promotion" in ran.reason
    assert not Path("out.csv").exists()
    assert loans("score", "in.csv", "-o", "out.csv", "--model", pin.version).code == 0
