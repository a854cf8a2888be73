"""`loans verify` and `loans replay`: what an auditor asks."""

from typing import Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, console, print_json, say
from loans.terminal.sites import ThreadsOption, take_threads

BatchArgument = Annotated[str, typer.Argument(help="A batch id, or the name of a dropped file.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(verify)
    app.command()(replay)


def verify(batch: BatchArgument, site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Prove a published receipt again from the files. Exit code 1 when anything does not hold."""
    from inbox_watcher.explain.audit import check_promise, find_finished, planned_content
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import shared_tree
    from scoring.results.verify import Check, verify_result

    loaded = load_site(site)
    layout = shared_tree(loaded)
    finished = find_finished(loaded, batch)
    with planned_content(finished, loaded) as content:
        challenger = layout.batch(finished.batch.id).challenger
        checks = verify_result(content, finished.receipt, finished.results, layout.models, challenger)
    checks.append(Check("receipt", finished.receipt_problem))
    if (promise := check_promise(finished, loaded)) is not None:
        checks.append(promise)
    failed = [check.what for check in checks if check.problem]
    holds = not failed
    if json:
        print_json({"batch": finished.batch.id, "holds": holds, "checks": [vars(check) for check in checks]})
    else:
        for check in checks:
            console().print(f"{'FAILED' if check.problem else 'holds '}  {check.what}", markup=False)
            if check.problem:
                console().print(f"        {check.problem}", markup=False)
    sums = finished.receipt
    if not holds:
        say(f"Batch {finished.batch.id} does not hold: {', '.join(failed)}.")
        raise typer.Exit(1)
    if not json:
        say(f"Batch {finished.batch.id}: {sums.rows_in} rows in, {sums.scored} scored, {sums.rejected} rejected.")


def replay(
    batch: BatchArgument,
    threads: ThreadsOption = None,
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Score an archived batch again with its pinned model. Exit code 1 when anything differs."""
    count = take_threads(threads)
    from inbox_watcher.explain.audit import find_finished, find_writing, planned_content
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import shared_tree
    from scoring.results.replay import replay_result

    loaded = load_site(site)
    models = shared_tree(loaded).models
    finished = find_finished(loaded, batch)
    echo, neutralise = find_writing(finished, loaded)
    with planned_content(finished, loaded) as content:
        found = replay_result(
            content,
            finished.receipt,
            finished.results,
            models,
            threads=count,
            echo=echo,
            neutralise=neutralise,
        )
    if json:
        print_json({"batch": finished.batch.id, **{name: getattr(found, name) for name in found.__struct_fields__}})
    elif found.identical:
        say(f"Batch {finished.batch.id}: identical, by {finished.receipt.model.version}.")
    if not found.identical:
        say(f"Batch {finished.batch.id}: {found.differing_lines} line(s) differ; {found.first_difference}.")
        raise typer.Exit(1)
