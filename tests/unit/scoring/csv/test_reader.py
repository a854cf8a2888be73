"""A byte range → loans and rejects: any bytes are accounted for, and what is accepted equals a plain reading."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scoring.contract import Contract
from scoring.csv import chunks as ranges
from scoring.csv.chunks import Plan, plan_chunks
from scoring.csv.reader import read_loans
from scoring.csv.rejects import Reject
from scoring.csv.source import open_source
from scoring.errors import FileRefusedError, ProofError
from tests.unit.scoring.csv_bodies import CONTRACT, HEADER, LENIENT, bodies, hollow_bodies, mixed_body
from tests.unit.scoring.plain_reader import PlainLoan, PlainReject, read_plainly, trimmed

FIRST_LINE = (",".join(HEADER) + "\n").encode()


@dataclass(frozen=True)
class Read:
    """Everything that reading a file gave."""

    loans: list[PlainLoan]
    rejects: list[Reject]
    plan: Plan


def read_all(path: Path, contract: Contract, chunk_bytes: int = 1 << 30) -> Read:
    """Plan a file and read all its chunks."""
    plan = plan_chunks(open_source(path, contract), chunk_bytes)
    loans: list[PlainLoan] = []
    rejects: list[Reject] = []
    for chunk in plan.chunks:
        seen = bytearray()
        for block in read_loans(plan.source, chunk, contract, on_bytes=seen.extend):
            assert block.records == len(block.rows) + len(block.rejects)
            assert len(block.rows) == len(block.values.features) == block.values.ids.height
            loans += [
                PlainLoan(row, tuple(text or "" for text in ids), tuple(features))
                for row, ids, features in zip(
                    block.rows.tolist(), block.values.ids.rows(), block.values.features.tolist(), strict=True
                )
            ]
            rejects += block.rejects
        assert bytes(seen) == path.read_bytes()[chunk.start : chunk.stop]
    return Read(loans, rejects, plan)


def comparable(loans: list[PlainLoan]) -> list[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    """Let NaN equal NaN, and -0 differ from 0."""
    return [(loan.row, loan.ids, tuple(map(repr, loan.features))) for loan in loans]


def assert_read_plainly(path: Path, body: bytes, chunk_bytes: int = 1 << 30, contract: Contract = CONTRACT) -> None:
    """Compare what the engine reads with a plain reading."""
    path.write_bytes(FIRST_LINE + body)
    read = read_all(path, contract, chunk_bytes)
    loans, rejects = read_plainly(trimmed(body), HEADER, ",", contract)
    assert read.plan.rows == len(read.loans) + len(read.rejects)
    assert [
        PlainReject(reject.row, reject.line, reject.column, reject.raw, reject.rule == "empty_record")
        for reject in read.rejects
    ] == rejects
    assert comparable(read.loans) == comparable(loans)


GOOD_ROW = b"1,2,3,4,A,6,CAR,8\n"


@given(body=bodies)
@settings(max_examples=200)
@example(body="\ufeff".encode() + GOOD_ROW)
@example(body=b"x\x01" + GOOD_ROW)
@example(body="xڀ".encode() + GOOD_ROW)
@example(body=GOOD_ROW + GOOD_ROW[:-1] + b"\r")
@example(body=b"1\0" + GOOD_ROW)
@example(body=b"\t" + GOOD_ROW)
def test_any_bytes_are_read_as_plainly(tmp_path: Path, body: bytes) -> None:
    """For any bytes, loans, values, row numbers and rejects equal those of a plain reading; nothing is lost."""
    assert_read_plainly(tmp_path / "loans.csv", body)


@given(body=bodies, block=st.sampled_from([1, 2, 3, 13, 50, 200]), chunk=st.sampled_from([1, 60, 1 << 30]))
@settings(max_examples=100)
def test_block_and_chunk_ends_do_not_matter(tmp_path: Path, body: bytes, block: int, chunk: int) -> None:
    """For any bytes, the reading is the same wherever blocks and chunks end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "BLOCK", block * (1 + len(body) // 2_000))
        assert_read_plainly(tmp_path / "loans.csv", body, chunk)


@given(
    body=st.one_of(hollow_bodies, bodies),
    block=st.sampled_from([1, 7, 64, 4 << 20]),
    chunk=st.sampled_from([1, 60, 1 << 30]),
)
@settings(max_examples=200)
@example(body=b",,,,,,,\n" + GOOD_ROW, block=4 << 20, chunk=1 << 30)
@example(body=GOOD_ROW + b" ,,\t,,,,,\n" + GOOD_ROW, block=4 << 20, chunk=1 << 30)
@example(body=b",,,,,,,x\n7,,,,,,,\n,,,,,,,\n7,,,,,,,\n", block=4 << 20, chunk=1 << 30)
def test_records_without_content_are_no_loans(tmp_path: Path, body: bytes, block: int, chunk: int) -> None:
    """Where the contract lets every value be missing, a record without content is rejected or ignored all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "BLOCK", block * (1 + len(body) // 2_000))
        assert_read_plainly(tmp_path / "loans.csv", body, chunk, LENIENT)


@pytest.mark.parametrize("block", [40, 333, 5_000])
def test_every_kind_of_record_in_many_blocks(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and lines are counted right from block to block, through records of several lines and damaged ones."""
    monkeypatch.setattr(ranges, "BLOCK", block)
    assert_read_plainly(tmp_path / "loans.csv", mixed_body(400))
    assert_read_plainly(tmp_path / "loans.csv", mixed_body(400), 3_000)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_read_alike(tmp_path: Path, separator: str) -> None:
    """With another separator, commas are text, and a quoted separator does not separate."""
    header = separator.join(HEADER)
    body = separator.join(["a,b", "2", "3", "4", "D,E", f'"x{separator}y"', "CAR", "8"]) + "\n"
    path = tmp_path / "loans.csv"
    path.write_text(header + "\n" + body + body.replace('"', "") + body.replace("2", "2" + separator, 1))
    read = read_all(path, CONTRACT)
    assert [loan.ids for loan in read.loans] == [("a,b", f"x{separator}y")]
    assert [reject.rule for reject in read.rejects] == ["too_many_fields", "too_many_fields"]


def test_fields_that_even_out_are_noticed(tmp_path: Path) -> None:
    """One field too many here and one too few there are two rejects, though the separators add up."""
    path = tmp_path / "loans.csv"
    for body in (b"1,2,3,4,A,6,CAR\n1,2,3,4,A,6,CAR,8,9\n", b"1,2,3,4,A,6,CAR,8,9\n1,2,3,4,A,6,CAR\n"):
        path.write_bytes(FIRST_LINE + GOOD_ROW + body + GOOD_ROW)
        read = read_all(path, CONTRACT)
        assert [loan.row for loan in read.loans] == [1, 4]
        assert [reject.row for reject in read.rejects] == [2, 3]


def test_records_over_many_lines_in_a_long_file(tmp_path: Path) -> None:
    """Megabytes of quoted line ends are read row by row, with the right lines, however the parser divides its work."""
    text = b'"7\n","2",3,4,A,"one\n\ntwo, ""three""\r\n",CAR,8\n'
    count = 60_000
    path = tmp_path / "loans.csv"
    path.write_bytes(FIRST_LINE + text * count + b"x\n")
    plan = plan_chunks(open_source(path, CONTRACT), 1 << 30)
    blocks = list(read_loans(plan.source, plan.chunks[0], CONTRACT))
    assert sum(len(block.rows) for block in blocks) == count
    assert {ids for block in blocks for ids in block.values.ids.unique().rows()} == {("7\n", 'one\n\ntwo, "three"\r\n')}
    assert all((block.values.features == [2, 3, 4, 0, 0]).all() for block in blocks)
    (reject,) = blocks[-1].rejects
    assert (reject.row, reject.line, reject.raw) == (count + 1, 2 + 5 * count, b"x")


def test_stray_quote_costs_one_row(tmp_path: Path) -> None:
    """One stray quote among 300,000 rows costs that row alone, though other rows hold good quotes."""
    count, bad = 300_000, 123_456
    rows = [b'%d,2,3,4,A,"b,%d",CAR,\n' % (number, number % 7) for number in range(1, count + 1)]
    rows[bad - 1] = b'%d,2,3,4,A,6" pipe,CAR,\n' % bad
    path = tmp_path / "loans.csv"
    path.write_bytes(FIRST_LINE + b"".join(rows))
    plan = plan_chunks(open_source(path, CONTRACT), 1 << 30)
    blocks = list(read_loans(plan.source, plan.chunks[0], CONTRACT))
    rejects = [reject for block in blocks for reject in block.rejects]
    scored = np.concatenate([block.rows for block in blocks])
    ids = np.concatenate([block.values.ids["id"].to_numpy() for block in blocks]).astype(np.int64)
    assert plan.rows == count
    assert [(reject.row, reject.line, reject.rule, reject.raw) for reject in rejects] == [
        (bad, bad + 1, "stray_quote", rows[bad - 1][:-1])
    ]
    np.testing.assert_array_equal(scored, np.delete(np.arange(1, count + 1), bad - 1))
    np.testing.assert_array_equal(ids, scored)


def test_open_quotes_near_each_other_cost_few_rows(tmp_path: Path) -> None:
    """Several quotes that open and never close, near each other, cost their own rows and swallow no other."""
    bad = {500, 501, 503, 600, 601}
    rows = [
        b"%d,2,3,4,A,%s,CAR,\n" % (number, b'"6' if number in bad else b'"6"' if number % 3 else b"6")
        for number in range(1, 2_001)
    ]
    path = tmp_path / "loans.csv"
    path.write_bytes(FIRST_LINE + b"".join(rows))
    read = read_all(path, CONTRACT)
    assert [(reject.row, reject.line, reject.rule, reject.raw) for reject in read.rejects] == [
        (number, number + 1, "stray_quote", rows[number - 1][:-1]) for number in sorted(bad)
    ]
    assert [loan.ids[0] for loan in read.loans] == [str(n) for n in range(1, 2_001) if n not in bad]


def test_planned_range_that_grew_records_is_refused(tmp_path: Path) -> None:
    """A range that holds another number of records than was planned is refused, whatever its length."""
    path = tmp_path / "loans.csv"
    path.write_bytes(FIRST_LINE + GOOD_ROW * 3)
    plan = plan_chunks(open_source(path, CONTRACT), 1 << 30)
    path.write_bytes(FIRST_LINE + GOOD_ROW + GOOD_ROW.replace(b"\n", b"8") + GOOD_ROW)
    with pytest.raises(ProofError, match="2 records, 3 were planned"):
        list(read_loans(plan.source, plan.chunks[0], CONTRACT))


def test_range_that_was_cut_is_refused(tmp_path: Path) -> None:
    """A file that lost bytes after it was planned is refused."""
    path = tmp_path / "loans.csv"
    path.write_bytes(FIRST_LINE + GOOD_ROW * 3)
    plan = plan_chunks(open_source(path, CONTRACT), 1 << 30)
    path.write_bytes(FIRST_LINE + GOOD_ROW * 2)
    with pytest.raises(ProofError, match="ends 18 bytes before byte"):
        list(read_loans(plan.source, plan.chunks[0], CONTRACT))


def test_too_long_line_is_refused_when_planned(tmp_path: Path) -> None:
    """A line that no loan has refuses the file before any job reads it, wherever it stands."""
    path = tmp_path / "loans.csv"
    for lead in (0, 1_000, 220_000):
        path.write_bytes(FIRST_LINE + GOOD_ROW * lead + b"1,2,3" * (3 << 18) + b"\n" + GOOD_ROW)
        with pytest.raises(FileRefusedError) as refused:
            plan_chunks(open_source(path, CONTRACT), 1 << 30)
        assert refused.value.code == "line_too_long"
