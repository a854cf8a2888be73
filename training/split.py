"""Node `split`: all shards in order, divided into loans to fit on and loans held out. Nothing is fitted before."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.errors import LoansError
from training.findings import Part, SplitFigures
from training.labelled_loans import LabelledLoans, join_loans, load_loans
from training.outcome import run_node
from training.threads import limit_threads

FEWEST = 20
"""Loans of either outcome that a history must have."""


def split_positions(labels: NDArray[np.uint8], held_out: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw which loans are held out: the same share of each outcome, by `seed`; train and test positions, ascending.

    Raises LoansError when there are too few loans of either outcome.
    """
    stream = np.random.default_rng([seed, 1])
    tests = []
    for label, meaning in ((0, "that were repaid"), (1, "that defaulted")):
        positions = np.flatnonzero(labels == label)
        if len(positions) < FEWEST:
            raise LoansError(
                f"The history has {len(positions)} loans {meaning}; at least {FEWEST} are needed to learn from.",
                "Add labelled loans to the history folder, or check `positive` of the target in the contract.",
            )
        tests.append(stream.permutation(positions)[: max(1, round(len(positions) * held_out))])
    test = np.sort(np.concatenate(tests))
    train = np.setdiff1d(np.arange(len(labels)), test, assume_unique=True)
    return train, test


def split_loans(loans: LabelledLoans, held_out: float, seed: int) -> tuple[LabelledLoans, LabelledLoans]:
    """Divide loans into train and test. Raises LoansError when there are too few of either outcome."""
    train, test = split_positions(loans.labels, held_out, seed)
    return loans.take(train), loans.take(test)


def split(options: argparse.Namespace) -> SplitFigures:
    """Do the node's work: the shards in the order given in, both sides out."""
    limit_threads(options.threads)
    loans = join_loans([load_loans(path) for path in options.shards])
    train, test = split_loans(loans, options.held_out, options.seed)
    train.save(options.train)
    test.save(options.test)
    return SplitFigures(Part(len(train), train.defaults, train.digest()), Part(len(test), test.defaults, test.digest()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="training.split", description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--shards", type=Path, nargs="+", required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--held-out", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--outcome", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    return run_node(options.node, options.outcome, lambda: split(options))


if __name__ == "__main__":
    sys.exit(main())
