"""`loans why`: what a batch waits for, why it is held, slow or failed, and the way out."""

from typing import Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, console, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(why)


def why(
    batch: Annotated[str, typer.Argument(help="A batch id, or the name of a dropped file.")],
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Tell in plain words why a batch is held, idle, slow or failed, and what to do."""
    from inbox_watcher.explain.observation import explain_batch, explain_file
    from inbox_watcher.explain.status import seek_batch
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.pool_look import look_at_pool

    loaded = load_site(site)
    found = seek_batch(loaded, batch)
    if found is None:
        said = explain_file(loaded, batch)
    else:
        said = explain_batch(loaded, found, lambda clusters: look_at_pool(site, clusters))
    nothing = found is None and said[-1].kind == "end"
    if json:
        print_json({"batch": found and found.id, "state": found and str(found.state), "sentences": said})
    for sentence in said if nothing else ():
        say(f"{sentence.text}\n{sentence.way_out}".strip())
    for sentence in () if json or nothing else said:
        console().print(sentence.text, markup=False)
        if sentence.way_out:
            console().print(f"  {sentence.way_out}", markup=False, style="dim")
    if nothing:
        raise typer.Exit(1)
