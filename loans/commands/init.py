"""`loans init`: the shared tree and a site file."""

from pathlib import Path
from typing import Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    root: Annotated[Path, typer.Argument(help="Top folder of the shared tree, on storage that every node sees.")],
    analysts: Annotated[
        str | None,
        typer.Option(help="Who may drop files and read results: a group (default: nobody else).", metavar="GROUP"),
    ] = None,
    site: SiteOption = DEFAULT_SITE,
    state: Annotated[
        Path | None,
        typer.Option(help="The daemon's own folder, on a local disk (default: in your state folder).", metavar="DIR"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the shared tree under ROOT and a commented site file."""
    import os
    import shutil

    from dag_specs.submit_language import check_path
    from inbox_watcher.settings.layout import Layout
    from inbox_watcher.settings.permissions import find_group, make_folders, open_contract
    from inbox_watcher.settings.site_file import default_state, refuse_existing, write_site
    from scoring.contract import REFERENCE

    # os.path's leaves a `~name` that nobody has as it stands, where pathlib's raises.
    root = Path(os.path.expanduser(root)).resolve()
    check_path(root, "shared tree")
    local = (Path(os.path.expanduser(state)) if state else default_state(root)).absolute()
    check_path(local, "state")
    refuse_existing(site)
    gid = None if analysts is None else find_group(analysts)
    layout = Layout(root)
    make_folders(layout, gid)
    os.umask(0o027)
    local.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not layout.contract.exists():
        shutil.copyfile(REFERENCE, layout.contract)
    if gid is not None:
        open_contract(layout, gid)
    write_site(site, root, local)
    if json:
        group = {} if analysts is None else {"analysts": analysts}
        print_json({"root": str(root), "state": str(local), "site": str(site.absolute()), **group})
        return
    say(f"The shared tree is in {root}, the site file is {site}.")
    if analysts is None:
        say("Nobody else may use the tree; deploy/README.md says how to open it to a group of analysts.")
    else:
        say(f"Members of {analysts} may drop files into {layout.inbox} and read {layout.outbox} and {layout.failed}.")
    if os.geteuid() == 0:
        say("The tree is root's: only root can run its daemon. For another account, run `loans init` as that account.")
    say(f"Next: put labelled loans into {layout.history} and adapt {layout.contract};")
    say("then `loans pool up`, `loans retrain`, `loans watch`.")
