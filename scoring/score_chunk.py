"""Score one chunk of a planned batch, or a list of small ones: the program that a job runs.

    python -m scoring.score_chunk --plan PLAN.json --chunk N [--threads T]
    python -m scoring.score_chunk --list CHUNKS.json [--threads T]

Exit code 0: the part is there, its outcome last. Otherwise one line on stderr that holds
nothing of a loan, and exit code 1. A chunk of a list that fails stops none of the others.
"""

import argparse
import errno
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoring.model import Model

_PASSING = frozenset((errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT))
"""Trouble of the storage that is waited out here, so that it does not use up the chunk's attempts."""

_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits between the trials (seconds)."""


def main(arguments: list[str] | None = None) -> int:
    """Run the program; give its exit code."""
    parser = argparse.ArgumentParser(prog="scoring.score_chunk", description="Score chunks of planned batches.")
    one_of = parser.add_mutually_exclusive_group(required=True)
    one_of.add_argument("--plan", type=Path, help="the batch's plan (JSON)")
    one_of.add_argument("--list", type=Path, help="a list of chunks of several batches (JSON)")
    parser.add_argument("--chunk", type=int, help="the chunk's number in the plan (0-based)")
    slot = os.environ.get("OMP_NUM_THREADS", "")  # may be a list: one number for each level of nesting
    slot_threads = int(slot) if slot.isdecimal() and int(slot) else 1
    parser.add_argument("--threads", type=int, default=slot_threads, help="threads to use: the slot's CPUs")
    options = parser.parse_args(arguments)
    if (options.plan is None) != (options.chunk is None):
        parser.error("--plan and --chunk go together")
    if "_CONDOR_SCRATCH_DIR" in os.environ:
        _close_to_others()
    # polars reads this once, when it is imported.
    os.environ["POLARS_MAX_THREADS"] = str(options.threads)
    os.umask(0o007)
    try:
        if options.list is None:
            _score(options.plan, options.chunk, options.threads)
        elif failed := _score_listed(options.list, options.threads):
            _say(f"{failed} chunk(s) of the list failed on {socket.gethostname()}; each says why beside its batch")
            return 1
    except Exception as error:  # noqa: BLE001 (whatever it is, the daemon needs to read why)
        what = "The list" if options.list else f"Chunk {options.chunk}"
        _say(_explain(what, options.list or options.plan, error))
        return 1
    return 0


def _close_to_others() -> None:
    """Keep what the job prints from the world; HTCondor made those files (0644) before the job had a say."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o660)


def _score(
    plan: Path, chunk: int, threads: int, opener: "Callable[[Path, str, str, int], Model] | None" = None
) -> None:
    from scoring.batch_plan import read_batch_plan
    from scoring.errors import StorageError
    from scoring.pipeline import score_chunk

    for pause in _PAUSES:
        try:
            score_chunk(read_batch_plan(plan), chunk, threads=threads, opener=opener)
        except (OSError, StorageError) as error:
            if isinstance(error, OSError) and error.errno not in _PASSING:
                raise
        else:
            return
        time.sleep(pause)
    score_chunk(read_batch_plan(plan), chunk, threads=threads, opener=opener)


def _score_listed(path: Path, threads: int) -> int:
    """Score every chunk of a list whatever becomes of the others; tell how many failed."""
    from functools import lru_cache

    from scoring.chunk_list import read_chunk_list
    from scoring.model import open_model

    opener = lru_cache(maxsize=2)(open_model)
    failed = 0
    for item in read_chunk_list(path).chunks:
        words = Path(item.words)
        try:
            _score(Path(item.plan), item.chunk, threads, opener)
        except Exception as error:  # noqa: BLE001 (a bad chunk costs only itself)
            failed += 1
            words.write_text(_explain(f"Chunk {item.chunk}", Path(item.plan), error) + "\n")
    return failed


def _explain(what: str, plan: Path, error: Exception) -> str:
    """Say what went wrong on one line, without a word of the data: foreign errors may quote it."""
    from scoring.errors import LoansError, describe_defect

    if isinstance(error, LoansError):
        reason = error.what
    elif isinstance(error, OSError):
        reason = f"{error.strerror}: {error.filename or plan}"
    else:
        reason = describe_defect(error)
    reason = " ".join(reason.split())  # a path may hold line ends
    return f"{what} failed on {socket.gethostname()}: {reason}"


def _say(words: str) -> None:
    print(words, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
