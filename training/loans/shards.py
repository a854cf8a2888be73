"""The history, divided into shards: byte ranges that begin and end at records, each read by a node of its own."""

from collections.abc import Sequence
from pathlib import Path

from scoring.chunks import plan_chunks
from scoring.contract import Contract
from scoring.source import open_source
from training.loans.named_file import naming_file
from training.records.request import Shard

SHARDS = 2
"""Shards that a history is divided into, unless it has more files."""


def plan_shards(history: Sequence[Path], contract: Contract, wanted: int = SHARDS) -> tuple[Shard, ...]:
    """Divide the history into about `wanted` shards of like size, at least one for each file that holds rows.

    Reads every file once. Raises FileRefusedError when a file cannot be read by the contract or lacks a label,
    LoansError when it is absent, OSError as the storage does.
    """
    total = 0
    for path in history:
        with naming_file(path):
            total += path.stat().st_size
    shard_bytes = max(1, -(-total // max(1, wanted)))
    shards: list[Shard] = []
    for file, path in enumerate(history):
        with naming_file(path):
            plan = plan_chunks(open_source(path, contract, labelled=True), shard_bytes)
        shards += [Shard(len(shards) + number, file, chunk) for number, chunk in enumerate(plan.chunks, 1)]
    return tuple(shards)
