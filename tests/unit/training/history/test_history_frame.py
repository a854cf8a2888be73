"""The history as a table: what the reader makes of it, in words."""

from pathlib import Path

import msgspec
import polars as pl
import pytest

from scoring.contract import Contract, Policy, Role
from scoring.errors import LoansError
from training.history.labelled_loans import read_history


def test_table_is_what_the_file_says(history: Path, contract: Contract) -> None:
    """Every loan of the file is there, with the values that another reader of CSV finds in it."""
    read = read_history([history], contract)
    raw = pl.read_csv(history)
    assert read.rejected == {}
    assert read.loans["row"].to_list() == list(range(1, len(raw) + 1))
    assert set(read.loans["file"]) == {history.name}
    assert read.loans["loan_status"].to_list() == (raw["loan_status"] == 1).to_list()
    for column in (*contract.features, *contract.monitors):
        mine, theirs = read.loans[column.name], raw[column.name]
        if column.categories:
            assert mine.cast(pl.String).to_list() == theirs.to_list()
        else:
            assert mine.to_list() == pytest.approx(theirs.cast(pl.Float32).to_list())


def test_what_is_missing_unknown_or_wrong_is_told(tmp_path: Path, contract: Contract) -> None:
    """A missing number and an unknown category are null, and a row that breaks the contract is counted by its rule."""
    columns = tuple(
        msgspec.structs.replace(column, unknown=Policy.ALLOW) if column.name == "loan_grade" else column
        for column in contract.columns
    )
    header = ",".join(column.name for column in columns)
    rows = (
        "1,30,50000,RENT,,MEDICAL,A,1000,10.5,0.02,N,3,0",
        "2,31,50000,RENT,4,MEDICAL,Z,1000,10.5,0.02,N,3,1",
        "3,32,50000,CASTLE,4,MEDICAL,A,1000,10.5,0.02,N,3,0",
    )
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for path in files:
        path.write_text("\n".join([header, *rows, ""]))
    read = read_history(files, msgspec.structs.replace(contract, columns=columns))
    assert sum(read.rejected.values()) == 2
    assert len(read.rejected) == 1
    assert read.loans["file"].to_list() == ["one.csv", "one.csv", "two.csv", "two.csv"]
    assert read.loans["person_emp_length"].to_list() == [None, 4.0, None, 4.0]
    assert read.loans["loan_grade"].to_list() == ["A", None, "A", None]
    assert read.loans["loan_status"].to_list() == [False, True, False, True]


def test_contract_without_target_is_told(history: Path, contract: Contract) -> None:
    """Without a target no loan has an outcome: that is an error for people."""
    columns = tuple(column for column in contract.columns if column.role is not Role.TARGET)
    with pytest.raises(LoansError, match="names no target"):
        read_history([history], msgspec.structs.replace(contract, columns=columns))
