"""Scoring one file here: the same results as through chunks, nothing left behind, nothing of the user's overwritten."""

import csv
import os
from pathlib import Path

import pytest

from scoring.errors import FileRefusedError, LoansError, ModelError
from scoring.models.registry import Pin
from scoring.results.local_scoring import name_results, score_file
from scoring.results.verify import verify_result
from tests.unit.scoring.conftest import PlanRun, Registry

HEADER = b"id,amount,rate,years,grade,branch,purpose\n"
ROWS = b"1,2,3,4,A,6,CAR\n2,2,3,4,Z,6,CAR\n3,2,,4,A,6,\n"


def score(registry: Registry, path: Path, output: Path, threads: int = 1) -> tuple[int, int]:
    """Score a file and count what was scored and rejected."""
    receipt = score_file(path, output, registry.models, registry.pin, threads=threads)
    return receipt.scored, receipt.rejected


def test_results_are_those_of_chunks(tmp_path: Path, every_rule: Registry, plan_run: PlanRun) -> None:
    """A file scored here gives, byte for byte, what chunk jobs and the merge give, with one thread or two."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEADER + ROWS * 50)
    predictions, rejects, _ = plan_run(every_rule, HEADER + ROWS * 50, 7).score_and_publish()
    for threads in (1, 2):
        assert score(every_rule, path, tmp_path / "out.predictions.csv", threads) == (100, 50)
        assert (tmp_path / "out.predictions.csv").read_bytes() == predictions
        assert (tmp_path / "out.rejects.csv").read_bytes() == rejects
    assert sorted(os.listdir(tmp_path)) == [
        "loans.csv", "out.predictions.csv", "out.receipt.json", "out.rejects.csv", "run1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("output", "stem"),
    [("a.csv", "a"), ("a.predictions.csv", "a"), ("a", "a"), ("a.b.csv", "a.b"), (".csv", "")],
)
def test_results_stand_beside_each_other(output: str, stem: str) -> None:
    """Rejects and receipt are named after the predictions, whatever those are called."""
    names = name_results(Path("/x") / output)
    assert names.predictions == Path("/x") / output
    assert names.rejects == Path(f"/x/{stem}.rejects.csv")
    assert names.receipt == Path(f"/x/{stem}.receipt.json")


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("loans.csv", "loans.csv"),
        ("loans.rejects.csv", "loans.csv"),
        ("loans.rejects.csv", "loans.predictions.csv"),
        ("loans.receipt.json", "loans.csv"),
        ("loans.csv", "folder/../loans.csv"),
    ],
)
def test_input_is_never_overwritten(tmp_path: Path, every_rule: Registry, name: str, output: str) -> None:
    """A file that would be overwritten by its own predictions, rejects or receipt is refused and stays as it was."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    path.write_bytes(HEADER + ROWS)
    with pytest.raises(FileRefusedError):
        score(every_rule, path, tmp_path / output)
    assert path.read_bytes() == HEADER + ROWS


def test_link_to_the_input_is_not_overwritten(tmp_path: Path, every_rule: Registry) -> None:
    """An output that is another name for the input is refused."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEADER + ROWS)
    (tmp_path / "out.csv").symlink_to(path)
    with pytest.raises(FileRefusedError):
        score(every_rule, path, tmp_path / "out.csv")
    assert path.read_bytes() == HEADER + ROWS


@pytest.mark.parametrize("content", [b"", b"id,amount\n1,2\n", HEADER + b"x" * (3 << 20)])
def test_refused_file_leaves_nothing(tmp_path: Path, every_rule: Registry, content: bytes) -> None:
    """A file that is refused leaves no result, no part and no folder."""
    path = tmp_path / "loans.csv"
    path.write_bytes(content)
    with pytest.raises(FileRefusedError):
        score(every_rule, path, tmp_path / "out.csv")
    assert os.listdir(tmp_path) == ["loans.csv"]


def test_old_results_stay_when_scoring_fails(tmp_path: Path, every_rule: Registry) -> None:
    """Results of an earlier run are not touched by one that fails."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEADER + ROWS)
    score(every_rule, path, tmp_path / "out.csv")
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir() if entry.name != "loans.csv"}
    path.write_bytes(b"id\n")
    with pytest.raises(LoansError):
        score(every_rule, path, tmp_path / "out.csv")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir() if entry.name != "loans.csv"} == before


