"""How many threads a command scores with."""

import os
from typing import Annotated

import typer

ThreadsOption = Annotated[int | None, typer.Option(help="Threads (default: one per core).", min=1)]


def take_threads(wanted: int | None = None) -> int:
    """Give the threads to score with, one per core unless told otherwise, and let polars have as many.

    To be called before anything imports polars: it asks once, when it is imported.
    """
    count = wanted or len(os.sched_getaffinity(0))
    os.environ["POLARS_MAX_THREADS"] = str(count)
    return count
