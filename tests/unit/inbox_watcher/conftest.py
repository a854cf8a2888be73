"""A site of its own for each test of the daemon: a whole shared tree with a model in production."""

import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout, StateLayout, output_stem
from inbox_watcher.settings.site_file import Inbox, Scoring, Site
from scoring.models.production import PRODUCTION, read_promotion
from scoring.models.registry import VERSIONS, Pin, now, publish_version, read_manifest
from tests.unit.inbox_watcher.batch_steps import ID, NAME, OpenBatch
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.scoring.linear_model import publish_linear
from training.history.generate import generate_loans


class HastyDatabase(sqlite3.Connection):
    """A journal's database that does not wait for the disk."""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Execute a statement, but for the one that asks to wait."""
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), parameters)


@pytest.fixture(autouse=True)
def _same_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a job that runs in this process leaves in its environment and file mask."""
    # No test here cuts the power; without waiting for the disk they take half the time.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=HastyDatabase))
    before = dict(os.environ)
    mask = os.umask(0o022)
    yield
    os.umask(mask)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a site whose files settle at once and whose chunks are small."""
    site = Site(
        root=str(tmp_path / "shared tree é"),
        state=str(tmp_path / "state"),
        inbox=Inbox(settle_seconds=0, rescan_seconds=0.05),
        scoring=Scoring(chunk_bytes=2000),
    )
    for folder in Layout(Path(site.root)).folders:
        folder.mkdir(parents=True)
    StateLayout(Path(site.state)).root.mkdir()
    return site


@pytest.fixture
def layout(site: Site) -> Layout:
    """Name the site's shared tree."""
    return Layout(Path(site.root))


@pytest.fixture
def journal_path(site: Site) -> Path:
    """Name the site's journal."""
    return StateLayout(Path(site.state)).journal


@pytest.fixture
def pin(layout: Layout) -> Pin:
    """Put the hand-made model into production."""
    return publish_linear(layout.models)


@pytest.fixture
def drop(layout: Layout) -> Callable[..., bytes]:
    """Give a function that drops a CSV of generated loans into the inbox and tells its bytes."""

    def drop(name: str | bytes, rows: int = 120, seed: int = 1, content: bytes | None = None) -> bytes:
        if content is None:
            content = loans(rows, seed)
        # As a careful sender does: under another name first, then by one rename.
        unfinished = layout.inbox / ".unfinished"
        unfinished.write_bytes(content)
        os.rename(unfinished, os.path.join(os.fsencode(layout.inbox), os.fsencode(name)))
        return content

    return drop


@pytest.fixture
def scheduler() -> PoolInProcess:
    """Give a pool."""
    return PoolInProcess()


@pytest.fixture
def open_batch(journal_path: Path, pin: Pin) -> OpenBatch:
    """Give a function that opens a batch as the daemon does."""

    def open_one(name: str = NAME, batch_id: str = ID, output: str | None = None) -> Batch:
        journal = Journal(journal_path)
        batch = Batch(batch_id, os.fsencode(name), State.CLAIMING, now(), now(), output or output_stem(name), pin)
        journal.record(batch)
        journal.close()
        return batch

    return open_one


@pytest.fixture
def journal(journal_path: Path) -> Iterator[Journal]:
    """Open the site's journal."""
    opened = Journal(journal_path)
    yield opened
    opened.close()


@cache
def loans(rows: int, seed: int = 1) -> bytes:
    """Make a CSV of generated loans without labels."""
    sink = io.BytesIO()
    generate_loans(rows, seed, labelled=False, sink=sink)
    return sink.getvalue()


def with_scoring(site: Site, **changes: object) -> Site:
    """Give a site with other settings of scoring."""
    return msgspec.structs.replace(site, scoring=msgspec.structs.replace(site.scoring, **changes))


def publish_copy(models: Path, pin: Pin, version: str) -> Pin:
    """Publish the files of a version once more, under another name; not promoted."""
    manifest, _ = read_manifest(models, pin.version)
    return publish_version(
        models,
        version=version,
        candidate=manifest.candidate,
        contract=manifest.contract,
        files={name: (models / VERSIONS / pin.version / name).read_bytes() for name in manifest.files},
        metrics=manifest.metrics,
        parameters=manifest.parameters,
        training=manifest.training,
        packages=manifest.packages,
    )


def forge_pointer(models: Path, pin: Pin) -> None:
    """Make a version the one in production as somebody does who may write to `models`, without a line in the log."""
    promotion = read_promotion(models)
    assert promotion is not None
    forged = msgspec.structs.replace(promotion, pin=pin, why="it looks right")
    (models / PRODUCTION).write_bytes(msgspec.json.encode(forged))
