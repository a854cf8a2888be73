"""`loans generate`: synthetic loans of the reference schema."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from loans.terminal.output import JsonOption, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    rows: Annotated[int, typer.Argument(help="How many loans.", min=0)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The CSV to write; - for stdout.", metavar="FILE")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same loans.", min=0)] = 0,
    labelled: Annotated[
        bool, typer.Option("--labelled", metavar="", help="With the column loan_status (1 = default).")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write synthetic loans of the reference schema, streamed, any number of them."""
    from scoring.atomic import written_atomically
    from scoring.plain_file import refuse_odd_target
    from training.history.generate import generate_loans

    if str(output) == "-":
        if json:
            raise typer.BadParameter("stdout takes either the loans or a JSON document", param_hint="--json")
        generate_loans(rows, seed, labelled=labelled, sink=sys.stdout.buffer)
        return
    refuse_odd_target(output)
    with written_atomically(output) as file:
        generate_loans(rows, seed, labelled=labelled, sink=file)
    if json:
        print_json({"file": str(output.absolute()), "rows": rows, "seed": seed, "labelled": labelled})
    else:
        say(f"{rows:,} {'labelled ' if labelled else ''}loans are in {output}.")
