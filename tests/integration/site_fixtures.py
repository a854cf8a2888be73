"""A site on the test's pool with the trained model in production, and its daemon as the process that systemd runs."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.batch import FINAL, Batch
from inbox_watcher.explain.status import read_batches
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site, load_site
from local_pool.status import PoolStatus
from tests.integration.trained import TrainedSite

LOANS = Path(sys.executable).with_name("loans")
"""The installed command."""

PATIENCE = 90.0
"""Longest wait for anything (seconds): far more than it takes, so that a busy machine fails nothing."""


@dataclass(frozen=True)
class LiveSite:
    """A shared tree of its own."""

    file: Path
    """The site file."""
    site: Site
    """What it says."""

    @property
    def layout(self) -> Layout:
        """The shared tree."""
        return Layout(Path(self.site.root))

    def drop(self, name: str, content: bytes) -> float:
        """Drop a file into the inbox by one rename; tell the moment (monotonic, seconds)."""
        unfinished = self.layout.inbox / ".unfinished"
        unfinished.write_bytes(content)
        unfinished.rename(self.layout.inbox / name)
        return time.monotonic()

    def batches(self) -> list[Batch]:
        """Give every batch, oldest first, as `loans status` sees them."""
        return sorted(read_batches(self.site, 1000), key=lambda batch: batch.id)

    def batch_of(self, name: str) -> Batch | None:
        """Give the newest batch of a file's name."""
        return next((batch for batch in reversed(self.batches()) if batch.name == os.fsencode(name)), None)

    def is_finished(self, name: str) -> bool:
        """Tell whether the batch of a file came to its end."""
        batch = self.batch_of(name)
        return batch is not None and batch.state in FINAL


class Daemon:
    """`loans watch` as a process."""

    def __init__(self, live: LiveSite) -> None:
        """Start it; what it says goes to a file beside the site file."""
        self.live = live
        self.log = live.file.with_name("watch.log")
        environment = {name: value for name, value in os.environ.items() if name != "CONDOR_CONFIG"}
        with self.log.open("ab") as log:
            command = [str(LOANS), "watch", "--site", str(live.file)]
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something happened, while the daemon lives."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen; the daemon said:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    def wait_for(self, name: str, content: bytes) -> Batch:
        """Drop a file and wait until its batch came to its end; print how long that took."""
        dropped = self.live.drop(name, content)
        self.wait(lambda: self.live.is_finished(name), f"the end of {name}")
        batch = self.live.batch_of(name)
        assert batch is not None
        print(f"{name}: {batch.rows} rows, {batch.chunks} jobs, {batch.state} after {time.monotonic() - dropped:.1f} s")
        return batch

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal, wait for the end, and tell how long it took (seconds)."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return time.monotonic() - begun


@contextmanager
def running(live: LiveSite) -> Iterator[Daemon]:
    """Run a site's daemon; it never outlives the block."""
    daemon = Daemon(live)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.end()
        assert daemon.process.poll() is not None


REMOVE = """
import sys, time, htcondor2
logs, deadline = sys.argv[1], time.monotonic() + float(sys.argv[2])
of_site = f'substr(UserLog, 0, {len(logs)}) == "{logs}"'
schedd = htcondor2.Schedd()
schedd.act(htcondor2.JobAction.Remove, of_site, reason="The test's site goes.")
while schedd.query(of_site, ["ClusterId"]):
    assert time.monotonic() < deadline, "jobs of the test's site do not leave the queue"
    time.sleep(0.05)
"""
"""Bindings are bound to one pool in a process, so this runs in one of its own."""


def _remove_jobs(pool: PoolStatus, folder: Path) -> None:
    """Remove what a test left in the queue and wait until no job of the site writes into its folder any more."""
    environment = os.environ | {"CONDOR_CONFIG": str(pool.condor_config)}
    command = [sys.executable, "-c", REMOVE, f"{folder}/", str(PATIENCE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def made_site(pool: PoolStatus, trained: TrainedSite | Path, chunk_bytes: int) -> Iterator[LiveSite]:
    """Make a site with `loans init`, with a copy of a trained or other registry, and leave nothing of it behind."""
    models = trained if isinstance(trained, Path) else trained.models
    folder = Path(tempfile.mkdtemp(prefix="loans-test-site-", dir="/var/tmp"))
    try:
        file, root = folder / "loans.toml", folder / "shared storage é"
        subprocess.run(
            [LOANS, "init", root, "--site", file, "--state", folder / "state"], check=True, capture_output=True
        )
        quoted = msgspec.json.encode(str(pool.condor_config)).decode()
        text = file.read_text()
        for shown, wanted in (
            ('# condor_config = "local"', f"condor_config = {quoted}"),
            ("# chunk_bytes = 0", f"chunk_bytes = {chunk_bytes}"),
            ("# settle_seconds = 1.0", "settle_seconds = 0.2"),
        ):
            assert shown in text
            text = text.replace(shown, wanted)
        file.write_text(text)
        shutil.copytree(models, root / "models", dirs_exist_ok=True)
        yield LiveSite(file, load_site(file))
    finally:
        _remove_jobs(pool, folder)
        shutil.rmtree(folder)


def without_label(history: Path, rows: int) -> bytes:
    """Give the first loans of a labelled file as a lender sends them: without the label, the last column."""
    lines = history.read_bytes().splitlines()[: rows + 1]
    assert len(lines) == rows + 1
    assert lines[0].endswith(b",loan_status")
    return b"".join(line.rpartition(b",")[0] + b"\n" for line in lines)


def compressed(content: bytes) -> bytes:
    """Compress as gzip does."""
    return gzip.compress(content)


@pytest.fixture(scope="module")
def live(pool: PoolStatus, trained: TrainedSite) -> Iterator[LiveSite]:
    """Give a site whose chunks are small enough that 10,000 loans are at least four."""
    with made_site(pool, trained, 140_000) as site:
        yield site


@pytest.fixture(scope="module")
def daemon(live: LiveSite) -> Iterator[Daemon]:
    """Run that site's daemon for all tests of a file."""
    with running(live) as started:
        yield started