def test_other_model_is_refused(tmp_path: Path, every_rule: Registry) -> None:
    """A pin that does not fit, or names no version, scores nothing."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEADER + ROWS)
    for pin in (Pin(every_rule.pin.version, "0" * 64), Pin("none", every_rule.pin.manifest_sha256), Pin("../x", "")):
        with pytest.raises(ModelError):
            score_file(path, tmp_path / "out.csv", every_rule.models, pin, threads=1)
    assert os.listdir(tmp_path) == ["loans.csv"]


def test_a_cut_file_is_refused(tmp_path: Path, every_rule: Registry) -> None:
    """A file that ends within its last record is refused with its line; one without a last line end is not."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEADER + ROWS + b"9,2,3,4")
    with pytest.raises(FileRefusedError) as caught:
        score(every_rule, path, tmp_path / "out.csv")
    assert (caught.value.code, caught.value.line) == ("truncated", 5)
    path.write_bytes(HEADER + ROWS + b"9,2,3,4,A,6,CAR")
    assert score(every_rule, path, tmp_path / "out.csv") == (3, 1)


def test_formulas_are_neutralised_only_where_asked(tmp_path: Path, every_rule: Registry) -> None:
    """Ids and echoed texts stand byte for byte, or behind an apostrophe where a spreadsheet would run them."""
    ids = ["=1+1", "+1", "-1", "@x", "\tx", "1=1", "", "'=1", '"=a,b"']
    path = tmp_path / "loans.csv"
    rows = "".join(f"{one},2,3,4,A,6,CAR,{one}\n" for one in ids)
    # The name is one that polars takes for a pattern.
    path.write_bytes(HEADER.rstrip() + b",^memo$\n" + rows.encode())
    found = []
    for neutralise in (False, True):
        output = tmp_path / f"{neutralise}.csv"
        score_file(path, output, every_rule.models, every_rule.pin, threads=1, echo=("^memo$",), neutralise=neutralise)
        with output.open(newline="") as file:
            rows_out = list(csv.DictReader(file))
        assert [row["id"] for row in rows_out] == [row["^memo$"] for row in rows_out]
        found.append([row["id"] for row in rows_out])
    plain = [*ids[:-1], "=a,b"]
    assert found == [plain, [f"'{one}" if one[:1] in tuple("=+-@\t") else one for one in plain]]


def test_decimal_commas_are_told(tmp_path: Path, every_rule: Registry) -> None:
    """A number with a comma is rejected with what to do, where other marks separate fields; so is the file."""
    path = tmp_path / "loans.csv"
    path.write_bytes((HEADER + ROWS[:16] * 2).replace(b",", b";") + b"1;2,5;3;4;A;6;CAR\n1;x;3;4;A;6;CAR\n")
    assert score(every_rule, path, tmp_path / "out.csv") == (2, 2)
    comma, other = (tmp_path / "out.rejects.csv").read_text().splitlines()[1:]
    assert 'not_a_number,"amount is not a number. Write its decimals behind a point, not a comma."' in comma
    assert '"amount is not a number."' in other
    with pytest.raises(FileRefusedError) as caught:
        score_file(path, tmp_path / "out.csv", every_rule.models, every_rule.pin, threads=1, max_reject_share=0.1)
    assert "decimal commas: write them with a point" in caught.value.way_out
    assert caught.value.line == 4


