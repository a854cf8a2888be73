"""The history, divided into shards: byte ranges that begin and end at records, each read by a node of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scoring.contract import Contract
from scoring.csv.chunks import plan_chunks
from scoring.csv.source import open_source
from training.history.history_files import naming_file
from training.records.request import Shard

SHARDS: Final = 2
"""Shards that a history is divided into, unless it has more files."""

FEW_SHARDS: Final = 8
"""Shards that even a small history is divided into where the pool has room for them."""

SHARD_BYTES: Final = 32 << 20
"""Bytes below which a further shard does not pay: a node takes longer to start than they take to read."""


def choose_shards(size: int, least: int, places: int) -> int:
    """Return the number of shards for a history of `size` bytes on a pool that runs `places` nodes at a time.

    At least `least`; more only where the pool runs them all at once, and beyond FEW_SHARDS only where each has
    SHARD_BYTES or more.
    """
    return max(least, min(places, max(FEW_SHARDS, size // SHARD_BYTES)))


def measure_history(history: Sequence[Path]) -> int:
    """Return the size of all files (bytes). Raises LoansError when one is absent, OSError as the storage does."""
    total = 0
    for path in history:
        with naming_file(path):
            total += path.stat().st_size
    return total


def plan_shards(history: Sequence[Path], contract: Contract, wanted: int = SHARDS) -> tuple[Shard, ...]:
    """Divide the history into about `wanted` shards of like size, at least one for each file that holds rows.

    Reads every file once. Raises FileRefusedError when a file cannot be read by the contract or lacks a label,
    LoansError when it is absent, OSError as the storage does.
    """
    shard_bytes = max(1, -(-measure_history(history) // max(1, wanted)))
    shards: list[Shard] = []
    for file, path in enumerate(history):
        with naming_file(path):
            plan = plan_chunks(open_source(path, contract, labelled=True), shard_bytes)
        shards += [Shard(len(shards) + number, file, chunk) for number, chunk in enumerate(plan.chunks, 1)]
    return tuple(shards)
