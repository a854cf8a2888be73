"""Node `preprocess`: one shard of the history, read by the reader that scoring uses, as arrays on disk."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scoring.errors import LoansError, ProofError
from training.history.labelled_loans import LabelledLoans, join_loans
from training.records.environment import limit_threads
from training.records.findings import ShardCounts
from training.records.outcome import run_node
from training.records.request import RunRequest, Shard, read_request


def read_shard(request: RunRequest, shard: Shard) -> tuple[LabelledLoans, ShardCounts]:
    """Read one shard and count what was rejected; no row is dropped without being counted.

    Raises FileRefusedError when the file as a whole cannot be read, ProofError when it is not the one that was planned.
    """
    # polars fixes its threads when it is imported, so that has to wait for the node's limit.
    from blake3 import blake3

    from scoring.csv.reader import read_loans
    from scoring.csv.source import open_source

    contract, path, digest = request.contract, Path(request.history[shard.file]), blake3()
    blocks: list[LabelledLoans] = []
    rejected: Counter[str] = Counter()
    source = open_source(path, contract, labelled=True)
    for block in read_loans(source, shard.chunk, contract, labelled=True, on_bytes=digest.update):
        values = block.values
        if values.labels is None:
            raise LoansError(f"The history file {path.name} was read without labels.")
        files = np.full(len(block.rows), shard.file, np.int32)
        blocks.append(LabelledLoans(values.features, values.labels, block.rows, files, values.monitors))
        rejected.update(reject.rule for reject in block.rejects)
    if digest.hexdigest() != shard.chunk.blake3:
        raise ProofError(
            f"The history file {path.name} was changed after the run was planned.", "Start the training run again."
        )
    loans = join_loans(blocks) if blocks else _no_loans(len(contract.features))
    counts = ShardCounts(shard.chunk.rows, len(loans), loans.defaults, dict(sorted(rejected.items())))
    if counts.kept + rejected.total() != counts.rows_in:
        raise ProofError(
            f"Shard {shard.number} has {counts.rows_in} rows, but {counts.kept} were kept and "
            f"{rejected.total()} rejected."
        )
    return loans, counts


def _no_loans(width: int) -> LabelledLoans:
    return LabelledLoans(
        np.empty((0, width), np.float32), np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int32), {}
    )


def preprocess(options: argparse.Namespace) -> ShardCounts:
    """Do the node's work: one shard of the history in, its loans as arrays out."""
    limit_threads(options.threads)
    request = read_request(options.request)
    shard = next((shard for shard in request.shards if shard.number == options.shard), None)
    if shard is None:
        raise LoansError(f"The run has no shard {options.shard}; it has {len(request.shards)}.")
    loans, counts = read_shard(request, shard)
    loans.save(options.loans)
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.nodes.preprocess", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--loans", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: preprocess(options), (options.loans,))


if __name__ == "__main__":
    sys.exit(main())
