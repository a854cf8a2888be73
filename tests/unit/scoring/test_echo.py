"""Further columns of the input that a site has echoed behind the predictions."""

import csv
import io

import msgspec
import pytest

from tests.unit.scoring.conftest import PlanRun, Registry, Run

BODY = (
    b"id,amount,rate,years,grade,branch,purpose,note,pd\n"
    b'7,10,1,2,A,x,CAR,"a, ""b""",mine\n'
    b"8,,1,2,A,x,CAR,rejected,mine\n"
    b"009, 12 ,1,2,B,y,HOME,,\n"
)


def with_echo(run: Run, *names: str) -> Run:
    """Give the run with columns to echo."""
    return Run(msgspec.structs.replace(run.batch, echo=names), run.target)


@pytest.mark.parametrize("chunks", [1, 3])
def test_columns_are_echoed_as_they_stand(every_rule: Registry, plan_run: PlanRun, chunks: int) -> None:
    """Named columns follow the predictions, features among them as text; one named like an output says it is input."""
    run = with_echo(plan_run(every_rule, BODY, chunks), "note", "amount", "pd", "not there", "note")
    predictions, _, receipt = run.score_and_publish()
    rows = list(csv.reader(io.StringIO(predictions.decode(), newline="")))
    assert rows[0] == ["id", "branch", "row_number", "pd", "model_version", "note", "amount", "pd (input)"]
    assert [row[:3] + row[5:] for row in rows[1:]] == [
        ["7", "x", "1", 'a, "b"', "10", "mine"],
        ["009", "y", "3", "", " 12 ", ""],
    ]
    assert (receipt.scored, receipt.rejected) == (2, 1)


def test_echo_changes_no_prediction(every_rule: Registry, plan_run: PlanRun) -> None:
    """With and without echoed columns, ids, row numbers and probabilities are the same bytes."""
    plain, _, _ = plan_run(every_rule, BODY).score_and_publish()
    echoed, _, _ = with_echo(plan_run(every_rule, BODY), "rate").score_and_publish()
    width = len(plain.splitlines()[0].split(b","))
    cut = [line.split(b",")[:width] for line in echoed.splitlines()]
    assert cut == [line.split(b",") for line in plain.splitlines()]


def test_repeated_column_is_not_echoed(every_rule: Registry, plan_run: PlanRun) -> None:
    """A column that stands twice in the file has no one value, so it is not echoed; the file is scored."""
    body = b"id,amount,rate,years,grade,branch,purpose,note,note\n7,10,1,2,A,x,CAR,a,b\n"
    predictions, _, _ = with_echo(plan_run(every_rule, body), "note").score_and_publish()
    assert predictions.splitlines()[0] == b"id,branch,row_number,pd,model_version"
    assert predictions.splitlines()[1].startswith(b"7,x,1,")