def test_a_doubled_column_that_is_not_read_is_no_obstacle(tmp_path: Path, every_rule: Registry) -> None:
    """Columns that the model does not read may have one name, or none, as spreadsheets leave them behind."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEADER.rstrip() + b",memo,memo,,\n1,2,3,4,A,6,CAR,a,b,,\n2,2,3,4,A,6,CAR,a,b,,\n")
    assert score(every_rule, path, tmp_path / "out.csv") == (2, 0)
    path.write_bytes(HEADER.rstrip() + b",memo,memo,,\n1,2,3,4,Z,6,CAR,a,b,,\n2,2,3,4,A,6,CAR,a,b,,\n")
    assert score(every_rule, path, tmp_path / "out.csv") == (1, 1)


def test_records_without_content_are_no_loans(
    tmp_path: Path, reference: Registry, generated: bytes, lenient: Registry
) -> None:
    """Loans and 30 records without content: ignored at the end, rejected within, and the file is not refused."""
    lines = generated.splitlines(keepends=True)
    cases = [
        (reference, lines[0], lines[1:101]),
        (lenient, HEADER, [b"%d,2,3,4,A,6,CAR\n" % row for row in range(100)]),
    ]
    for registry, head, loans in cases:
        width = head.count(b",")
        for kind, record in enumerate((b"," * width, b",".join([b'""'] * (width + 1)), b" ," * width, b",,", b"\t")):
            hollow = [record + b"\n"] * 30
            files = {
                "plain": (loans, 0),
                "at the end": ([*loans, *hollow], 0),
                "at the end, mixed with empty lines": ([*loans, *hollow, b"\r\n", *hollow, b"\n\n"], 0),
                "within": ([*loans[:40], *hollow, *loans[40:], *hollow], 30),
                "first": ([*hollow, *loans], 30),
            }
            predictions = set()
            for name, (rows, rejected) in files.items():
                path, output = tmp_path / "loans.csv", tmp_path / f"{kind} {name}.csv"
                path.write_bytes(head + b"".join(rows))
                receipt = score_file(path, output, registry.models, registry.pin, threads=1, max_reject_share=0.2)
                found = (receipt.rows_in, receipt.scored, receipt.rejected)
                assert found == (100 + rejected, 100, rejected), (name, record)
                with name_results(output).rejects.open(newline="") as file:
                    assert [(row["rule"], row["raw"]) for row in csv.DictReader(file)] == [
                        ("empty_record", record.decode())
                    ] * rejected
                with output.open(newline="") as file:
                    predictions.add(tuple((row["id"], row["pd"]) for row in csv.DictReader(file)))
                checks = verify_result(path, receipt, name_results(output), registry.models)
                assert [check for check in checks if check.problem] == []
            assert len(predictions) == 1


@pytest.mark.parametrize("rest", [b",,,,,,\n" * 30, b'\n\n" ",,,,,,\n', b",,\n\t\n", b"   "])
def test_only_records_without_content_are_as_good_as_none(tmp_path: Path, lenient: Registry, rest: bytes) -> None:
    """A header and records without content give what a header alone gives: results without a row."""
    path = tmp_path / "loans.csv"
    results = []
    for content in (HEADER, HEADER + rest):
        path.write_bytes(content)
        assert score(lenient, path, tmp_path / "out.csv") == (0, 0)
        results.append([(tmp_path / name).read_bytes() for name in ("out.csv", "out.rejects.csv")])
    assert results[0] == results[1]


def test_a_loan_may_have_nothing_but_an_id(tmp_path: Path, lenient: Registry) -> None:
    """Where the contract lets every value be missing, an id or a remark alone makes a loan, as it did."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEADER.rstrip() + b",remark\n7,,,,,,,\n,,,,,6,,\n,,,,,,,x\n,,,,,,,\n1,2,3,4,A,6,CAR,\n,,,,,,,x\n")
    assert score(lenient, path, tmp_path / "out.csv") == (5, 1)
