"""The golden rows of a candidate: every way in which nodes could differ, and nobody's application."""

import numpy as np
import pytest

from scoring.contract import REFERENCE, load_contract
from tests.unit.training.small_candidates import fit_small
from training.graphs.proof import build_golden_rows
from training.graphs.thresholds import find_thresholds
from training.history.labelled_loans import LabelledLoans
from training.learners.candidates import CANDIDATES


@pytest.mark.parametrize("name", list(CANDIDATES))
def test_golden_rows_cover_what_may_differ(name: str, loans: LabelledLoans) -> None:
    """A few dozen rows hold gaps in every column, unknown categories, and float32 steps around thresholds."""
    contract = load_contract(REFERENCE)
    pipeline = fit_small(name, contract, loans)
    rows = build_golden_rows(pipeline, contract, loans.features)
    assert 24 <= len(rows) <= 100
    assert np.isnan(rows).any(axis=0).all()
    assert np.isnan(rows).all(axis=1).any()
    for place, column in enumerate(contract.features):
        if not column.is_numeric:
            assert (rows[:, place] == len(column.categories)).any()
    thresholds = {(place, np.float32(value)) for place, value, _ in find_thresholds(pipeline, contract, loans.features)}
    hit = [
        (place, value)
        for place, value in thresholds
        if {np.nextafter(value, np.float32(-np.inf)), value, np.nextafter(value, np.float32(np.inf))}
        <= set(rows[:, place].tolist())
    ]
    assert hit
    applicants = {row.tobytes() for row in loans.features}
    assert not any(row.tobytes() in applicants for row in rows)
