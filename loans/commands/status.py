"""`loans status`: batches and their progress."""

from typing import TYPE_CHECKING, Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, console, legible, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from inbox_watcher.batch.batch import Batch


_PERIOD = 1.0
"""How often `--watch` looks (seconds)."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    batch: Annotated[str | None, typer.Argument(help="A batch id, or the name of a dropped file.")] = None,
    watch: Annotated[bool, typer.Option("--watch", metavar="", help="Keep showing, until Ctrl-C.")] = False,
    count: Annotated[int, typer.Option(help="How many finished batches to show.", min=0)] = 20,
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Show batches and their progress."""
    from inbox_watcher.explain.status import find_batch, read_batches, read_waiting
    from inbox_watcher.settings.site_file import load_site

    loaded = load_site(site)
    if waiting := read_waiting(loaded):
        say(waiting)

    def read() -> "list[Batch]":
        return [find_batch(loaded, batch)] if batch else read_batches(loaded, count)

    if json:
        print_json([_facts(found) for found in read()])
        return
    if watch:
        _keep_showing(read)
        return
    found = read()
    console().print(_table(found))
    for words in (found[0].reason, found[0].trouble) if batch else ():
        if words:
            console().print(words, markup=False)


def _keep_showing(read: "Callable[[], list[Batch]]") -> None:
    """Show the batches until Ctrl-C: in place on a terminal; elsewhere as one table after another, at each change."""
    import time
    from contextlib import suppress

    from rich.live import Live

    out = console()
    with suppress(KeyboardInterrupt):
        if out.is_terminal:
            with Live(_table(read()), console=out, auto_refresh=False) as live:
                while True:
                    time.sleep(_PERIOD)
                    live.update(_table(read()), refresh=True)
        shown = None
        while True:
            found = read()
            if found != shown:
                shown = found
                out.print(_table(found))
                out.file.flush()
            time.sleep(_PERIOD)


def _name(batch: "Batch") -> str:
    return batch.name.decode(errors="backslashreplace")


def _facts(batch: "Batch") -> dict[str, object]:
    import msgspec

    facts: dict[str, object] = msgspec.to_builtins(batch)
    return {**facts, "name": _name(batch)}


def _table(batches: "list[Batch]") -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("batch", no_wrap=True, min_width=22)
    table.add_column("file", overflow="fold", min_width=8)
    for name in ("state", "chunks", "rows", "rejected"):
        table.add_column(name, no_wrap=True)
    for batch in batches:
        table.add_row(
            batch.id,
            Text(legible(_name(batch))),
            str(batch.state),
            f"{batch.chunks_done}/{batch.chunks}" if batch.chunks else "",
            str(batch.rows or ""),
            str(batch.rejected) if batch.scored or batch.rejected else "",
        )
    return table
