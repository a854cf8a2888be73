"""Score one chunk of a planned batch, or a list of small ones: the program that a job runs.

    python -m scoring.chunk.job --plan PLAN.json --chunk N [--threads T]
    python -m scoring.chunk.job --list CHUNKS.json [--threads T]

Exit code 0: the part is there, its outcome last. Otherwise one line on stderr that holds
nothing of a loan, and exit code 1, or EXIT_STORAGE where the storage refused for longer than the
job has patience: no file is to blame then. A chunk of a list that fails stops none of the others.
"""

import argparse
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoring.models.model import Model

_Result = TypeVar("_Result")

EXIT_STORAGE = 75
"""Exit code of a job that storage kept from its result (EX_TEMPFAIL of sysexits.h): it may well succeed later."""

_PATIENCE = 60.0
"""How long trouble of the storage is waited out here (seconds); the daemon submits again after that."""

_PATIENCE_FOR_ONE = 2.0
"""The same for chunks of a list of which others got through (seconds): these are told only when the job has ended."""

_LONGEST_PAUSE = 30.0
"""Longest wait between two trials (seconds)."""


def main(arguments: list[str] | None = None) -> int:
    """Run the program; give its exit code."""
    parser = argparse.ArgumentParser(prog="scoring.chunk.job", description="Score chunks of planned batches.")
    one_of = parser.add_mutually_exclusive_group(required=True)
    one_of.add_argument("--plan", type=Path, help="the batch's plan (JSON)")
    one_of.add_argument("--list", type=Path, help="a list of chunks of several batches (JSON)")
    parser.add_argument("--chunk", type=int, help="the chunk's number in the plan (0-based)")
    slot = os.environ.get("OMP_NUM_THREADS", "")  # may be a list: one number for each level of nesting
    slot_threads = int(slot) if slot.isdecimal() and int(slot) else 1
    parser.add_argument("--threads", type=int, default=slot_threads, help="threads to use: the slot's CPUs")
    words = "seconds for which trouble of the storage is waited out (default: %(default)s)"
    parser.add_argument("--patience", type=float, default=_PATIENCE, help=words)
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
            _score(options.plan, options.chunk, options.threads, options.patience)
            return 0
        return _score_listed(options.list, options.threads, options.patience)
    except Exception as error:  # noqa: BLE001 (whatever it is, the daemon needs to read why)
        from scoring.errors import is_storage_trouble

        what = "The list" if options.list else f"Chunk {options.chunk}"
        _say(_explain(what, options.list or options.plan, error))
        return EXIT_STORAGE if is_storage_trouble(error) else 1


def _close_to_others() -> None:
    """Keep what the job prints from the world; HTCondor made those files (0644) before the job had a say."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o660)


def _score(
    plan: Path,
    chunk: int,
    threads: int,
    patience: float,
    opener: "Callable[[Path, str, str, int], Model] | None" = None,
) -> None:
    from scoring.chunk.plan import read_batch_plan
    from scoring.chunk.score import score_chunk

    _waited_out(lambda: score_chunk(read_batch_plan(plan), chunk, threads=threads, opener=opener), patience)


def _waited_out(act: "Callable[[], _Result]", patience: float) -> "_Result":
    """Do something again, after longer and longer pauses, while the storage refuses it; `patience` in seconds."""
    from scoring.errors import is_storage_trouble

    pause = 1.0
    while True:
        try:
            return act()
        except Exception as error:  # swallows storage trouble alone, while there is patience; the rest goes on
            if patience <= 0 or not is_storage_trouble(error):
                raise
        time.sleep(min(pause, patience))
        patience -= pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def _score_listed(path: Path, threads: int, patience: float) -> int:
    """Score every chunk of a list whatever becomes of the others; give the exit code.

    A chunk that fails by itself says why in a file of its own. One that storage kept from its result says nothing
    there; it is told by the exit code. Trouble that every chunk meets is waited out, once for all of them; where others
    got through, it may be the file's own (nobody may read it, say), and they do not wait for it.
    """
    from functools import lru_cache

    from scoring.chunk.plan import read_chunk_list
    from scoring.errors import is_storage_trouble
    from scoring.models.model import open_model

    opener = lru_cache(maxsize=2)(open_model)
    kept_off = list(_waited_out(lambda: read_chunk_list(path), patience).chunks)
    failed, told, waits = 0, "", 0.0
    for is_first_pass in (True, False):
        due, kept_off = kept_off, []
        for item in due:
            try:
                _score(Path(item.plan), item.chunk, threads, 0.0 if kept_off else waits, opener)
            except Exception as error:  # noqa: BLE001 (a bad chunk costs only itself)
                why = _explain(f"Chunk {item.chunk}", Path(item.plan), error)
                if is_storage_trouble(error) or not _leave_words(Path(item.words), why):
                    kept_off.append(item)
                    told = why
                else:
                    failed += 1
        if is_first_pass:
            waits = patience if len(kept_off) == len(due) else min(patience, _PATIENCE_FOR_ONE)
            if not waits:
                break
    if kept_off:
        _say(f"{told} ({len(kept_off)} chunk(s) of the list met trouble of the storage)")
        return EXIT_STORAGE
    if failed:
        _say(f"{failed} chunk(s) of the list failed on {socket.gethostname()}; each says why beside its batch")
    return 1 if failed else 0


def _leave_words(path: Path, words: str) -> bool:
    """Say why a chunk of a list failed; tell whether the storage took it."""
    from scoring.errors import is_storage_trouble

    try:
        path.write_text(words + "\n")
    except OSError as error:
        return not is_storage_trouble(error)
    return True


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
    with suppress(OSError):  # what it prints to lies on the storage too; the exit code tells most
        print(words, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    code = main()
    # Not sys.exit: that fails with a code of its own where what could not be printed cannot be flushed.
    os._exit(code)
