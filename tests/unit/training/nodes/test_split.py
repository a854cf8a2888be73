"""The split: each loan's own values and the seed decide its side, however the history was cut and whatever it holds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.contract import Contract
from scoring.errors import LoansError
from tests.unit.training.equal_loans import draw_banded_loans
from training.history.labelled_loans import LabelledLoans, join_loans, load_loans
from training.history.shards import plan_shards
from training.nodes.preprocess import read_shard
from training.nodes.split import FEWEST, split_loans, split_positions
from training.records.request import FORMAT, RunRequest

COUNTS = st.tuples(st.integers(60, 400), st.integers(60, 400), st.integers(0, 2**32))


def _loans(counts: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(counts[2])
    labels = stream.permutation(np.repeat(np.array([0, 1], np.uint8), counts[:2]))
    return stream.normal(size=(len(labels), 4)).astype(np.float32), labels


@settings(max_examples=50, deadline=None)
@given(counts=COUNTS, held_out=st.floats(0.2, 0.8), seed=st.integers(0, 2**32))
def test_a_loan_keeps_its_side(counts: tuple[int, int, int], held_out: float, seed: int) -> None:
    """Every loan lies on one side, and there it stays while the history grows and twins of it arrive."""
    features, labels = _loans(counts)
    train, test = split_positions(features, labels, held_out, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    more, outcomes = _loans((70, 70, counts[2] + 1))
    grown = np.concatenate([more, features[::-1], features[:20]])
    side = np.isin(
        np.arange(len(grown)),
        split_positions(grown, np.concatenate([outcomes, labels, labels[:20]]), held_out, seed)[1],
    )
    before = np.isin(np.arange(len(labels)), test)
    assert (side[140 : 140 + len(labels)] == before[::-1]).all()
    assert (side[140 + len(labels) :] == before[:20]).all()


@settings(max_examples=30, deadline=None)
@given(counts=COUNTS, shares=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)), seed=st.integers(0, 2**32))
def test_a_larger_share_holds_out_the_same_loans_and_more(
    counts: tuple[int, int, int], shares: tuple[float, float], seed: int
) -> None:
    """What a smaller share holds out, a larger one does too: a champion trained with the larger one saw none of it."""
    features, labels = _loans(counts)
    smaller, larger = (split_positions(features, labels, share, seed)[1] for share in sorted(shares))
    assert set(smaller) <= set(larger)


@pytest.mark.parametrize("held_out", [0.1, 0.2, 0.5])
def test_share_is_about_that_asked_for(held_out: float) -> None:
    """Of either outcome, the share that is held out is the one asked for, within five standard deviations."""
    features, labels = _loans((20_000, 3_000, 7))
    _, test = split_positions(features, labels, held_out, 0)
    for outcome, loans in ((0, 20_000), (1, 3_000)):
        share = np.count_nonzero(labels[test] == outcome) / loans
        assert abs(share - held_out) < 5 * np.sqrt(held_out * (1 - held_out) / loans)


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
    features = np.arange(500, dtype=np.float32)[:, None]
    with pytest.raises(LoansError, match="at least 20 are needed"):
        split_positions(features, labels, 0.2, 0)


def test_a_side_without_an_outcome_is_refused() -> None:
    """Defaults that are all the same loan lie on one side: nothing could be measured, and the reason is told."""
    labels = np.repeat(np.array([0, 1], np.uint8), [500, 30])
    features = np.concatenate([np.arange(500), np.full(30, -1)]).astype(np.float32)[:, None]
    with pytest.raises(LoansError, match="30 loans that defaulted, the draw puts all on one side") as caught:
        split_positions(features, labels, 0.2, 0)
    assert "seed" in caught.value.way_out


@pytest.mark.parametrize("seed", range(8))
def test_equal_loans_lie_on_one_side(seed: int) -> None:
    """Whatever their outcomes, loans with equal features lie on one side; a large group is never held out."""
    features, labels = draw_banded_loans(3_000, 5)
    features[: 3_000 // 10] = 9
    _, test = split_positions(features, labels, 0.2, seed)
    held_out = np.isin(np.arange(3_000), test)
    _, group = np.unique(features, axis=0, return_inverse=True)
    shares = np.bincount(group, held_out) / np.bincount(group)
    assert set(shares.tolist()) == {0.0, 1.0}
    assert not held_out[features[:, 0] == 9].any()


def test_a_group_that_becomes_large_is_learnt_from() -> None:
    """As the history grows, loans change their side in one case only: when their group becomes large."""
    features, labels = draw_banded_loans(3_000, 5)
    _, test = split_positions(features, labels, 0.2, 1)
    twin = features[test[0]]
    more = np.concatenate([features, np.repeat(twin[None], 400, axis=0)])
    _, later = split_positions(more, np.concatenate([labels, labels[:400]]), 0.2, 1)
    assert set(test) - set(later) == set(np.flatnonzero((features == twin).all(axis=1)))
    assert set(later) <= set(test)


def test_arrays_survive_the_disk(loans: LabelledLoans, tmp_path: Path) -> None:
    """What is saved is what is loaded; a damaged file is told in words."""
    path = tmp_path / "loans.npz"
    loans.save(path)
    assert load_loans(path).digest() == loans.digest()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LoansError, match="cannot be read"):
        load_loans(path)
