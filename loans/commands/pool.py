"""`loans pool`: a real HTCondor pool on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, console, print_json, say

app = typer.Typer(help="A real HTCondor pool on this machine, unprivileged.", no_args_is_help=True)

HomeOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the pool (default: the site's, or one in your state folder).", metavar="DIR"),
]


def _home(home: Path | None, site: Path) -> Path:
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import pool_home

    return home or pool_home(load_site(site) if site.exists() else None)


@app.command()
def up(
    home: HomeOption = None,
    slots: Annotated[int | None, typer.Option(help="Jobs at a time (default: one per core).", min=1)] = None,
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Start the pool, or leave a running one as it is; ready when a test job has run."""
    from local_pool.pool import bring_up

    status = bring_up(_home(home, site), slots, report=say)
    if json:
        print_json(asdict(status))
    else:
        say(f"The pool is up: {status.slots} slot(s), HTCondor {status.htcondor_version}.")


@app.command()
def down(home: HomeOption = None, site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Stop the pool and everything that runs in it; queued jobs stay on disk."""
    from local_pool.pool import take_down

    ended = take_down(_home(home, site))
    if json:
        print_json(asdict(ended))
    else:
        say("The pool is down." if ended.was_running else "The pool was not running.")


@app.command()
def status(home: HomeOption = None, site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Tell daemons, slots and versions. Exit code 1 when the pool is not up."""
    from rich.table import Table

    from local_pool.pool import inspect

    found = inspect(_home(home, site))
    if json:
        print_json(asdict(found))
    else:
        table = Table("daemon", "pid", "version")
        for daemon in found.daemons:
            table.add_row(daemon.name, str(daemon.pid), daemon.version)
        out = console()
        out.print(f"Pool in {found.home}", markup=False)
        out.print(table)
        out.print(f"{'up' if found.running else 'not up'}; {found.slots_busy} of {found.slots} slot(s) busy")
        out.print(f"bindings {found.bindings_version}; logs in {found.logs}", markup=False)
    if not found.running:
        say("The pool is not up.\n`loans pool up` starts it.")
        raise typer.Exit(1)
