"""Score one chunk of a planned batch: the program that a job runs.

    python -m scoring.score_chunk --plan PLAN.json --chunk N [--threads T]

Exit code 0: the part is there, its outcome last. Otherwise one line on stderr that holds
nothing of a loan, and exit code 1.
"""

import argparse
import errno
import os
import socket
import sys
import time
from pathlib import Path

_PASSING = frozenset((errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT))
"""Trouble of the storage that is waited out here, so that it does not use up the chunk's attempts."""

_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits between the trials (seconds)."""


def main(arguments: list[str] | None = None) -> int:
    """Run the program; give its exit code."""
    parser = argparse.ArgumentParser(prog="scoring.score_chunk", description="Score one chunk of a planned batch.")
    parser.add_argument("--plan", type=Path, required=True, help="the batch's plan (JSON)")
    parser.add_argument("--chunk", type=int, required=True, help="the chunk's number in the plan (0-based)")
    slot = os.environ.get("OMP_NUM_THREADS", "")  # may be a list: one number for each level of nesting
    slot_threads = int(slot) if slot.isdecimal() and int(slot) else 1
    parser.add_argument("--threads", type=int, default=slot_threads, help="threads to use: the slot's CPUs")
    options = parser.parse_args(arguments)
    # polars reads this once, when it is imported.
    os.environ["POLARS_MAX_THREADS"] = str(options.threads)
    try:
        _score(options.plan, options.chunk, options.threads)
    except Exception as error:  # noqa: BLE001 (whatever it is, the daemon needs to read why)
        _leave_word(options.plan, options.chunk, error)
        return 1
    return 0


def _score(plan: Path, chunk: int, threads: int) -> None:
    os.umask(0o007)
    from scoring.batch_plan import read_batch_plan
    from scoring.errors import StorageError
    from scoring.pipeline import score_chunk

    for pause in _PAUSES:
        try:
            score_chunk(read_batch_plan(plan), chunk, threads=threads)
        except (OSError, StorageError) as error:
            if isinstance(error, OSError) and error.errno not in _PASSING:
                raise
        else:
            return
        time.sleep(pause)
    score_chunk(read_batch_plan(plan), chunk, threads=threads)


def _leave_word(plan: Path, chunk: int, error: Exception) -> None:
    """Say why on stderr, without a word of the data: foreign errors may quote it."""
    from scoring.errors import LoansError, describe_defect

    if isinstance(error, LoansError):
        reason = error.what
    elif isinstance(error, OSError):
        reason = f"{error.strerror}: {error.filename or plan}"
    else:
        reason = describe_defect(error)
    reason = " ".join(reason.split())  # a path may hold line ends
    print(f"Chunk {chunk} failed on {socket.gethostname()}: {reason}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
