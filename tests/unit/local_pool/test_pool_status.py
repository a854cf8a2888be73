"""What is told of a pool that does not run, and what a start wrote down."""

from pathlib import Path

import pytest

from local_pool.errors import PoolError
from local_pool.pool import bring_up, inspect, take_down
from local_pool.pool_paths import PoolPaths
from local_pool.status import PoolRecord, read_record

RECORD = PoolRecord(port=40000, slots=2, memory_mb=8000, bin=Path("/opt/condor/bin"), version="23.9.6")


def test_record_survives_writing_and_reading(tmp_path: Path) -> None:
    """What is written is what is read."""
    paths = PoolPaths(tmp_path)
    paths.state.write_text(RECORD.to_json())
    assert read_record(paths) == RECORD


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"port": "many"}'])
def test_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    """A record that cannot be read is as good as none, and no error."""
    paths = PoolPaths(tmp_path)
    paths.state.write_text(text)
    assert read_record(paths) is None


def test_pool_that_never_ran_is_down(tmp_path: Path) -> None:
    """Looking at and stopping a pool that never was are no errors, and make nothing."""
    home = tmp_path / "pool"
    status = inspect(home)
    assert not status.running
    assert status.daemons == ()
    assert status.condor_config == home / "condor_config"
    assert not take_down(home).was_running
    assert not home.exists()


def test_stopped_pool_still_tells_where_it_was(tmp_path: Path) -> None:
    """After a stop the port, the slots and the version of the last start are still told."""
    PoolPaths(tmp_path).state.write_text(RECORD.to_json())
    status = inspect(tmp_path)
    assert (status.running, status.port, status.slots, status.htcondor_version) == (False, 40000, 2, "23.9.6")


def test_pool_needs_a_slot(tmp_path: Path) -> None:
    """No slots is a wrong wish, told before anything is made."""
    with pytest.raises(PoolError, match="at least one slot"):
        bring_up(tmp_path / "pool", slots=0)
    assert not (tmp_path / "pool").exists()


def test_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    """A home that cannot be a folder is named, with the way to choose another."""
    (tmp_path / "pool").touch()
    with pytest.raises(PoolError, match="cannot be used") as caught:
        bring_up(tmp_path / "pool")
    assert "--home" in str(caught.value)


def test_home_that_htcondor_would_misread_is_refused(tmp_path: Path) -> None:
    """HTCondor expands `$(NAME)` in every path, so no home may hold it."""
    with pytest.raises(PoolError, match="would take a part of its name for a setting"):
        bring_up(tmp_path / "$(HOME)")
