"""`loans`: every command, and the one place that turns errors into words and exit codes."""

import errno
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from loans.commands import contract, generate, init, models, pool, proof, retrain, score, status, watch, why
from loans.terminal.output import open_streams, say

app = typer.Typer(
    name="loans",
    help="Batch loan scoring on your own HTCondor pool: drop a CSV into the inbox, read predictions in the outbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (init, generate, retrain, watch, score, status, why, proof):
    module.register(app)
app.add_typer(pool.app, name="pool")
app.add_typer(models.app, name="models")
app.add_typer(contract.app, name="contract")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("condor-loan-scoring"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before every command."""


_GLOBAL = {"--site": 2, "--json": 1}
"""Options that may also stand before the command, with the number of words that each takes."""


def run() -> None:
    """Run the command: exit code 0 done, 1 failed with the reason on stderr, 2 wrong use."""
    if sys.getfilesystemencoding() != "utf-8":
        # Site file and shared tree are UTF-8, whatever the locale of whoever asks.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 (no shell is wanted)
    open_streams()
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run a command line; give its exit code, or raise SystemExit with it."""
    try:
        try:
            app(_move_globals(arguments), prog_name="loans")
        finally:
            sys.stdout.flush()  # here, where trouble with it still becomes words
    except Exception as error:
        if _is_left_by_reader(error):
            # Nothing is wrong, and what is still to be flushed has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        words = _in_words(error)
        if words is None:
            raise
        say(words)
        return 1
    return 0


def _move_globals(arguments: list[str]) -> list[str]:
    """Move options of every command that stand before its name behind it."""
    moved: list[str] = []
    rest = list(arguments)
    while rest:
        name = rest[0].partition("=")[0]
        if name not in _GLOBAL:
            break
        words = 1 if "=" in rest[0] else _GLOBAL[name]
        moved, rest = moved + rest[:words], rest[words:]
    at = 2 if rest[:1] in (["pool"], ["models"], ["contract"]) else 1
    return rest[:at] + moved + rest[at:]


def _is_left_by_reader(error: Exception) -> bool:
    """Tell whether whoever read stdout went away, as `head` does; polars tells it in words alone."""
    return isinstance(error, OSError) and (error.errno == errno.EPIPE or f"(os error {errno.EPIPE})" in str(error))


def _in_words(error: Exception) -> str | None:
    """Give the words for an error that people can cause; None for one that only a defect can."""
    from dag_specs.errors import DagSpecError
    from local_pool.errors import PoolError
    from scoring.errors import LoansError

    if isinstance(error, LoansError | DagSpecError):
        return f"{error.what}\n{error.way_out}".strip()
    if isinstance(error, PoolError):
        return str(error)
    if isinstance(error, OSError):
        if error.filename:
            return f"{error.strerror or error}: {error.filename}"
        if error.errno is None:
            return str(error)
        return (
            f"The storage refused a file: {error.strerror}.\n"
            "Check that the shared storage and this machine's disks are mounted, writable and not full."
        )
    return None
