"""Run HTCondor's own commands against one pool, each in a process of its own.

The bindings read their configuration once per process; a command reads it each time, so one
process may look after any number of pools.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from local_pool.errors import PoolError
from local_pool.pool_paths import PoolPaths

_TIMEOUT_SECONDS = 20.0


def environment(paths: PoolPaths) -> dict[str, str]:
    """Return the environment for a command, or daemon, of the pool."""
    # Any _CONDOR_SETTING in the environment would override the pool's file.
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
    return {**inherited, "CONDOR_CONFIG": str(paths.condor_config)}


def run(
    paths: PoolPaths, tool: Path, *arguments: str | Path, cwd: Path | None = None, timeout: float = _TIMEOUT_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run `tool` of HTCondor against the pool, in folder `cwd`, for at most `timeout` seconds.

    A failure is told by the return code, as is a time-out (124).
    """
    command = [str(tool), *map(str, arguments)]
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment(paths),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{tool.name} did not answer within {timeout:.0f} s")


def query(paths: PoolPaths, bin_folder: Path, *arguments: str) -> list[dict[str, Any]] | None:
    """Return the ads that `condor_status` answers for `arguments`; None when the pool does not answer."""
    told = run(paths, bin_folder / "condor_status", *arguments, "-json", timeout=10.0)
    if told.returncode != 0:
        return None
    try:
        ads = json.loads(told.stdout or "[]")
    except ValueError:
        return None
    return [ad for ad in ads if isinstance(ad, dict)]


def create_token(paths: PoolPaths, bin_folder: Path, identity: str) -> str:
    """Return a token for `identity`, signed with the pool's key; raises `PoolError` when HTCondor makes none."""
    made = run(paths, bin_folder / "condor_token_create", "-identity", identity)
    if made.returncode != 0 or not made.stdout.strip():
        raise PoolError("HTCondor made no token for the user of the pool.", details=made.stderr)
    return made.stdout.strip() + "\n"
