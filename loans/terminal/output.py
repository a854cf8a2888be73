"""How commands speak: rich text for people, one JSON document on stdout for programs, reasons on stderr."""

import os
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


def open_streams() -> None:
    """Make stdout and stderr fit to print to, whatever they are.

    One that is closed swallows what it is given. What the locale's encoding does not have, and what of a file's name
    is no text at all, is shown as escapes.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open as long as the process is)
            setattr(sys, name, stream)
        stream.reconfigure(errors="backslashreplace")


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


def legible(name: str) -> str:
    """Give a file's name on one line of a terminal: controls, and bytes that are no text, are shown as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode-escape", "surrogatepass").decode()
        for character in _as_text(name)
    )


def print_json(value: object) -> None:
    """Print one JSON document (UTF-8, whatever the locale is)."""
    encoded = msgspec.json.encode(_with_text(msgspec.to_builtins(value, enc_hook=str)))
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.format(encoded, indent=2) + b"\n")


def _with_text(value: object) -> object:
    """Show bytes of file names that are no text as escapes, in a document of any depth."""
    if isinstance(value, str):
        return _as_text(value)
    if isinstance(value, dict):
        return {name: _with_text(item) for name, item in value.items()}
    return [_with_text(item) for item in value] if isinstance(value, list | tuple) else value


def _as_text(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
