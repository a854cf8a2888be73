"""Reading a shard: typed arrays out, every rejected row counted, and a failure that is readable."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scoring.contract import Contract
from training.history.labelled_loans import load_loans
from training.records.findings import ShardCounts
from training.records.outcome import FAILED, FUTILE, read_details, read_outcome
from training.records.request import RunRequest

GOOD = "{},30,50000,RENT,4,MEDICAL,B,6000,11.5,0.12,N,5,{}"


def write_history(path: Path, *rows: str) -> Path:
    """Write a labelled history with the given records."""
    header = (
        "id,person_age,person_income,person_home_ownership,person_emp_length,loan_intent,loan_grade,loan_amnt,"
        "loan_int_rate,loan_percent_income,cb_person_default_on_file,cb_person_cred_hist_length,loan_status"
    )
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_rejected_rows_are_counted(
    tmp_path: Path, make_request: Callable[..., RunRequest], run_here: Callable[..., dict[str, int]]
) -> None:
    """Rows that break the contract are counted by rule; rows in are kept plus rejected."""
    history = write_history(
        tmp_path / "history.csv",
        GOOD.format(1, 0),
        GOOD.format(2, 1),
        "3,30,50000,CASTLE,4,MEDICAL,B,6000,11.5,0.12,N,5,0",
        "4,30,50000,RENT,4,MEDICAL,B,much,11.5,0.12,N,5,0",
        "5,30,50000,RENT",
        GOOD.format(6, "maybe"),
        "7,30,50000,RENT,,MEDICAL,B,6000,,0.12,N,5,1",
    )
    request = make_request(history, shards=1)
    assert run_here(request, "preprocess-1") == {"preprocess-1": 0}
    counts = read_details(request.layout.outcome("preprocess-1"), ShardCounts)
    assert (counts.rows_in, counts.kept, counts.defaults) == (7, 3, 2)
    assert sum(counts.rejected.values()) == 4
    loans = load_loans(request.layout.shard(1))
    assert loans.rows.tolist() == [1, 2, 7]
    assert loans.labels.tolist() == [0, 1, 1]
    assert loans.features.dtype == np.float32
    assert np.isnan(loans.features[2]).sum() == 2
    assert loans.monitors["person_age"].tolist() == [30, 30, 30]


def test_records_without_content_are_no_loans(
    tmp_path: Path, make_request: Callable[..., RunRequest], run_here: Callable[..., dict[str, int]]
) -> None:
    """Records without content are counted apart from rows that break the contract, and at the end not at all."""
    hollow = "," * 12
    history = write_history(
        tmp_path / "history.csv", GOOD.format(1, 0), hollow, '"",,', "", GOOD.format(2, 1), *[hollow, "", " , ,"] * 20
    )
    request = make_request(history, shards=1)
    assert run_here(request, "preprocess-1") == {"preprocess-1": 0}
    counts = read_details(request.layout.outcome("preprocess-1"), ShardCounts)
    assert (counts.rows_in, counts.kept) == (5, 2)
    assert counts.rejected == {"blank_line": 1, "empty_record": 2}
    assert load_loans(request.layout.shard(1)).rows.tolist() == [1, 5]


def test_id_and_age_are_no_features(contract: Contract) -> None:
    """Neither the id nor a column that only watches reaches the model."""
    names = {column.name for column in contract.features}
    assert not names & {"id", "person_age", "loan_status"}


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_history_that_changes_is_refused(
    change: str,
    tmp_path: Path,
    make_request: Callable[..., RunRequest],
    run_here: Callable[..., dict[str, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A history file that is not the one that was planned fails the node: one line, one readable outcome, no loan."""
    history = write_history(tmp_path / "history.csv", *[GOOD.format(number, 0) for number in range(50)])
    request = make_request(history, shards=1)
    if change == "changed":
        history.write_text(history.read_text().replace("50000", "50001"))
    else:
        history.unlink()
    # A changed file stays changed; one that is gone may be a mount that comes back.
    assert run_here(request, "preprocess-1") == {"preprocess-1": FUTILE if change == "changed" else 1}
    outcome = read_outcome(request.layout.outcome("preprocess-1"), ShardCounts)
    assert outcome.state == FAILED
    assert "history.csv" in outcome.what
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert outcome.what in complaint
    assert "50001" not in json.dumps(request.layout.outcome("preprocess-1").read_text()) + complaint
