"""The names under a pool's home."""

import os
from pathlib import Path

import pytest

from local_pool.pool_paths import PoolPaths, default_home


def test_every_name_is_under_the_home() -> None:
    """Whoever removes the home has removed the pool."""
    paths = PoolPaths(Path("/home/ana/pool"))
    files = (paths.condor_config, paths.lock, paths.state, paths.signing_key, paths.token, paths.master_output)
    assert all(path.is_relative_to(paths.home) for path in (*paths.folders, *files))


def test_sockets_of_a_long_home_are_elsewhere() -> None:
    """With a long home the sockets lie in a short folder of this user's and this pool's own."""
    paths = PoolPaths(Path("/home") / ("long" * 20) / "pool")
    assert not paths.sockets.is_relative_to(paths.home)
    assert len(os.fsencode(paths.sockets)) + 48 < 108
    assert str(os.geteuid()) in paths.sockets.name
    assert paths.sockets != PoolPaths(Path("/home") / ("long" * 20) / "other").sockets


def test_length_of_a_home_counts_in_bytes() -> None:
    """Accents take two bytes each, and the kernel counts bytes."""
    assert PoolPaths(Path("/home/" + "e" * 40)).sockets.is_relative_to("/home")
    assert not PoolPaths(Path("/home/" + "é" * 40)).sockets.is_relative_to("/home")


def test_default_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOANS_POOL_HOME comes first, then the XDG state folder if it is absolute, then the usual one in HOME."""
    monkeypatch.setenv("HOME", "/home/ana")
    monkeypatch.setenv("LOANS_POOL_HOME", "/srv/pool")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_home() == Path("/srv/pool")
    monkeypatch.delenv("LOANS_POOL_HOME")
    assert default_home() == Path("/state/condor-loan-scoring/pool")
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert default_home() == Path("/home/ana/.local/state/condor-loan-scoring/pool")
