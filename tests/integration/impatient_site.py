"""A site that soon gives up files that are cut, its daemon, and some real loans."""

from collections.abc import Iterator

import pytest

from inbox_watcher.settings.site_file import load_site
from local_pool.status import PoolStatus
from tests.integration.site_fixtures import Daemon, LiveSite, made_site, running, without_label
from tests.integration.trained import TrainedSite
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here

TRUNCATED_SECONDS = 2.0
"""How long such files are waited for."""


@pytest.fixture(scope="module")
def live(pool: PoolStatus, trained: TrainedSite) -> Iterator[LiveSite]:
    """Give a site that soon gives up files that are cut."""
    with made_site(pool, trained, 1_000_000) as made:
        text = made.file.read_text()
        shown = "# truncated_seconds = 60.0"
        assert shown in text
        made.file.write_text(text.replace(shown, f"truncated_seconds = {TRUNCATED_SECONDS}"))
        yield LiveSite(made.file, load_site(made.file))


@pytest.fixture(scope="module")
def daemon(live: LiveSite) -> Iterator[Daemon]:
    """Run that site's daemon for all tests of this file."""
    with running(live) as started:
        started.wait(lambda: "watching" in started.log.read_text(), "the start")
        yield started


@pytest.fixture(scope="module")
def loans(trained: TrainedSite) -> bytes:
    """Give 50 of the real loans without their labels."""
    return without_label(trained.history, 50)
