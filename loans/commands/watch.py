"""`loans watch`: the daemon."""

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def watch(site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Watch the inbox and score what is dropped into it, until SIGTERM or Ctrl-C.

    What goes on is told on stderr, a line each; --json tells on stdout, at the end, which batches will be gone on with.
    """
    import logging
    import os
    import sys

    from inbox_watcher.daemon import serve
    from inbox_watcher.explain.status import read_batches
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import connect_pool

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    loaded = load_site(site)
    serve(loaded, lambda: connect_pool(loaded))
    if json:
        print_json({"site": str(site.absolute()), "open_batches": [batch.id for batch in read_batches(loaded, 0)]})
        sys.stdout.flush()
    # A step that still waits for storage may be cut off: it is done again at the next start.
    sys.stderr.flush()
    os._exit(0)
