"""The split: a seeded, stratified partition that does not depend on how the history was cut."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.contract import Contract
from scoring.errors import LoansError
from training.labelled_loans import LabelledLoans, join_loans, load_loans
from training.preprocess import read_shard
from training.request import FORMAT, RunRequest
from training.shards import plan_shards
from training.split import FEWEST, split_loans, split_positions

LABELS = st.tuples(st.integers(FEWEST, 300), st.integers(FEWEST, 300), st.integers(0, 2**32)).map(
    lambda drawn: np.random.default_rng(drawn[2]).permutation(np.repeat(np.array([0, 1], np.uint8), drawn[:2]))
)


@settings(max_examples=50, deadline=None)
@given(labels=LABELS, held_out=st.floats(0.05, 0.95), seed=st.integers(0, 2**32))
def test_partition_is_stratified(labels: np.ndarray, held_out: float, seed: int) -> None:
    """Every loan lies on one side, each outcome is divided by the share asked for, and the seed decides."""
    train, test = split_positions(labels, held_out, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for outcome in (0, 1):
        assert np.count_nonzero(labels[test] == outcome) == round(np.count_nonzero(labels == outcome) * held_out)
    again = split_positions(labels, held_out, seed)
    assert (again[0] == train).all()
    assert (again[1] == test).all()


def test_another_seed_holds_out_others(loans: LabelledLoans) -> None:
    """Another seed gives another test side."""
    assert split_loans(loans, 0.2, 1)[1].digest() != split_loans(loans, 0.2, 2)[1].digest()


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_do_not_matter(history: Path, contract: Contract, loans: LabelledLoans, shards: int) -> None:
    """However many shards the history was read in, train and test are the same loans in the same order."""
    plan = plan_shards([history], contract, shards)
    request = RunRequest(FORMAT, "run", "/run", "/models", contract, (str(history),), plan, ("tree",))
    joined = join_loans([read_shard(request, shard)[0] for shard in plan])
    assert len(plan) == shards
    assert [side.digest() for side in split_loans(joined, 0.2, 5)] == [
        side.digest() for side in split_loans(loans, 0.2, 5)
    ]


@pytest.mark.parametrize("rare", [0, 1])
def test_too_few_of_an_outcome_are_refused(rare: int) -> None:
    """A history with hardly any defaults, or hardly any repaid loans, is refused with the way out."""
    labels = np.full(500, 1 - rare, np.uint8)
    labels[: FEWEST - 1] = rare
    with pytest.raises(LoansError, match="at least 20 are needed"):
        split_positions(labels, 0.2, 0)


def test_arrays_survive_the_disk(loans: LabelledLoans, tmp_path: Path) -> None:
    """What is saved is what is loaded; a damaged file is told in words."""
    path = tmp_path / "loans.npz"
    loans.save(path)
    assert load_loans(path).digest() == loans.digest()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LoansError, match="cannot be read"):
        load_loans(path)
