"""Node `split`: all shards in order, divided into loans to fit on and loans held out. Nothing is fitted before."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.errors import LoansError
from training.history.equal_loans import describe_groups, find_large_groups
from training.history.folds import SET_ASIDE, draw_folds
from training.history.labelled_loans import LabelledLoans, join_loans, load_loans
from training.history.loan_hash import hash_loans
from training.records.environment import limit_threads
from training.records.findings import Part, ShardCounts, SplitFigures
from training.records.outcome import read_details, run_node
from training.records.request import read_request
from training.records.run_folder import preprocess_node

FEWEST = 20
"""Loans of either outcome that a history must have."""


def split_positions(
    features: NDArray[np.float32], labels: NDArray[np.uint8], held_out: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Tell which loans are held out, about that share of each outcome; train and test positions, ascending.

    A loan's features and the seed decide its side: equal loans lie on one side, a loan stays on its side while the
    history grows, and what a smaller share holds out, a larger one holds out as well. So a model that was fitted on the
    train side of an earlier run with this seed and no smaller a share has seen none of today's held-out loans.

    Only large groups of equal loans (`training.history.equal_loans`) are never held out. A group that becomes large, or
    is large no longer, may change its side; a version names the groups that it learnt from for this reason.

    Raises LoansError when there are too few loans of either outcome, or the draw leaves a side without one.
    """
    hashes = hash_loans(features, seed)
    held = hashes < np.uint64(int(held_out * 2.0**64))
    large = find_large_groups(hashes)
    held &= ~large
    for label, meaning in ((0, "that were repaid"), (1, "that defaulted")):
        outcome = labels == label
        found = int(np.count_nonzero(outcome))
        if found < FEWEST:
            raise LoansError(
                f"The history has {found} loans {meaning}; at least {FEWEST} are needed to learn from.",
                "Add labelled loans to the history, or check `categories` and `positive` of the contract's target.",
            )
        together = int(np.count_nonzero(outcome & large))
        if not 0 < np.count_nonzero(outcome & held) < found:
            raise LoansError(
                f"Of the history's {found} loans {meaning}, the draw puts all on one side of the split.",
                f"Loans with equal features lie on one side, and large groups of them ({together:,} of these loans) "
                "are never held out. Add labelled loans to the history folder, or set another `seed` under [training] "
                "in the site file.",
            )
    return np.flatnonzero(~held), np.flatnonzero(held)


def split_loans(loans: LabelledLoans, held_out: float, seed: int) -> tuple[LabelledLoans, LabelledLoans]:
    """Divide loans into train and test. Raises LoansError when there are too few of either outcome."""
    train, test = split_positions(loans.features, loans.labels, held_out, seed)
    return loans.take(train), loans.take(test)


def split(options: argparse.Namespace) -> SplitFigures:
    """Do the node's work: the shards in the order of the history in, both sides out."""
    limit_threads(options.threads)
    request = read_request(options.request)
    layout = request.layout
    loans = join_loans([load_loans(layout.shard(shard.number)) for shard in request.shards])
    try:
        train, test = split_loans(loans, request.held_out, request.seed)
        # Asked here, once, so that not every fit comes to fail for it.
        drawn = draw_folds(train.features, train.labels, request.folds, request.seed)
    except LoansError as error:
        outcomes = [layout.outcome(preprocess_node(shard.number)) for shard in request.shards]
        told = describe_rejected([read_details(path, ShardCounts) for path in outcomes])
        raise LoansError(error.what + told, error.way_out) from error
    train.save(options.train)
    test.save(options.test)
    return SplitFigures(
        Part(len(train), train.defaults, train.digest()),
        Part(len(test), test.defaults, test.digest()),
        describe_groups(train.take(np.flatnonzero(drawn == SET_ASIDE)), request.seed),
    )


def describe_rejected(shards: Sequence[ShardCounts]) -> str:
    """Say how many rows of the history cannot be learnt from, and by which rules; empty where all can."""
    rules: Counter[str] = Counter()
    for shard in shards:
        rules.update(shard.rejected)
    if not rules:
        return ""
    rows = sum(shard.rows_in for shard in shards)
    told = ", ".join(f"{rule} {count:,}" for rule, count in rules.most_common())
    return f" Of its {rows:,} rows, {rules.total():,} broke the contract and were left out ({told})."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.nodes.split", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: split(options), (options.train, options.test))


if __name__ == "__main__":
    sys.exit(main())
