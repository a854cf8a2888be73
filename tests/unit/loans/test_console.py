"""`loans` as a whole: help, exit codes, words on stderr, and options before or after the command."""

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main

from dag_specs.errors import SchedulerError
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import StateLayout
from inbox_watcher.settings.site_file import load_site
from loans import app as console
from loans.app import app
from local_pool.errors import PoolError
from scoring.errors import LoansError
from scoring.models.registry import Pin
from tests.unit.loans.conftest import Loans

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


def run_program(*words: object, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Run the installed command in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([PROGRAM, *map(str, words)], timeout=60, check=False, **options)


def test_a_long_answer_may_be_left_in_the_middle() -> None:
    """`loans generate ... -o - | head -1` says nothing: nobody waits for the rest."""
    with subprocess.Popen(
        [PROGRAM, "generate", "200000", "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline().startswith(b"id,")
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 1


def test_closed_and_full_outputs_are_no_defects(root: Path) -> None:
    """A closed stdout swallows the answer; a full disk behind it is told in words, on one line."""
    assert root.is_dir()
    for words in (["status"], ["status", "--json"], ["models", "list"]):
        closed = run_program(*words, preexec_fn=lambda: os.close(1), stdout=None)
        assert (closed.returncode, closed.stderr) == (0, b"")
    with Path("/dev/full").open("wb") as full:
        done = run_program("status", "--json", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith(b"The storage refused a file: No space left on device.\n")


def test_any_encoding_of_the_terminal_will_do(loans: Loans, tmp_path: Path) -> None:
    """What the locale's encoding does not have is shown as escapes; a JSON document is UTF-8 whatever it is."""
    assert loans("init", tmp_path / "Crédits").code == 0
    for encoding in ("ascii", "latin-1", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        told = run_program("models", "show", "none", env=environment)
        assert (told.returncode, told.stdout) == (1, b"")
        assert b"Traceback" not in told.stderr
        done = run_program("init", tmp_path / "Été", "--site", f"{encoding}.toml", "--json", env=environment)
        assert done.returncode == 0, done.stderr
        assert msgspec.json.decode(done.stdout)["root"] == str(tmp_path / "Été")


def test_any_locale_will_do(loans: Loans, tmp_path: Path) -> None:
    """Paths are UTF-8 also for a person whose locale is not."""
    assert loans("init", tmp_path / "Crédits").code == 0
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run_program("models", "list", "--json", env=environment)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_tree_that_is_not_there_is_told(loans: Loans, root: Path) -> None:
    """Storage that is not mounted is not taken for a registry without models."""
    root.rename(root.with_name("elsewhere"))
    for words in (("models", "list"), ("score", "x.csv", "-o", "y.csv"), ("verify", "x"), ("replay", "x")):
        ran = loans(*words)
        assert (ran.code, ran.reason) == (1, f"There is no shared tree at {root}.")


def test_what_is_watched_can_be_piped(root: Path) -> None:
    """`loans status --watch | ...` gives a table at once, another at each change, and ends quietly on Ctrl-C."""
    journal = Journal(StateLayout(Path(load_site(Path("loans.toml")).state)).journal)
    journal.record(Batch("20261122-150801-000001", b"a.csv", State.RUNNING, "then", "then", "a"))
    assert root.is_dir()
    with subprocess.Popen([PROGRAM, "status", "--watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        for state in (State.RUNNING, State.MERGING):
            while b"20261122" not in (line := program.stdout.readline()):
                assert line
            assert str(state).encode() in line
            journal.record(Batch("20261122-150801-000001", b"a.csv", State.MERGING, "then", "then", "a"))
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == b""
    assert program.returncode == 0
    journal.close()


def test_the_version_is_printed() -> None:
    """`loans --version` prints the version of the installed distribution."""
    ended = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == f"{version('condor-loan-scoring')}\n"


def test_a_shell_completes_commands() -> None:
    """A shell that asks for completions of `loans mod` is told `models`."""
    asked = {"_LOANS_COMPLETE": "complete_bash", "COMP_WORDS": "loans mod", "COMP_CWORD": "1"}
    ended = subprocess.run(
        [PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.split() == ["models"]


def test_the_package_is_the_api() -> None:
    """`import loans` gives `open_site`, and nothing that the API does not have."""
    import loans
    from loans import api

    assert loans.open_site is api.open_site
    assert loans.Session is api.Session
    with pytest.raises(AttributeError):
        _ = loans.nothing
