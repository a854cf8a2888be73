"""Small files on a real pool: many share a job, one alone is quick, and no huge batch keeps a small one waiting."""

import io
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dag_specs.scheduler import connect
from inbox_watcher.batch.batch import FINAL, State
from local_pool.pool import bring_up, take_down
from local_pool.status import PoolStatus
from tests.integration.many_files import check_published_once, make_files, read_all, score_many
from tests.integration.site_fixtures import Daemon, LiveSite, made_site, running
from tests.integration.trained import TrainedSite
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here
from training.history.generate import generate_loans

FILES = 300
TRIES = 10


def make_loans(rows: int) -> bytes:
    """Make a CSV of generated loans."""
    sink = io.BytesIO()
    generate_loans(rows, 1, labelled=False, sink=sink)
    return sink.getvalue()


def measure_latency(live: LiveSite, daemon: Daemon, tries: int) -> list[float]:
    """Drop files of 1,000 rows, one when the one before has ended; give the seconds from drop to publication."""
    content = make_loans(1000)
    taken = []
    for number in range(tries):
        predictions = live.layout.result(f"quick {number}", "predictions.csv")
        dropped = live.drop(f"quick {number}.csv", content)
        daemon.wait(predictions.exists, f"the publication of {predictions.name}")
        taken.append(time.monotonic() - dropped)
        daemon.wait(lambda name=f"quick {number}.csv": live.is_finished(name), "the end of the batch")  # type: ignore[misc]
    return taken


@pytest.fixture(scope="module")
def live(pool: PoolStatus, trained: TrainedSite) -> Iterator[LiveSite]:
    """Give a site that cuts large files into chunks of 6 kB."""
    with made_site(pool, trained, 6_000) as site:
        yield site


def test_small_files_share_jobs(pool: PoolStatus, trained: TrainedSite) -> None:
    """300 files of 20 rows, three of them poison, are published once each, from far fewer jobs than files."""
    with made_site(pool, trained, 0) as live, running(live) as daemon:
        daemon.wait(lambda: "watching" in daemon.log.read_text(), "the start")
        figures = score_many(live, daemon, FILES, 2.0, 60)
        print(figures)
        check_published_once(live, FILES)
    assert figures.states == {State.DONE: FILES - 3, State.FAILED: 3}
    assert figures.groups < FILES / 5


def test_a_daemon_that_is_killed_in_a_flood_loses_nothing(pool: PoolStatus, trained: TrainedSite) -> None:
    """Killed while some of 200 files are claimed, some grouped, some with HTCondor, all are published once."""
    with made_site(pool, trained, 0) as live:
        for first in (0, 100):
            with running(live) as daemon:
                daemon.wait(lambda: "watching" in daemon.log.read_text(), "the start")
                for name, content in list(make_files(200))[first : first + 100]:
                    live.drop(name, content)
                daemon.wait(lambda: any(batch.group for batch in read_all(live, 200)), "a group")
                daemon.end(signal.SIGKILL)
        with running(live) as daemon:
            daemon.wait(lambda: not any(live.layout.inbox.iterdir()), "the claims")
            daemon.wait(lambda: all(batch.state in FINAL for batch in read_all(live, 200)), "the end of all")
            check_published_once(live, 200)


def test_a_file_of_a_thousand_rows_is_quick(pool: PoolStatus, trained: TrainedSite) -> None:
    """On an idle pool, half of the files are published within two seconds of their drop."""
    with made_site(pool, trained, 0) as live, running(live) as daemon:
        daemon.wait(lambda: "watching" in daemon.log.read_text(), "the start")
        taken = measure_latency(live, daemon, TRIES)
        print(f"drop to publication: median {statistics.median(taken):.2f} s, longest {max(taken):.2f} s")
    assert statistics.median(taken) <= 2


# Bindings are bound to one pool in a process.
ASK = """
import htcondor2
negotiator = htcondor2.Collector().locate(htcondor2.DaemonType.Negotiator)
print(htcondor2.RemoteParam(negotiator)["NEGOTIATOR_INTERVAL"])
"""


@pytest.fixture(scope="module")
def unhurried_pool() -> Iterator[PoolStatus]:
    """Bring up a further pool whose negotiator works at HTCondor's own pace: each minute, 20 s apart at least."""
    home = Path(tempfile.mkdtemp(prefix="loans-test-pool-", dir="/var/tmp"))
    try:
        status = bring_up(home, slots=2)
        with status.condor_config.open("a") as file:
            file.write("\nNEGOTIATOR_INTERVAL = 60\nNEGOTIATOR_CYCLE_DELAY = 20\nNEGOTIATOR_MIN_INTERVAL = 5\n")
        for daemon in status.daemons:
            if daemon.name == "condor_negotiator":
                os.kill(daemon.pid, signal.SIGHUP)  # it reads its configuration again
        environment = os.environ | {"CONDOR_CONFIG": str(status.condor_config)}
        for _ in range(20):
            asked = subprocess.run(
                [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False
            )
            if asked.stdout.strip() == "60":
                break
        assert asked.stdout.strip() == "60", asked.stderr
        yield status
    finally:
        take_down(home)
        shutil.rmtree(home, ignore_errors=True)


def test_claims_are_kept_between_files(unhurried_pool: PoolStatus, trained: TrainedSite) -> None:
    """Where negotiation takes a minute, files after the first are published within three seconds: slots stay ours."""
    with made_site(unhurried_pool, trained, 0) as live, running(live) as daemon:
        daemon.wait(lambda: "watching" in daemon.log.read_text(), "the start")
        first, *taken = measure_latency(live, daemon, TRIES)
        print(
            f"NEGOTIATOR_INTERVAL 60: first {first:.2f} s, then median {statistics.median(taken):.2f} s, "
            f"longest {max(taken):.2f} s"
        )
    assert statistics.median(taken) <= 3


def test_a_huge_batch_starves_no_small_file(pool: PoolStatus, live: LiveSite) -> None:
    """A small file that is dropped while a batch of many jobs fills the queue is the next to get a slot."""
    with running(live) as daemon:
        live.drop("huge.csv", make_loans(8_000))

        def at_work() -> bool:
            batch = live.batch_of("huge.csv")
            return batch is not None and batch.state is State.RUNNING and batch.chunks_done > 0

        daemon.wait(at_work, "the first part of the huge batch")
        small = daemon.wait_for("small.csv", make_loans(20))
        huge = live.batch_of("huge.csv")
        assert huge is not None
        print(f"the small file ended when {huge.chunks_done} of the huge batch's {huge.chunks} jobs had")
        assert small.state is State.DONE
        assert huge.state is State.RUNNING
        assert huge.chunks_done < huge.chunks / 2
        jobs = connect(str(pool.condor_config)).job_states(huge.clusters)
        waiting = [job for job in jobs if job.in_queue]
        assert len(waiting) > huge.chunks / 3
