"""What breaks in a real pool while a batch runs: each ends with one right publication."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from dag_specs.jobs import JobId
from dag_specs.scheduler import connect
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.explain.audit import find_finished, planned_content
from inbox_watcher.settings.layout import StateLayout
from local_pool.machine import as_ordinary_user
from local_pool.pool_paths import PoolPaths
from local_pool.status import PoolStatus, find_processes
from scoring.results.verify import verify_result
from tests.faults.storage import Storage, build_shim
from tests.integration.site_fixtures import Daemon, LiveSite, made_site, running
from tests.unit.inbox_watcher.conftest import loans
from tests.unit.scoring.linear_model import publish_linear

if TYPE_CHECKING:
    from tests.integration.trained import TrainedSite

ROWS = 2500
CHUNK_BYTES = 12_000


class Faulty:
    """A site on the pool, its daemon, and what comes out when nothing breaks."""

    def __init__(self, pool: PoolStatus, live: LiveSite, daemon: Daemon) -> None:
        """Score the file in peace."""
        self.pool, self.live, self.daemon = pool, live, daemon
        self.content = loans(ROWS)
        batch = daemon.wait_for("calm.csv", self.content)
        assert batch.state is State.DONE
        assert batch.chunks >= 8
        self.wanted = (live.layout.outbox / "calm.predictions.csv").read_bytes()

    def score(self, name: str, fault: Callable[[Batch], object], patience: float = 120) -> Batch:
        """Drop the file, have the fault while its jobs run, and prove that it ends once and right."""
        begun = self.live.drop(name, self.content)

        def in_flight() -> bool:
            batch = self.live.batch_of(name)
            return batch is not None and batch.state is State.RUNNING and 0 < batch.chunks_done <= batch.chunks // 2

        self.daemon.wait(in_flight, "a batch in flight")
        found = self.live.batch_of(name)
        assert found is not None
        fault(found)
        struck = time.monotonic()
        while not self.live.is_finished(name):
            assert self.daemon.process.poll() is None
            assert time.monotonic() - struck < patience, self.daemon.log.read_text()[-3000:]
            time.sleep(0.1)
        batch = self.live.batch_of(name)
        assert batch is not None
        ended = time.monotonic()
        took = f"struck after {struck - begun:.1f} s, {batch.state} {ended - struck:.1f} s later"
        print(f"{name}: {batch.chunks} jobs, {took}; attempts: {batch.attempt}")
        assert batch.state is State.DONE, batch.reason
        stem = name.removesuffix(".csv")
        assert (self.live.layout.outbox / f"{stem}.predictions.csv").read_bytes() == self.wanted
        assert [one.id for one in self.live.batches() if one.name == os.fsencode(name)] == [batch.id]
        finished = find_finished(self.live.site, batch.id)
        with planned_content(finished, self.live.site) as content:
            checks = verify_result(content, finished.receipt, finished.results, self.live.layout.models)
        assert [check for check in checks if check.problem] == []
        return batch

    def kill(self, name: str) -> int:
        """Kill -9 every process of this pool of a name; give their number."""
        struck = [process for process, program in find_processes(PoolPaths(self.pool.home)).items() if program == name]
        for process in struck:
            process.send(signal.SIGKILL)
        return len(struck)

    def tool(self, name: str, *arguments: str) -> None:
        """Run one of HTCondor's own tools on the pool."""
        assert self.pool.bin is not None
        folders = (self.pool.bin, self.pool.bin.parent / "sbin")
        program = next(folder / name for folder in folders if (folder / name).exists())
        environment = {**os.environ, "CONDOR_CONFIG": str(self.pool.condor_config)}
        done = subprocess.run(
            as_ordinary_user([str(program), *arguments]),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def untrained_site(pool: PoolStatus) -> Iterator[LiveSite]:
    """Make a site with a model that needs no training."""
    folder = Path(tempfile.mkdtemp(prefix="loans-test-model-", dir="/var/tmp"))
    try:
        publish_linear(folder)
        trained = cast("TrainedSite", SimpleNamespace(models=folder))
        with made_site(pool, trained, CHUNK_BYTES) as live:
            yield live
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def faulty(pool: PoolStatus) -> Iterator[Faulty]:
    """Make the site once."""
    with untrained_site(pool) as live, running(live) as daemon:
        yield Faulty(pool, live, daemon)


pytestmark = pytest.mark.slow


def test_schedd_is_killed(faulty: Faulty) -> None:
    """The scheduler is killed: it comes back, and the jobs are found again, not submitted again."""
    batch = faulty.score("schedd.csv", lambda _: faulty.kill("condor_schedd"))
    assert batch.attempt == 1


def test_starters_are_killed(faulty: Faulty) -> None:
    """What watches over a job is killed: the job runs again, its part counts once."""
    killed: list[int] = []
    faulty.score("starter.csv", lambda _: killed.append(faulty.kill("condor_starter")))
    assert killed[0] > 0


def test_startd_is_killed(faulty: Faulty) -> None:
    """The machine's daemon is killed with its jobs: they run when it is back."""
    killed: list[int] = []
    faulty.score("startd.csv", lambda _: killed.append(faulty.kill("condor_startd")), 300)
    assert killed == [1]


def test_startd_is_turned_off_and_on(faulty: Faulty) -> None:
    """The only machine leaves the pool and comes back: the batch waits."""

    def off_and_on(_: Batch) -> None:
        faulty.tool("condor_off", "-fast", "-daemon", "startd")
        time.sleep(4)
        faulty.tool("condor_on", "-daemon", "startd")

    faulty.score("off.csv", off_and_on)


def test_jobs_are_vacated(faulty: Faulty) -> None:
    """Jobs are sent away from their machine: they run again, each part counts once."""
    faulty.score("vacated.csv", lambda batch: faulty.tool("condor_vacate_job", "-fast", str(batch.clusters[-1])))


def test_jobs_are_held_by_hand(faulty: Faulty) -> None:
    """An administrator holds the jobs: they are left alone, and when he lets them go the batch goes on."""

    def hold(batch: Batch) -> None:
        scheduler, jobs = connect(str(faulty.pool.condor_config)), [JobId(batch.clusters[-1])]
        scheduler.hold(jobs, "by hand")
        faulty.daemon.wait(lambda: "held by a person and left alone" in faulty.daemon.log.read_text(), "a word on it")
        scheduler.release(jobs, "by hand")

    assert faulty.score("held.csv", hold).attempt == 1


def test_event_log_is_deleted(faulty: Faulty) -> None:
    """The log that tells of the jobs is deleted: queue and parts tell the rest, nothing is submitted again."""

    def delete(batch: Batch) -> None:
        StateLayout(Path(faulty.live.site.state)).event_log(batch.id).unlink()

    assert faulty.score("log.csv", delete).attempt == 1


def test_storage_fails_the_jobs(pool: PoolStatus) -> None:
    """Jobs whose machines cannot use the storage end again and again; no file loses an attempt, alone or in a group."""
    with untrained_site(pool) as live:
        home = live.file.parent
        storage = Storage(build_shim(home), live.layout.root, home / "control")
        variables = " ".join(f"{name}='{value}'" for name, value in storage.environment.items())
        python = home / "python"
        python.write_text(f"#!/bin/sh\n{variables} exec '{live.site.python}' \"$@\" --patience 0.5\n")
        python.chmod(0o755)
        live.file.write_text(live.file.read_text().replace('# python = ""', f'python = "{python}"'))
        files = {"many chunks.csv": loans(500), **{f"small {number}.csv": loans(20, number) for number in range(4)}}

        def setbacks() -> list[int]:
            return [batch.setbacks for batch in live.batches()]

        with running(live) as daemon:
            with storage.trouble("errno", "EIO"):
                for name, content in files.items():
                    live.drop(name, content)
                daemon.wait(lambda: len(setbacks()) == len(files) and min(setbacks()) >= 3, "trouble for every file")
            ended = time.monotonic()
            daemon.wait(lambda: all(map(live.is_finished, files)), "the end of all")
            took = time.monotonic() - ended
            print(
                f"jobs whose storage failed: {setbacks()} attempts, not counted; all done {took:.1f} s after it ended"
            )
            # Not which error it was: what jobs print lies on the storage as well.
            assert "the storage kept jobs from their results" in daemon.log.read_text()
        for name, content in files.items():
            batch = live.batch_of(name)
            assert batch is not None
            assert (batch.state, batch.tries) == (State.DONE, 1), batch.reason
            published = live.layout.result(batch.output, "predictions.csv").read_bytes()
            assert published.count(b"\n") == content.count(b"\n")
    assert took < 60
