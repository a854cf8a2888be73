"""Generated loans: seeded, streamed, lawful and worth learning from."""

import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.contract import REFERENCE, Role, Type, load_contract
from scoring.errors import LoansError
from training.history.generate import generate_loans

HEADER = (
    "id,person_age,person_income,person_home_ownership,person_emp_length,loan_intent,loan_grade,loan_amnt,"
    "loan_int_rate,loan_percent_income,cb_person_default_on_file,cb_person_cred_hist_length"
)
SEEDS = st.integers(0, 2**63)


def generate(rows: int, seed: int, *, labelled: bool = True, block_rows: int = 64) -> bytes:
    """Generate loans into memory, in small blocks unless told otherwise."""
    sink = io.BytesIO()
    generate_loans(rows, seed, labelled=labelled, sink=sink, block_rows=block_rows)
    return sink.getvalue()


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(0, 300), seed=SEEDS, labelled=st.booleans())
def test_any_number_of_rows(rows: int, seed: int, labelled: bool) -> None:  # noqa: FBT001
    """Any number of rows comes out, under the header of the reference file, ids counted from 0."""
    lines = generate(rows, seed, labelled=labelled).decode().splitlines()
    assert lines[0] == HEADER + (",loan_status" if labelled else "")
    assert [line.split(",")[0] for line in lines[1:]] == [str(number) for number in range(rows)]


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(0, 200), more=st.integers(0, 200), seed=SEEDS)
def test_longer_file_begins_with_shorter(rows: int, more: int, seed: int) -> None:
    """The first rows of a longer file are the rows of the shorter one, byte for byte."""
    assert generate(rows + more, seed).startswith(generate(rows, seed))


def test_seed_decides_everything() -> None:
    """The same seed gives the same bytes, another seed others."""
    assert generate(500, 3) == generate(500, 3)
    assert generate(500, 3) != generate(500, 4)


def test_label_is_all_that_labelled_adds() -> None:
    """Without labels the loans are the same, less the last column."""
    labelled, plain = generate(150, 5).splitlines(), generate(150, 5, labelled=False).splitlines()
    assert [line.rpartition(b",")[0] for line in labelled] == plain


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_values_keep_the_contract(seed: int) -> None:
    """Every value is one that the reference contract accepts, and the share of income is the quotient."""
    frame = pl.read_csv(generate(2_000, seed, block_rows=1_000), infer_schema=False)
    for column in load_contract(REFERENCE).columns:
        texts = frame[column.name]
        if column.is_numeric:
            numbers = texts.cast(pl.Float64).drop_nulls()
            assert column.minimum is not None
            assert column.maximum is not None
            assert numbers.is_between(column.minimum, column.maximum).all()
            assert column.type is not Type.INTEGER or (numbers % 1 == 0).all()
        elif column.role is not Role.ID:
            assert set(texts) <= set(column.categories)
    share = frame["loan_amnt"].cast(pl.Float64) / frame["person_income"].cast(pl.Float64)
    assert (share.to_numpy().round(2) == frame["loan_percent_income"].cast(pl.Float64).to_numpy()).all()


def test_loans_look_like_loans() -> None:
    """About one loan in seven defaults, bad grades cost and default more, and few values are missing."""
    frame = pl.read_csv(generate(60_000, 1, block_rows=65_536))
    assert 0.13 < frame["loan_status"].mean() < 0.155  # type: ignore[operator]
    by_grade = frame.group_by("loan_grade").agg(pl.col("loan_int_rate", "loan_status").mean()).sort("loan_grade")
    assert by_grade["loan_int_rate"].is_sorted()
    assert by_grade["loan_status"][3] > 3 * by_grade["loan_status"][2]
    missing = {name: count for name, count in frame.null_count().row(0, named=True).items() if count}
    assert set(missing) == {"person_emp_length", "loan_int_rate"}
    assert all(0.02 < count / len(frame) < 0.05 for count in missing.values())
    assert 50_000 < np.median(frame["person_income"]) < 65_000


@pytest.mark.parametrize(("rows", "seed", "block_rows"), [(-1, 0, 10), (1, -1, 10), (1, 0, 0)])
def test_impossible_wishes_are_refused(rows: int, seed: int, block_rows: int) -> None:
    """A negative number of rows, a negative seed or an empty block is refused in words."""
    with pytest.raises(LoansError, match="Cannot generate"):
        generate(rows, seed, block_rows=block_rows)
