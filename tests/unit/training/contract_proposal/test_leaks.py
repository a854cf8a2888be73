"""Columns that tell the outcome: found where they tell all, and only there."""

import numpy as np
import pytest

from scoring.contract import Column, Contract, Role, Type
from training.contract_proposal.leaks import FEWEST, TELLING, LeakSample, measure_column

NUMBER = Column("x", Role.FEATURE, Type.NUMBER)
CATEGORY = Column("c", Role.FEATURE, Type.CATEGORY, categories=("a", "b", "c"))


@pytest.mark.parametrize("share", [0.02, 0.14, 0.5])
def test_a_telling_number_is_found(share: float) -> None:
    """A number that is higher (or missing) for every default is a leak, however rare defaults are."""
    draw = np.random.default_rng(4)
    labels = (draw.random(20_000) < share).astype(np.uint8)
    noise = draw.random(20_000).astype(np.float32)
    assert measure_column(noise + labels, labels, NUMBER) >= TELLING
    assert measure_column(noise - labels, labels, NUMBER) >= TELLING
    assert measure_column(np.where(labels == 1, np.float32(np.nan), noise), labels, NUMBER) >= TELLING


def test_an_honest_number_is_none() -> None:
    """Neither noise nor a strong predictor (area under the ROC curve about 0.9) is taken for a leak."""
    draw = np.random.default_rng(4)
    labels = (draw.random(3_000) < 0.2).astype(np.uint8)
    noise = draw.normal(size=3_000).astype(np.float32)
    assert 0.5 <= measure_column(noise, labels, NUMBER) < 0.65
    assert 0.85 < measure_column(noise + 1.8 * labels.astype(np.float32), labels, NUMBER) < 0.95


def test_the_area_is_that_of_the_rates() -> None:
    """The area under the ROC curve equals that of ranking each loan by its category's default rate, ties halved."""
    draw = np.random.default_rng(5)
    codes = draw.integers(0, 4, 900).astype(np.float32)
    codes[codes == 3] = np.nan
    labels = (draw.random(900) < np.where(np.isnan(codes), 0.3, 0.2 + 0.2 * codes)).astype(np.uint8)
    groups = np.nan_to_num(codes, nan=3)
    rates = np.array([labels[groups == group].mean() for group in range(4)])[groups.astype(int)]
    bad, good = rates[labels == 1], rates[labels == 0]
    pairs = (bad[:, None] > good).mean() + (bad[:, None] == good).mean() / 2
    assert measure_column(codes, labels, CATEGORY) == pytest.approx(pairs)


def test_few_loans_say_nothing() -> None:
    """With fewer loans of an outcome than FEWEST no column is called a leak."""
    contract = Contract(1, "any", (Column("id", Role.ID), NUMBER))
    for bad in (FEWEST - 1, FEWEST):
        labels = np.repeat(np.array([0, 1], np.uint8), [500, bad])
        sample = LeakSample()
        sample.add(labels[:, None].astype(np.float32), labels, np.arange(1, len(labels) + 1))
        assert set(sample.find_leaks(contract)) == (set() if bad < FEWEST else {"x"})
    assert LeakSample().find_leaks(contract) == {}


def test_the_sample_is_bounded_and_even() -> None:
    """However many loans are added, and in which blocks, the same bounded, evenly spaced ones are kept."""
    kept = []
    for block in (1_000, 7_777, 100_000):
        sample = LeakSample()
        for start in range(0, 100_000, block):
            rows = np.arange(start + 1, min(start + block, 100_000) + 1)
            sample.add(rows[:, None].astype(np.float32), (rows % 2).astype(np.uint8), rows)
        kept.append(np.concatenate(sample._rows).tolist())
    assert kept[0] == kept[1] == kept[2]
    assert kept[0] == list(range(4, 100_001, 4))
