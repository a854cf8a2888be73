"""Looks at the pool from a process of its own: HTCondor's bindings may hang, and hold up whoever called them."""

import subprocess
import sys
from pathlib import Path

import msgspec

from inbox_watcher.explain.observation import PoolView

PATIENCE = 15.0
"""How long the pool may take to answer (seconds)."""


def look_at_pool(site_file: Path, clusters: tuple[int, ...], patience: float = PATIENCE) -> PoolView:
    """Ask the pool of a site about clusters and its slots; never raises, never takes longer than `patience` (s)."""
    # -P: what lies in the folder where the command was started has no say.
    command = [
        sys.executable,
        "-P",
        "-X",
        "utf8",
        "-m",
        "loans.terminal.pool_look",
        str(site_file.absolute()),
        *map(str, clusters),
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=patience, check=False, stdin=subprocess.DEVNULL)
        return msgspec.json.decode(done.stdout, type=PoolView)
    except subprocess.TimeoutExpired:
        return PoolView(trouble=f"no answer within {patience:.0f} seconds")
    except (OSError, msgspec.DecodeError) as error:
        return PoolView(trouble=f"it could not be asked: {error}")


def main(arguments: list[str]) -> int:
    """Print what the pool tells as JSON: SITE_FILE [CLUSTER...]."""
    import time

    from dag_specs.errors import DagSpecError
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import connect_pool
    from scoring.errors import LoansError

    try:
        scheduler = connect_pool(load_site(Path(arguments[0])))
        # Jobs that have left the queue are told by the event log; the history of a busy node takes long to search.
        jobs = scheduler.job_states(map(int, arguments[1:]), left_since=time.time())
        view = PoolView(jobs, scheduler.slots())
    except (LoansError, DagSpecError) as error:
        view = PoolView(trouble=error.what)
    sys.stdout.buffer.write(msgspec.json.encode(view))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
