"""Why a start failed, in plain words from the daemons' logs."""

from pathlib import Path

import pytest

from local_pool.pool_paths import PoolPaths
from local_pool.status import explain, log_sizes


@pytest.fixture
def paths(tmp_path: Path) -> PoolPaths:
    """Make a pool's home with a folder for logs."""
    made = PoolPaths(tmp_path)
    made.logs.mkdir()
    return made


def test_reason_is_told_in_plain_words(paths: PoolPaths) -> None:
    """What a log says in its way is said in ours, with the log's line below and the way to the logs last."""
    (paths.logs / "SchedLog").write_text("start\n11/22 10:00 ERROR: write failed: No space left on device\nend\n")
    error = explain(paths, {}, "the pool took no job")
    assert str(error).splitlines() == [
        "the pool took no job: the disk is full.",
        "SchedLog: 11/22 10:00 ERROR: write failed: No space left on device",
        f"The daemons' logs are in {paths.logs}",
    ]


def test_errors_of_earlier_starts_are_not_told(paths: PoolPaths) -> None:
    """Only what was written since the start began explains it."""
    log = paths.logs / "MasterLog"
    log.write_text("ERROR: long ago\n")
    before = log_sizes(paths)
    with log.open("a") as file:
        file.write("ERROR: just now\n")
    assert str(explain(paths, before, "it failed")).splitlines()[:2] == ["it failed.", "MasterLog: ERROR: just now"]


def test_rotated_log_is_read_from_its_beginning(paths: PoolPaths) -> None:
    """A log that is shorter than it was has begun anew."""
    (paths.logs / "MasterLog").write_text("ERROR: new\n")
    assert "ERROR: new" in str(explain(paths, {"MasterLog": 5000}, "it failed"))


def test_what_healthy_pools_say_is_left_out(paths: PoolPaths) -> None:
    """Lines with an alarming word that every start writes do not distract."""
    (paths.logs / "StartLog").write_text('passwd_cache: getpwnam("condor") failed: user not found\n')
    assert "getpwnam" not in str(explain(paths, {}, "it failed"))


def test_without_logs_there_is_still_a_sentence(paths: PoolPaths) -> None:
    """A master that left no word leaves the sentence and the folder."""
    assert str(explain(paths, {}, "it failed")).splitlines() == ["it failed.", f"The daemons' logs are in {paths.logs}"]
