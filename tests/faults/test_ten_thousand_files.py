"""The flood: ten thousand small files in a minute, three of them poison, on two slots."""

import pytest

from inbox_watcher.batch.batch import State
from local_pool.status import PoolStatus
from tests.integration.conftest import pool as pool  # noqa: PLC0414 - a fixture is found by its name here
from tests.integration.many_files import check_published_once, score_many
from tests.integration.site_fixtures import made_site, running
from tests.integration.trained import TrainedSite
from tests.integration.trained import trained as trained  # noqa: PLC0414

FILES = 10_000


@pytest.mark.slow
def test_ten_thousand_files(pool: PoolStatus, trained: TrainedSite) -> None:
    """9,997 are published once and 3 set aside, all claimed within two minutes of the last drop, in little memory."""
    with made_site(pool, trained, 0) as live, running(live) as daemon:
        daemon.wait(lambda: "watching" in daemon.log.read_text(), "the start")
        figures = score_many(live, daemon, FILES, 60, 900)
        print(figures)
        check_published_once(live, FILES)
    assert figures.states == {State.DONE: FILES - 3, State.FAILED: 3}
    assert figures.claimed < 120
    assert figures.peak_mb < 300
    assert figures.files / figures.seconds >= 20
