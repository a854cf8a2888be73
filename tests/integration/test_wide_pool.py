"""A pool of one slot with 64 cores is as large as one of 64 slots: files and histories become jobs for all of it."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inbox_watcher.batch.batch import State
from inbox_watcher.batch.planning import choose_chunk_bytes
from local_pool.pool import bring_up, take_down
from local_pool.processes import wait_until
from local_pool.status import PoolStatus
from tests.integration.gated_jobs import gated_site
from tests.integration.site_fixtures import PATIENCE, running
from training.history.generate import generate_loans
from training.history.shards import FEW_SHARDS, choose_shards
from training.records.request import read_request
from training.records.run_folder import RunFolder

CORES = 64
MEMORY_MB = CORES * 1024
SIZE = 400_000_000
"""Bytes of a file that is worth more jobs than a pool of two places would get; of a history likewise."""


@pytest.fixture(scope="module")
def wide_pool() -> Iterator[PoolStatus]:
    """Bring up a pool of one partitionable slot with more cores and memory than the machine has."""
    home = Path(tempfile.mkdtemp(prefix="loans-test-pool-", dir="/var/tmp"))
    try:
        yield bring_up(home, slots=CORES, memory_mb=MEMORY_MB)
    finally:
        take_down(home)
        shutil.rmtree(home, ignore_errors=True)


def write_large(path: Path, *, labelled: bool) -> int:
    """Write a CSV of SIZE bytes, the same loans over and over, and rename it into place; give its size."""
    sink = io.BytesIO()
    generate_loans(10_000, 5, labelled=labelled, sink=sink)
    header, _, body = sink.getvalue().partition(b"\n")
    unfinished = path.with_name(".unfinished")
    with unfinished.open("wb") as file:
        file.write(header + b"\n")
        for _ in range(SIZE // len(body)):
            file.write(body)
        size = file.tell()
    os.rename(unfinished, path)
    return size


def test_a_file_is_scored_on_all_of_the_slot(wide_pool: PoolStatus, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file becomes as many jobs as the pool's cores ask for, and all of them run at the same time."""
    folder = tmp_path_factory.mktemp("wide scoring")
    with gated_site(wide_pool, folder, "[0-9]*") as gated, running(gated.live) as daemon:
        size = write_large(gated.live.layout.inbox / "may.csv", labelled=False)

        def is_at_work() -> bool:
            batch = gated.live.batch_of("may.csv")
            return batch is not None and batch.state is State.RUNNING and len(gated.began) >= batch.chunks

        daemon.wait(is_at_work, "the start of every job")
        batch = gated.live.batch_of("may.csv")
        assert batch is not None
        # Chunks end at records, so the last one may be missing.
        wanted = -(-size // choose_chunk_bytes(size, CORES))
        assert wanted - 1 <= batch.chunks <= wanted
        assert gated.began == {str(chunk) for chunk in range(batch.chunks)}


def test_a_history_is_read_on_all_of_the_slot(wide_pool: PoolStatus, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A large history becomes as many shards as the pool's cores ask for, all of them read at the same time."""
    folder = tmp_path_factory.mktemp("wide training")
    with gated_site(wide_pool, folder, "preprocess-*") as gated:
        layout = gated.live.layout
        wanted = choose_shards(write_large(layout.history / "loans.csv", labelled=True), 2, CORES)
        assert wanted > FEW_SHARDS
        with gated.retraining():
            assert wait_until(lambda: any(layout.training.glob("*/*.dag")), PATIENCE)
            (run,) = (RunFolder(path) for path in layout.training.iterdir())
            shards = read_request(run.request).shards
            assert wanted - 1 <= len(shards) <= wanted
            assert "MAXJOBS" not in run.dag(1).read_text()
            nodes = {f"preprocess-{shard.number}" for shard in shards}
            assert wait_until(lambda: gated.began == nodes, PATIENCE)
