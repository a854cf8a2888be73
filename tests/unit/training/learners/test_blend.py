"""The weights of a blend: the least log loss that a weighted mean reaches, and few members."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.learners.blend import LEAST_WEIGHT, find_weights


def _foretold(members: int, seed: int, loans: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Give probabilities of members that each see the truth through noise of their own, and outcomes."""
    stream = np.random.default_rng(seed)
    truth = stream.normal(-1.5, 1.5, loans)
    labels = (stream.random(loans) < 1 / (1 + np.exp(-truth))).astype(np.uint8)
    noise = stream.uniform(0.2, 2.0, (members, 1)) * stream.normal(size=(members, loans))
    return 1 / (1 + np.exp(-(truth + noise))), labels


def _log_loss(pd: np.ndarray, labels: np.ndarray) -> float:
    chance = np.maximum(np.where(labels == 1, pd, 1 - pd), 1e-6)
    return float(-np.log(chance).mean())


@settings(max_examples=40, deadline=None)
@given(members=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_weights_are_shares(members: int, seed: int) -> None:
    """Weights sum up to one, none is small without being nothing, and the blend is no worse than its best member."""
    foretold, labels = _foretold(members, seed)
    weights = find_weights(foretold, labels)
    assert weights.sum() == pytest.approx(1)
    assert all(weight == 0 or weight >= LEAST_WEIGHT for weight in weights)
    # Members that are dropped for their small weight cost next to nothing.
    assert _log_loss(weights @ foretold, labels) <= min(_log_loss(one, labels) for one in foretold) + 2e-3
    assert (find_weights(foretold, labels) == weights).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_two_members_are_weighed_as_a_search_would(seed: int) -> None:
    """With two members, no weight on a fine grid beats the one found by more than dropping small weights costs."""
    foretold, labels = _foretold(2, seed)
    found = _log_loss(find_weights(foretold, labels) @ foretold, labels)
    tried = [_log_loss(np.array([share, 1 - share]) @ foretold, labels) for share in np.linspace(0, 1, 201)]
    assert found <= min(tried) + 2e-3


def test_a_useless_member_is_dropped() -> None:
    """A member that knows nothing has no weight; one that is certain and wrong makes nothing impossible."""
    foretold, labels = _foretold(2, 5)
    ignorant, wrong = np.full(len(labels), 0.5), 1.0 - labels
    weights = find_weights(np.stack([foretold[0], ignorant, wrong, foretold[1]]), labels)
    assert weights[1] == weights[2] == 0
    assert weights[0] + weights[3] == pytest.approx(1)


def test_twins_share_their_weight_or_one_goes() -> None:
    """The same member twice makes the blend no other: the weights add up to what the one had."""
    foretold, labels = _foretold(2, 9)
    once, twice = (
        find_weights(foretold, labels),
        find_weights(np.stack([foretold[0], foretold[0], foretold[1]]), labels),
    )
    assert twice[0] + twice[1] == pytest.approx(once[0], abs=1e-3)
