"""`loans` as a whole: help, exit codes, words on stderr, and options before or after the command."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli import app as console
from cli.app import app
from dag_specs.errors import SchedulerError
from local_pool.errors import PoolError
from scoring.errors import LoansError
from scoring.registry import Pin
from tests.unit.cli.conftest import Loans

PROGRAM = Path(sys.executable).with_name("loans")


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give every command with the words that lead to it."""
    yield words, command
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from walk(below, (*words, name))


COMMANDS = dict(walk(typer.main.get_command(app)))
LEAVES = {words: command for words, command in COMMANDS.items() if not hasattr(command, "commands")}
DESIGN = {
    ("init",),
    ("pool", "up"),
    ("pool", "down"),
    ("pool", "status"),
    ("generate",),
    ("retrain",),
    ("models", "list"),
    ("models", "show"),
    ("models", "promote"),
    ("models", "rollback"),
    ("models", "log"),
    ("models", "verify"),
    ("watch",),
    ("score",),
    ("status",),
    ("contract", "infer"),
}
"""The commands that the product has to have by now."""
PLANNED = {("why",), ("verify",), ("replay",), ("doctor",)}
"""Those that come with later features: they work or are absent."""


def test_the_commands_are_those_of_the_design() -> None:
    """Every command that was promised by now is there, and none that nobody knows of."""
    assert set(LEAVES) >= DESIGN
    assert set(LEAVES) <= DESIGN | PLANNED


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_reads_well(loans: Loans, words: tuple[str, ...]) -> None:
    """`--help` of every command exits with 0, says in a sentence what the command does and what each option means."""
    ran = loans(*words, "--help")
    assert ran.code == 0
    assert ran.err == ""
    assert "Usage: loans" in ran.out
    command = COMMANDS[words]
    sentence = inspect.cleandoc(command.help or "").splitlines()[0]
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    for parameter in command.params:
        assert parameter.help, f"`loans {' '.join(words)}` does not explain {parameter.name}"
        assert parameter.help[0].isupper() or ":" in parameter.help
    for word in sentence.split():
        assert word in ran.out


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_takes_a_site_and_answers_programs(words: tuple[str, ...]) -> None:
    """Commands that work on a site take `--site`, and all that give an answer give it as JSON where asked to."""
    options = {option for parameter in LEAVES[words].params for option in parameter.opts}
    if words != ("generate",):
        assert "--site" in options
    if words not in {("generate",), ("watch",)}:
        assert "--json" in options


def test_without_a_command_the_help_is_shown(loans: Loans) -> None:
    """`loans` alone tells what it can do; that is no success."""
    ran = loans()
    assert ran.code == 2
    assert "Usage: loans" in ran.out + ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--no-such-option"),
        ("no-such-command",),
        ("--no-such-option",),
        ("--site",),
        ("models", "show"),
        ("generate", "many", "-o", "f.csv"),
        ("generate", "-5", "-o", "f.csv"),
        ("generate", "10"),
        ("status", "--count", "-1"),
        ("score", "f.csv", "-o", "o.csv", "--threads", "0"),
        ("retrain", "--promote", "perhaps"),
        ("retrain", "20260102-030405-abcdef"),
        ("retrain", "--resume", "--history", "loans.csv"),
        ("retrain", "--resume", "--promote", "never"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_told(loans: Loans, words: tuple[str, ...]) -> None:
    """What cannot be meant ends with 2 and a word on stderr, and does nothing."""
    before = os.listdir()
    ran = loans(*words)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err
    assert os.listdir() == before


@pytest.mark.parametrize(
    "words", [words for words in LEAVES if words[0] not in {"contract", "generate", "init", "pool"}], ids=" ".join
)
def test_a_missing_site_file_is_told(loans: Loans, words: tuple[str, ...]) -> None:
    """Without a site file a command ends with 1; the first line on stderr says why, the next the way out."""
    arguments = (
        ["x.csv", "-o", "y.csv"] if words == ("score",) else ["x" for one in LEAVES[words].params if one.required]
    )
    ran = loans(*words, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.reason == "There is no site file at loans.toml."
    assert "loans init ROOT" in ran.err.splitlines()[1]


def test_a_pool_that_is_not_there_is_not_up(loans: Loans, tmp_path: Path) -> None:
    """Where no pool was ever started its status says so with exit code 1, and stopping it is no error."""
    home = tmp_path / "no pool"
    assert loans("pool", "status", "--home", home).code == 1
    ran = loans("pool", "status", "--home", home, "--json")
    assert (ran.code, ran.json["running"]) == (1, False)
    assert loans("pool", "down", "--home", home).code == 0


def test_a_site_file_may_be_named_anywhere(loans: Loans, tmp_path: Path) -> None:
    """`--site` before or after the command, `--site=FILE` and $LOANS_SITE name the same file; the option wins."""
    site = tmp_path / "it's a site.toml"
    assert loans("--site", site, "init", tmp_path / "shared").code == 0
    assert site.exists()
    for words in (
        ("models", "list", "--json", "--site", site),
        ("--site", site, "--json", "models", "list"),
        ("--json", f"--site={site}", "models", "list"),
        ("--site", site, "models", "list", "--json"),
    ):
        assert loans(*words).json["versions"] == []
    os.environ["LOANS_SITE"] = str(site)
    assert loans("models", "list", "--json").json["versions"] == []
    assert loans("models", "list", "--site", tmp_path / "other.toml").code == 1
    assert loans("--site", site, "status", "--json").json == []


def test_errors_that_people_cause_become_words(loans: Loans, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of error that a person can cause becomes lines on stderr and exit code 1; a defect is not hidden."""
    errors: list[tuple[Exception, str]] = [
        (LoansError("The file is bad.", "Mend it."), "The file is bad.\nMend it.\n"),
        (LoansError("No way [out]."), "No way [out].\n"),
        (SchedulerError("No pool.", "Start one."), "No pool.\nStart one.\n"),
        (PoolError("The pool is ill."), "The pool is ill.\n"),
        (PermissionError(13, "Permission denied", "/shared/inbox"), "Permission denied: /shared/inbox\n"),
        (OSError("odd"), "odd\n"),
    ]
    for error, words in errors:

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(console, "app", fail)
        ran = loans("status")
        assert (ran.code, ran.out, ran.err) == (1, "", words)

    def defect(*_: object, **__: object) -> None:
        raise KeyError("no such key")

    monkeypatch.setattr(console, "app", defect)
    with pytest.raises(KeyError):
        loans("status")


def test_the_program_itself_ends_in_words(tmp_path: Path) -> None:
    """The installed command: exit codes 0, 1 and 2, results on stdout, reasons on stderr, never a traceback."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    helped, missing, wrong = run("--help"), run("status"), run("status", "--no-such-option")
    assert (helped.returncode, missing.returncode, wrong.returncode) == (0, 1, 2)
    assert (helped.stderr, missing.stdout, wrong.stdout) == ("", "", "")
    assert missing.stderr.splitlines()[0] == "There is no site file at loans.toml."
    assert "Traceback" not in helped.stdout + missing.stderr + wrong.stderr


@pytest.mark.parametrize("words", [("models", "list"), ("status",), ("models", "show", "{version}")], ids=" ".join)
def test_a_reader_that_leaves_early_is_no_trouble(root: Path, pin: Pin, words: tuple[str, ...]) -> None:
    """`loans ... | head -1` ends without a traceback."""
    filled = [word.format(version=pin.version) for word in words]
    assert (root / "inbox").is_dir()
    with subprocess.Popen([PROGRAM, *filled], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert "Traceback" not in program.stderr.read()
