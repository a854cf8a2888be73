"""`loans score`: one file, here, without HTCondor."""

from pathlib import Path
from typing import Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, print_json, say
from loans.terminal.sites import ThreadsOption, take_threads


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(score)


def score(
    file: Annotated[Path, typer.Argument(help="The CSV to score.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where predictions go; rejects and receipt beside it.", metavar="OUT")
    ],
    model: Annotated[
        str | None, typer.Option(help="A model version (default: the one in production).", metavar="VERSION")
    ] = None,
    challenger: Annotated[
        str | None, typer.Option(help="Compare with this version on every row.", metavar="VERSION")
    ] = None,
    threads: ThreadsOption = None,
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Score one file here, through the very code that a chunk job runs."""
    count = take_threads(threads)
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import shared_tree
    from scoring.chunk.challenger import Challenger
    from scoring.errors import ModelError
    from scoring.models.production import find_production
    from scoring.models.registry import read_manifest
    from scoring.results.challenger_report import describe_report
    from scoring.results.local_scoring import name_compared, name_results, score_file

    loaded = load_site(site)
    models = shared_tree(loaded).models
    if model is not None:
        _, pin = read_manifest(models, model)
    else:
        promotion = find_production(models)
        if promotion is None:
            raise ModelError("No model is in production.", "`loans retrain` trains and promotes one.")
        pin = promotion.pin
    rival = None
    if challenger is not None:
        _, pinned = read_manifest(models, challenger)
        rival = Challenger(pinned.version, pinned.manifest_sha256)
    receipt = score_file(
        file,
        output,
        models,
        pin,
        threads=count,
        max_reject_share=loaded.scoring.max_reject_share,
        max_unpacked_bytes=loaded.scoring.max_unpacked_bytes,
        echo=loaded.scoring.echo,
        neutralise=loaded.scoring.neutralise_formulas,
        challenger=rival,
    )
    if json:
        print_json(receipt)
        return
    results = name_results(output)
    say(f"{receipt.rows_in} rows: {receipt.scored} scored, {receipt.rejected} rejected, by {receipt.model.version}.")
    say(f"Predictions: {results.predictions}\nRejects: {results.rejects}\nReceipt: {results.receipt}")
    if receipt.challenger is not None:
        say(describe_report(receipt.challenger))
        if receipt.challenger.file is not None:
            say(f"Both probabilities of each row: {name_compared(output)}")
