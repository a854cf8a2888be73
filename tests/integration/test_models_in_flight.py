"""Rollback and promotion while a batch runs: it keeps the version that it was claimed with, the next one does not."""

import csv
import json
import subprocess
from pathlib import Path

from inbox_watcher.batch.batch import State
from local_pool.status import PoolStatus
from scoring.models.production import promote, read_log, read_promotion
from scoring.models.registry import VERSIONS, Pin, publish_version, read_manifest
from scoring.results.receipt import read_receipt
from tests.integration.site_fixtures import LOANS, LiveSite, made_site, running, without_label
from tests.integration.trained import TrainedSite
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here


def publish_twin(models: Path, version: str, name: str) -> Pin:
    """Publish the content of a version once more, under another name."""
    manifest, _ = read_manifest(models, version)
    return publish_version(
        models,
        version=name,
        candidate=manifest.candidate,
        contract=manifest.contract,
        files={file: (models / VERSIONS / version / file).read_bytes() for file in manifest.files},
        metrics=manifest.metrics,
        parameters=manifest.parameters,
        training=manifest.training,
        packages=manifest.packages,
        policy=manifest.policy,
    )


def told(live: LiveSite, *words: str) -> dict[str, object]:
    """Run `loans models ...` and read its JSON."""
    command = [str(LOANS), "models", *words, "--json", "--site", str(live.file)]
    document: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document


def versions_in(path: Path) -> tuple[int, set[str]]:
    """Count the rows of published predictions and name the versions that scored them."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return len(rows), {row["model_version"] for row in rows}


def test_a_running_batch_keeps_its_version(pool: PoolStatus, trained: TrainedSite) -> None:
    """A rollback and a promotion between the jobs of a batch change nothing in it; the next file gets the new one."""
    rows = 12_000
    with made_site(pool, trained, 10_000) as live, running(live) as daemon:
        models, first = live.layout.models, trained.result.version
        pinned, third = publish_twin(models, first, "20300101-pinned"), publish_twin(models, first, "20300102-third")
        promote(models, pinned, by="test", why="test")
        live.drop("long.csv", without_label(trained.history, rows))

        def in_flight() -> bool:
            batch = live.batch_of("long.csv")
            return batch is not None and batch.state is State.RUNNING and 0 < batch.chunks_done <= batch.chunks // 2

        daemon.wait(in_flight, "a batch in flight")
        back = told(live, "rollback", "--why", "test")
        assert isinstance(back["production"], dict)
        assert back["production"]["version"] == first
        assert told(live, "promote", third.version, "--why", "test")["replaced"] == back["production"]
        batch = live.batch_of("long.csv")
        assert batch is not None
        assert batch.state is State.RUNNING
        daemon.wait(lambda: live.is_finished("long.csv"), "the end of the batch")
        assert versions_in(live.layout.outbox / "long.predictions.csv") == (rows, {pinned.version})
        assert read_receipt(live.layout.outbox / "long.receipt.json").model == pinned

        short = daemon.wait_for("short.csv", without_label(trained.history, 500))
        assert short.state is State.DONE
        assert versions_in(live.layout.outbox / "short.predictions.csv") == (500, {third.version})
        promotion = read_promotion(models)
        assert promotion is not None
        assert promotion.pin == third
        log = read_log(models)
        assert [entry.to.version for entry in log.entries] == [first, pinned.version, first, third.version]
        assert (log.damage, log.notes) == ((), ())
