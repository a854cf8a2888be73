"""A retrain that is disturbed in its middle ends with the same winner, and nothing that was finished is done again."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dag_specs.events import EventKind, EventLog
from dag_specs.scheduler import connect
from local_pool.pool_paths import PoolPaths
from local_pool.status import PoolStatus, find_processes
from scoring.models.registry import MODEL, read_manifest
from tests.integration.site_fixtures import LOANS, PATIENCE
from training.history.generate import generate_loans
from training.records.outcome import DONE, Outcome, read_outcome
from training.records.run_folder import RunFolder

HELD_UP = "fit-tree-2-1"
"""The fit that waits until the test says go, so that the run is in its middle."""

SEARCH = """\
candidates = ["logistic", "tree"]
folds = 2
grid = {tree = {min_samples_leaf = [25, 60]}}
max_running = 2
"""

# It writes down its own number, then waits for a word; what it becomes afterwards has the same number.
PYTHON = """#!/bin/sh
case " $* " in
*" --node {node} "*)
    echo $$ > "{gate}/began.tmp"; mv "{gate}/began.tmp" "{gate}/began"
    while [ ! -e "{gate}/go" ]; do sleep 0.05; done;;
esac
exec "{python}" "$@"
"""


@dataclass
class Search:
    """A site whose retrain stops in its middle until it is let go."""

    folder: Path
    """Of everything."""
    pool: PoolStatus
    """What runs it."""
    command: "subprocess.Popen[str] | None" = None
    """The retrain that was started last."""
    seen: dict[str, Outcome[Any]] = field(default_factory=dict)
    """What was finished when the run was disturbed."""

    @property
    def site(self) -> Path:
        """The site file."""
        return self.folder / "loans.toml"

    @property
    def run(self) -> RunFolder:
        """The one run of the site."""
        (folder,) = (self.folder / "root" / "training").iterdir()
        return RunFolder(folder)

    def start(self, *words: str, **streams: Any) -> "subprocess.Popen[str]":
        """Start `loans retrain WORDS...`."""
        environment = {name: value for name, value in os.environ.items() if name != "CONDOR_CONFIG"}
        self.command = subprocess.Popen(
            [str(LOANS), "retrain", *words, "--site", str(self.site)],
            env=environment,
            text=True,
            **({"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams),
        )
        return self.command

    def wait_for_the_middle(self) -> int:
        """Wait until the fit that is held up began and others are finished; give the process of that fit."""
        gate = self.folder / "gate" / "began"
        self.wait(lambda: gate.exists() and len(self.finished()) >= 5, "the middle of the run")
        self.seen = self.finished()
        return int(gate.read_text())

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something happened."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"{what} did not happen: {self.words()}"
            time.sleep(0.05)

    def words(self) -> str:
        """End the command and give what it said."""
        if self.command is None or self.command.stderr is None:
            return ""
        self.command.kill()
        return self.command.stderr.read()

    def finished(self) -> dict[str, Outcome[Any]]:
        """Give the outcomes of nodes that are done."""
        outcomes = [read_outcome(path, Any) for path in sorted(self.run.outcomes.glob("*.json"))]
        return {outcome.node: outcome for outcome in outcomes if outcome.state == DONE}

    def let_go(self) -> None:
        """Let the fit that is held up, and its next attempt, work."""
        (self.folder / "gate" / "go").touch()

    def end(self) -> dict[str, Any]:
        """Wait for the command's end; give the one document that it printed."""
        assert self.command is not None
        out, err = self.command.communicate(timeout=PATIENCE)
        assert self.command.returncode == 0, err
        result: dict[str, Any] = json.loads(out)
        return result

    def winner(self, result: dict[str, Any]) -> str:
        """Give the SHA-256 of the graph of the version in the result, after a look that nothing was trained again."""
        now = self.finished()
        assert {name: outcome.started for name, outcome in self.seen.items()} == {
            name: now[name].started for name in self.seen
        }
        manifest, _ = read_manifest(self.folder / "root" / "models", result["version"])
        return manifest.files[MODEL].sha256

    def submitted(self, attempt: int) -> list[str]:
        """Name the nodes that an attempt submitted, as often as it did."""
        (log,) = (self.folder / "state").rglob(f"*-{attempt}.nodes.log")
        return [event.node for event in EventLog(log).read().events if event.kind is EventKind.SUBMITTED]


