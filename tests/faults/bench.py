"""A site for tests of faults: files that are dropped, daemon and jobs as processes, and the account at the end."""

import contextlib
import csv
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from inbox_watcher.batch.batch import FINAL, Batch
from inbox_watcher.batch.journal import Journal
from inbox_watcher.explain.audit import find_finished, planned_content
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import Inbox, Scoring, Site
from scoring.csv.rejects import COLUMNS
from scoring.failpoints import VARIABLE
from scoring.results.verify import verify_result
from tests.faults.queue_on_disk import armed_file, bury
from tests.unit.inbox_watcher.conftest import loans
from tests.unit.scoring.linear_model import publish_linear

PATIENCE = 60.0
"""Longest wait for anything (seconds)."""

REPOSITORY = Path(__file__).parents[2]


def deliveries() -> dict[str, bytes]:
    """Give the files of one scenario by name: what ends well, what is refused, and what is refused after scoring."""
    lines = loans(90, seed=2).splitlines(keepends=True)
    broken = [line if number % 30 else b"broken\n" for number, line in enumerate(lines, start=1)]
    return {
        "Mai crédits.csv": loans(90, seed=1),
        "with rejects.csv": b"".join([*broken, b"last,broken\n"]),
        "packed.csv.gz": gzip.compress(loans(60, seed=3), mtime=0),
        "refused.csv": b"id,person_age\n1,30\n",
        "too many rejects.csv": lines[0] + b"broken\n" * 40,
        "old.rejects.csv": mended_rejects(loans(30, seed=4)),
    }


def mended_rejects(content: bytes) -> bytes:
    """Give loans as the rejects file of `old.csv` that somebody has mended."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, line in enumerate(content.decode().splitlines()[1:], start=1):
        writer.writerow([number, number + 1, "", "mended", "", line])
    return sink.getvalue().encode()


class JobRunner:
    """The process that runs jobs; it may be ended by failpoints, and is started again as often as needed."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None, *options: str) -> None:
        """Start it, with an empty queue in `folder`; each job gets the program's `options`."""
        self.queue = folder / "queue.sqlite"
        self.log = folder / "runner.log"
        self.kills = 0
        self._options = options
        self._environment = {**os.environ, VARIABLE: "", **(environment or {})}
        self.arm([])
        self._start()

    def arm(self, orders: list[str]) -> None:
        """Give the failpoints of this runner's next lives, one after the other; then they are off."""
        self.orders = orders
        written = armed_file(self.queue).with_suffix(".new")
        written.write_text(orders[0] if orders else "")
        written.rename(armed_file(self.queue))

    def tend(self) -> None:
        """Start it again when it was ended, as HTCondor tells: the job ended by a signal."""
        code = self._process.poll()
        if code is None:
            return
        assert code == -signal.SIGKILL, f"the runner ended with {code}:\n{self.log.read_text()[-3000:]}"
        self.kills += 1
        self.arm(self.orders[1:])
        bury(self.queue, signal.SIGKILL)
        self._start()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.faults.queue_on_disk", str(self.queue), *self._options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self._environment, stderr=log, stdin=subprocess.DEVNULL
            )


