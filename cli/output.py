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


def console() -> Console:
    """Give a console on stdout; what is piped is never wrapped or cut."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)


def say(message: str) -> None:
    """Tell a person what goes on, on stderr, so that stdout stays the result's."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False)


def print_json(value: object) -> None:
    """Print one JSON document."""
    encoded = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2)
    sys.stdout.write(encoded.decode() + "\n")