@pytest.fixture
def search(pool: PoolStatus) -> Iterator[Search]:
    """Give a site with 3,000 generated loans, whose interpreter holds up one fit; leave nothing of it behind."""
    folder = Path(tempfile.mkdtemp(prefix="loans-test-search-", dir="/var/tmp"))
    search = Search(folder, pool)
    try:
        subprocess.run(
            [LOANS, "init", folder / "root", "--site", search.site, "--state", folder / "state"],
            check=True,
            capture_output=True,
        )
        with (folder / "root" / "history" / "loans.csv").open("wb") as sink:
            generate_loans(3_000, 5, labelled=True, sink=sink)
        (folder / "gate").mkdir(mode=0o777)
        python = folder / "python"
        python.write_text(PYTHON.format(node=HELD_UP, gate=folder / "gate", python=sys.executable))
        python.chmod(0o755)
        text = search.site.read_text()
        for shown, wanted in (
            ('# condor_config = "local"', f"condor_config = {msgspec.json.encode(str(pool.condor_config)).decode()}"),
            ('# python = ""', f'python = "{python}"'),
            ("[training]\n", f"[training]\n{SEARCH}"),
        ):
            assert shown in text
            text = text.replace(shown, wanted)
        search.site.write_text(text)
        yield search
    finally:
        search.let_go()
        if search.command is not None and search.command.poll() is None:
            search.command.terminate()
            search.command.communicate(timeout=PATIENCE)
        shutil.rmtree(folder)


_WINNERS: dict[str, str] = {}


def _same_winner(test: str, sha256: str) -> None:
    """Every run of this file, disturbed or not, publishes the same graph."""
    _WINNERS[test] = sha256
    assert len(set(_WINNERS.values())) == 1, _WINNERS


def test_undisturbed(search: Search) -> None:
    """A run that nobody disturbs tries every set on every fold, and publishes a winner."""
    search.let_go()
    began = time.monotonic()
    search.start("--json")
    result = search.end()
    print(f"undisturbed: {time.monotonic() - began:.1f} s for {len(result['nodes'])} nodes")
    assert len(result["candidates"]["tree"]["validation"]["tried"]) == 2
    assert sorted(search.submitted(1)) == sorted(node["node"] for node in result["nodes"])
    _same_winner("undisturbed", search.winner(result))


def test_killed_schedd(search: Search) -> None:
    """The schedd is killed: it is started again, DAGMan recovers, and the command follows all that to the end."""
    scheduler = connect(str(search.pool.condor_config))
    search.start("--json")
    search.wait_for_the_middle()
    processes = find_processes(PoolPaths(search.pool.home))
    (schedd,) = (process for process, program in processes.items() if program == "condor_schedd")
    schedd.send(signal.SIGKILL)
    search.let_go()
    result = search.end()
    assert not result["resumed"]
    _same_winner("schedd", search.winner(result))
    # A client of the schedd that was killed finds the one that took its place.
    assert scheduler.find_dag(search.run.root.name) is None


def test_killed_command(search: Search) -> None:
    """The command is left by Ctrl-C, then killed -9: the run goes on, and `--resume` follows it instead of another."""
    ours, theirs = pty.openpty()
    search.start(stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    search.wait_for_the_middle()
    assert search.command is not None
    search.command.send_signal(signal.SIGINT)
    told = _read_until(ours, "[leave/stop]")
    assert "min_samples_leaf=60" in told, told
    os.write(ours, b"leave\n")
    told = _read_until(ours, "comes back to it.")
    assert search.run.root.name in told
    assert search.command.wait(PATIENCE) == 0
    os.close(ours)

    search.start("--resume", search.run.root.name, "--json")
    stderr = search.command.stderr
    assert stderr is not None
    assert stderr.readline().startswith("Going on with training run")
    search.command.kill()
    search.command.communicate(timeout=PATIENCE)

    search.start("--resume", "--json")
    search.let_go()
    result = search.end()
    assert result["resumed"]
    _same_winner("command", search.winner(result))
    assert not search.run.dag(2).exists()


def test_killed_training_job(search: Search) -> None:
    """A fit is killed: DAGMan runs it once more, and it alone.

    Then SIGTERM, without a terminal, stops the run; `--resume` submits what is left; then there is nothing to resume.
    """
    search.start("--json")
    os.kill(search.wait_for_the_middle(), signal.SIGKILL)
    (search.folder / "gate" / "began").unlink()
    search.wait_for_the_middle()
    assert search.submitted(1).count(HELD_UP) == 2
    assert len(set(search.submitted(1))) == len(search.submitted(1)) - 1

    assert search.command is not None
    search.command.terminate()
    _, told = search.command.communicate(timeout=PATIENCE)
    assert search.command.returncode == 1
    assert f"`loans retrain --resume {search.run.root.name}` goes on" in told
    search.let_go()
    search.start("--resume", "--json")
    result = search.end()
    _same_winner("job", search.winner(result))
    assert search.run.dag(2).exists()
    assert not set(search.submitted(2)) & set(search.seen)
    assert set(search.submitted(2)) | set(search.seen) == {node["node"] for node in result["nodes"]}

    again = search.start("--resume")
    out, told = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0
    assert "there is nothing to resume" in told
    assert result["version"] in out


def _read_until(terminal: int, words: str) -> str:
    """Read what a command shows on a terminal until some words are among it."""
    told = ""
    deadline = time.monotonic() + PATIENCE
    while words not in told:
        assert time.monotonic() < deadline, told
        told += os.read(terminal, 65_536).decode(errors="replace")
    return told