class Bench:
    """One site, its daemon, and what was dropped."""

    def __init__(self, folder: Path, runner: JobRunner, old_receipt: bytes = b"") -> None:
        """Make a site in `folder` with a model in production and, in the outbox, the receipt of `old.csv`."""
        self.folder, self.runner = folder, runner
        self.site = Site(
            root=str(folder / "shared é"),
            state=str(folder / "state"),
            inbox=Inbox(settle_seconds=0.05, rescan_seconds=0.2),
            scoring=Scoring(chunk_bytes=2000),
        )
        self.layout, self.state = Layout(Path(self.site.root)), StateLayout(Path(self.site.state))
        for path in self.layout.folders:
            path.mkdir(parents=True)
        self.state.root.mkdir()
        publish_linear(self.layout.models)
        if old_receipt:
            (self.layout.outbox / "old.receipt.json").write_bytes(old_receipt)
        self.file = folder / "site.json"
        self.allow_attempts(self.site.scoring.attempts)
        self.log = folder / "daemon.log"
        self.dropped: dict[str, bytes] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def allow_attempts(self, attempts: int) -> None:
        """Say in the site file how often a chunk is tried; a daemon that starts reads it."""
        scoring = msgspec.structs.replace(self.site.scoring, attempts=attempts)
        self.file.write_bytes(msgspec.json.encode(msgspec.structs.replace(self.site, scoring=scoring)))

    def start(self, orders: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        """Start the daemon, with failpoints or as in normal runs."""
        variables = {**os.environ, **(environment or {})}
        if orders is not None:
            variables[VARIABLE] = orders
        command = [sys.executable, "-m", "tests.faults.daemon_process", str(self.file), str(self.runner.queue)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=variables, stderr=log, stdin=subprocess.DEVNULL
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End the daemon; tell how long that took (seconds)."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return time.monotonic() - begun

    def died(self) -> bool:
        """Tell whether the daemon was killed. It never ends in another way by itself."""
        assert self.process is not None
        code = self.process.poll()
        assert code in (None, -signal.SIGKILL), f"the daemon ended with {code}:\n{self.log.read_text()[-3000:]}"
        return code is not None

    def drop(self, files: Mapping[str, bytes]) -> None:
        """Drop files, each by one rename."""
        for name, content in files.items():
            unfinished = self.layout.inbox / ".unfinished"
            unfinished.write_bytes(content)
            unfinished.rename(self.layout.inbox / name)
        self.dropped.update(files)

    def batches(self) -> list[Batch]:
        """Give every batch in the journal."""
        if not self.state.journal.exists():
            return []
        journal = Journal(self.state.journal, read_only=True)
        try:
            return journal.latest(10_000)
        finally:
            journal.close()

    def finished(self) -> bool:
        """Tell whether everything that was dropped came to its end."""
        batches = self.batches()
        return len(batches) >= len(self.dropped) and all(batch.state in FINAL for batch in batches)

    def wait(self, happened: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
        """Wait while the runner is tended; tell how long it took (seconds)."""
        begun = time.monotonic()
        while not happened():
            self.runner.tend()
            if time.monotonic() - begun > patience:
                states = {os.fsdecode(batch.name): batch.state.value for batch in self.batches()}
                left = self.leavings()
                raise AssertionError(f"{what} did not happen: {states}\n{left}\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def finish(self) -> None:
        """Wait until everything came to its end and was tidied, and end the daemon."""
        self.wait(lambda: self.died() or self.finished(), "the end of every batch")
        assert not self.died()
        self.wait(lambda: not self.leavings(), "the removal of what was half written", 10)
        self.end()

    def leavings(self) -> list[str]:
        """Name what should not be there once everything is done."""
        root = self.layout.root
        found = [*self.layout.inbox.iterdir(), *root.glob("batches/*/parts"), *root.glob("batches/*/un*.csv")]
        found += [*root.glob("outbox/.*"), *root.glob("failed/.*"), *root.glob("batches/*/.*")]
        found += [*self.state.events.iterdir(), *root.glob("batches/*/input")]
        found += root.glob("batches/group-*")
        return sorted(str(path) for path in found)

    def results(self) -> dict[str, bytes]:
        """Give what people find, by name; receipts by what does not depend on time and batch id."""
        ids = {batch.id.encode() for batch in self.batches()}
        found = {}
        for path in (*self.layout.outbox.iterdir(), *self.layout.failed.iterdir(), *self.layout.archive.rglob("*")):
            if path.is_dir():
                continue
            content = path.read_bytes()
            folder = path.relative_to(self.layout.root).parts[0]
            if path.name.endswith(".receipt.json"):
                receipt = json.loads(content)
                kept = ("name", "input", "rows_in", "scored", "rejected", "predictions", "rejects", "model_sha256")
                content = json.dumps([receipt[name] for name in kept]).encode()
            for batch_id in ids:
                content = content.replace(batch_id, b"BATCH")
            name = f"{folder}/{path.name}"
            assert name not in found, f"{name} is there twice"
            found[name] = content
        return found

    def check(self, wanted: Mapping[str, bytes]) -> None:
        """Check that every file ended once, with the very bytes of an undisturbed run, and that receipts verify."""
        found = self.results()
        assert sorted(found) == sorted(wanted)
        assert [name for name in wanted if found[name] != wanted[name]] == []
        assert self.leavings() == []
        batches = self.batches()
        assert sorted(os.fsdecode(batch.name) for batch in batches) == sorted(self.dropped)
        for batch in batches:
            if batch.state == "done":
                self.verify(batch.id)

    def verify(self, batch_id: str) -> None:
        """Prove a receipt again."""
        finished = find_finished(self.site, batch_id)
        assert finished.receipt_problem == ""
        with planned_content(finished, self.site) as content:
            checks = verify_result(content, finished.receipt, finished.results, self.layout.models)
        assert [check for check in checks if check.problem] == []

    def close(self) -> None:
        """Leave no process behind, and no file."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)


@contextmanager
def made_bench(folder: Path, runner: JobRunner, old_receipt: bytes = b"") -> Iterator[Bench]:
    """Make a site that does not outlive the block."""
    with contextlib.closing(Bench(folder, runner, old_receipt)) as bench:
        yield bench


@contextmanager
def made_runner(folder: Path, environment: Mapping[str, str] | None = None, *options: str) -> Iterator[JobRunner]:
    """Run jobs while the block lasts, each with the program's `options`."""
    runner = JobRunner(folder, environment, *options)
    try:
        yield runner
    finally:
        runner.kill()
