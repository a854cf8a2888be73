"""From a site file to the things that commands work with."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import HOST_POOL, LOCAL_POOL, Site
from scoring.errors import LoansError

if TYPE_CHECKING:
    from dag_specs.jobs import Scheduler


def shared_tree(site: Site) -> Layout:
    """Give the names on the site's shared tree. Raises LoansError when it is not there at all."""
    layout = Layout(Path(site.root))
    if not layout.root.is_dir():
        raise LoansError(
            f"There is no shared tree at {site.root}.", "Is the storage mounted? `loans init ROOT` makes a new tree."
        )
    return layout


def pool_home(site: Site | None) -> Path:
    """Give the folder of the local pool: the site's, or the default one."""
    from local_pool.pool_paths import default_home

    return Path(site.pool.home) if site and site.pool.home else default_home()


def connect_pool(site: Site) -> "Scheduler":
    """Reach the site's pool. Raises LoansError or SchedulerError in words when it cannot be reached."""
    from dag_specs.scheduler import connect

    if site.pool.condor_config == HOST_POOL:
        return connect(None)
    if site.pool.condor_config != LOCAL_POOL:
        return connect(site.pool.condor_config)
    from local_pool.pool_paths import PoolPaths

    paths = PoolPaths(pool_home(site).expanduser().resolve())
    if not paths.condor_config.exists():
        raise LoansError(
            "The pool on this machine is not up.",
            "Start it with `loans pool up`, or name another pool under [pool] in the site file.",
        )
    return connect(str(paths.condor_config))


ThreadsOption = Annotated[int | None, typer.Option(help="Threads (default: one per core).", min=1)]


def take_threads(wanted: int | None = None) -> int:
    """Give the threads to score with, one per core unless told otherwise, and let polars have as many.

    To be called before anything imports polars: it asks once, when it is imported.
    """
    count = wanted or len(os.sched_getaffinity(0))
    os.environ["POLARS_MAX_THREADS"] = str(count)
    return count
