"""Held and waiting jobs on a real pool: what the daemon does about them, and what `loans why` says."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dag_specs.jobs import Job, JobId, JobState
from dag_specs.scheduler import connect
from inbox_watcher.batch.batch import Batch, State
from local_pool.status import PoolStatus
from tests.integration.site_fixtures import LOANS, Daemon, LiveSite, made_site, running, without_label
from tests.integration.trained import TrainedSite
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here


@pytest.fixture
def waiting(pool: PoolStatus, trained: TrainedSite) -> Iterator[LiveSite]:
    """Give a site of its own whose jobs give their slots back at once."""
    with made_site(pool, trained, 140_000) as site:
        # A claim that is kept would keep a job that wants the whole slot out of it.
        text = site.file.read_text()
        site.file.write_text(text.replace("# keep_claim_idle_seconds = 300", "keep_claim_idle_seconds = 1"))
        yield site


def why(live: LiveSite, name: str) -> list[str]:
    """Ask `loans why`; print how long the answer took."""
    begun = time.monotonic()
    done = subprocess.run(
        [LOANS, "why", name, "--json", "--site", live.file], capture_output=True, text=True, check=True, timeout=60
    )
    said = [sentence["text"] for sentence in json.loads(done.stdout)["sentences"]]
    print(f"loans why: {time.monotonic() - begun:.1f} s: {said}")
    return said


def running_batch(daemon: Daemon, name: str) -> Batch:
    """Wait until the jobs of a file are submitted."""

    def is_running() -> bool:
        batch = daemon.live.batch_of(name)
        return batch is not None and batch.state is State.RUNNING and bool(batch.clusters)

    daemon.wait(is_running, "the submission")
    batch = daemon.live.batch_of(name)
    assert batch is not None
    return batch


def close_gate(live: LiveSite) -> Path:
    """Have the jobs' interpreter wait until a file is there, so that they can be held at leisure; give its path."""
    gate = live.file.with_name("gate")
    python = live.file.with_name("python")
    text = live.file.read_text()
    python.write_text(f"#!/bin/sh\nwhile [ ! -e '{gate}' ]; do sleep 0.1; done\nexec '{live.site.python}' \"$@\"\n")
    python.chmod(0o755)
    live.file.write_text(text.replace('# python = ""', f'python = "{python}"'))
    return gate


def test_held_jobs_are_told_and_go_on(waiting: LiveSite, pool: PoolStatus, trained: TrainedSite) -> None:
    """What a person holds is left alone and told; released, the file is published; the end is told too."""
    scheduler = connect(str(pool.condor_config))
    gate = close_gate(waiting)
    content = without_label(trained.history, 8_000)
    with running(waiting) as daemon:
        waiting.drop("held.csv", content)
        batch = running_batch(daemon, "held.csv")
        cluster = batch.clusters[-1]

        def jobs() -> tuple[Job, ...]:
            return scheduler.job_states([cluster], left_since=time.time())

        assert scheduler.hold([JobId(cluster)], "kept for the test") == batch.chunks
        daemon.wait(lambda: {job.state for job in jobs()} == {JobState.HELD}, "the hold")
        assert batch.chunks >= 2
        words = why(waiting, "held.csv")
        assert words[0].startswith(f"Chunks 0-{batch.chunks - 1} are held on purpose: kept for the test")
        assert words[-1].startswith(f"0 of {batch.chunks} chunks are done")
        time.sleep(2)
        assert {job.state for job in jobs()} == {JobState.HELD}
        gate.touch()
        assert scheduler.release([JobId(cluster)], "the test goes on") == batch.chunks
        daemon.wait(lambda: waiting.is_finished("held.csv"), "the end")
        (told,) = why(waiting, "held.csv")
        assert told.startswith("Published at ")
        assert "8000 rows scored, 0 rejected" in told
        assert len([line for line in Path(daemon.log).read_text().splitlines() if "held by a person" in line]) >= 1


def test_a_file_that_shares_a_job_is_told(waiting: LiveSite, pool: PoolStatus, trained: TrainedSite) -> None:
    """Of small files in one job, each is told what is so with that job: held by a person, then let go and published."""
    scheduler = connect(str(pool.condor_config))
    gate = close_gate(waiting)
    names = [f"small {number}.csv" for number in range(6)]
    with running(waiting) as daemon:
        for number, name in enumerate(names):
            waiting.drop(name, without_label(trained.history, 20 + number))
        clusters = {running_batch(daemon, name).clusters[-1] for name in names}
        batches = [batch for name in names if (batch := waiting.batch_of(name))]
        assert len(clusters) < len(names)
        assert sum(scheduler.hold([JobId(cluster)], "kept for the test") for cluster in clusters) == len(clusters)

        def jobs() -> tuple[Job, ...]:
            return scheduler.job_states(clusters, left_since=time.time())

        daemon.wait(lambda: {job.state for job in jobs()} == {JobState.HELD}, "the hold")
        for batch, name in zip(batches, names, strict=True):
            held, *more = why(waiting, name)
            assert held.startswith("Chunk 0 is held on purpose: kept for the test")
            assert more == [
                f"Its one chunk is scored by a job that small files share, {batch.group}.",
                "0 of 1 chunk are done.",
            ]
        daemon.wait(lambda: "its job is held by a person and left alone" in daemon.log.read_text(), "a word on it")
        gate.touch()
        assert sum(scheduler.release([JobId(cluster)], "the test goes on") for cluster in clusters) == len(clusters)
        daemon.wait(lambda: all(map(waiting.is_finished, names)), "the end")
        ended = [batch for name in names if (batch := waiting.batch_of(name))]
    assert {(batch.state, batch.attempt) for batch in ended} == {(State.DONE, 1)}


def test_jobs_without_a_slot_are_told(waiting: LiveSite, trained: TrainedSite) -> None:
    """A memory default that no slot has is shrunk, with a warning, and the file published."""
    text = waiting.file.read_text()
    waiting.file.write_text(text.replace("# memory_mb = 512", "memory_mb = 100000000"))
    content = without_label(trained.history, 1_000)
    with running(waiting) as daemon:
        batch = daemon.wait_for("large.csv", content)
        log = daemon.log.read_text()
    assert batch.state is State.DONE, batch.reason
    assert "none of the pool's" in log
