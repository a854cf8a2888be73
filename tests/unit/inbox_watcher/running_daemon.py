"""A daemon that runs in a thread of the test, on real folders, with a pool in this process."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from dag_specs.jobs import Scheduler
from inbox_watcher import service
from inbox_watcher.batch.batch import Batch
from inbox_watcher.batch.journal import Journal
from inbox_watcher.service import Watcher
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.inbox_watcher.waiting import SECONDS, wait_for

Drop = Callable[..., bytes]


Run = Callable[..., "Running"]


class Silence:
    """A watcher of the inbox that never says anything."""

    def __init__(self, *_: object) -> None:
        """Watch nothing."""

    def start(self) -> None:
        """Start nothing."""

    def stop(self) -> None:
        """Stop nothing."""

    def take_changed(self) -> bool:
        """Notice nothing."""
        return False

    def take_moved_in(self) -> set[str]:
        """Know nothing."""
        return set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Look at running batches more often than a real daemon does; without hints, its listing alone must do."""
    monkeypatch.setattr(service, "_TICK", 0.02)
    monkeypatch.setattr(service, "_SHORTEST_PAUSE", 0.05)
    if "with_hints" not in request.fixturenames:
        monkeypatch.setattr(service, "Hints", Silence)


@pytest.fixture
def with_hints(site: Site) -> Site:
    """Give a site whose inbox is hardly ever listed, so that only hints can make the daemon quick."""
    return msgspec.structs.replace(site, inbox=msgspec.structs.replace(site.inbox, rescan_seconds=3600))


class Running:
    """A daemon that runs in a thread."""

    def __init__(self, site: Site, layout: Layout, journal: Journal, connect: Callable[[], Scheduler]) -> None:
        """Start it."""
        self.layout, self.journal = layout, journal
        self.watcher = Watcher(site, journal, connect)
        self.fault: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="daemon")
        self.thread.start()

    def _run(self) -> None:
        try:
            self.watcher.run()
        except BaseException as error:  # noqa: BLE001 (told to the test below)
            self.fault = error

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something happened, while the daemon lives."""
        wait_for(lambda: happened() or not self.thread.is_alive(), what)
        if self.fault:
            raise AssertionError(f"the daemon ended: {self.fault!r}") from self.fault
        assert happened(), f"the daemon ended before {what}"

    def wait_until_all_done(self, count: int) -> list[Batch]:
        """Wait until `count` batches came to their end, and give them, oldest first."""
        self.wait(
            lambda: len(self.journal.latest(count + 1)) >= count and not self.journal.open_batches(),
            f"the end of {count} batch(es)",
        )
        return sorted(self.journal.latest(count + 1), key=lambda batch: batch.created + batch.output)

    def wait_for_outbox(self, name: str) -> Path:
        """Wait until a file is in the outbox."""
        path = self.layout.outbox / name
        self.wait(path.exists, f"the publication of {name}")
        return path

    def stop(self) -> None:
        """End it as SIGTERM does."""
        self.watcher.stop()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive(), "the daemon did not end"


@pytest.fixture
def run(site: Site, layout: Layout, journal_path: Path) -> Iterator[Run]:
    """Give a function that starts a daemon on the site; all of them end with the test."""
    started: list[Running] = []

    def start(
        pool: PoolInProcess | None = None, *, on: Site = site, connect: Callable[[], Scheduler] | None = None
    ) -> Running:
        scheduler = pool or PoolInProcess()
        running = Running(on, layout, Journal(journal_path), connect or (lambda: scheduler))
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()
        running.journal.close()
