"""How commands speak: rich text for people, one JSON document on stdout for programs, reasons on stderr."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

SiteOption = Annotated[
    Path, typer.Option("--site", envvar="LOANS_SITE", help="The site file.", show_default=True, metavar="FILE")
]
JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document for programs.")]

_WIDE = 10_000

DEFAULT_SITE = Path("loans.toml")


def console(least: int = 0) -> Console:
    """Give a console on stdout, `least` characters wide at least; what is piped is never wrapped or cut."""
    if not sys.stdout.isatty():
        return Console(highlight=False, width=_WIDE)
    shown = Console(highlight=False)
    # A terminal wraps what is wider by itself, and cuts nothing.
    return shown if shown.width >= least else Console(highlight=False, width=least)


def say(message: str) -> None:
    """Tell a person what goes on, on stderr, so that stdout stays the result's."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False)


def print_json(value: object) -> None:
    """Print one JSON document."""
    encoded = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2)
    sys.stdout.write(encoded.decode() + "\n")
