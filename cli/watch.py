"""`loans watch`: the daemon."""

import typer

from cli.output import DEFAULT_SITE, SiteOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def watch(site: SiteOption = DEFAULT_SITE) -> None:
    """Watch the inbox and score what is dropped into it, until SIGTERM or Ctrl-C."""
    import logging
    import os
    import sys

    from cli.sites import connect_pool
    from inbox_watcher.config import load_site
    from inbox_watcher.daemon import serve

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    loaded = load_site(site)
    serve(loaded, lambda: connect_pool(loaded))
    # A step that still waits for storage may be cut off: it is done again at the next start.
    sys.stderr.flush()
    os._exit(0)
