"""Plans: chunks that begin and end at records, without gap or overlap, numbered, counted and hashed right."""

import hashlib
import io
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scoring.csv import chunks as ranges
from scoring.csv import records as empty_records
from scoring.csv.boundaries import MAX_RECORD
from scoring.csv.chunks import Plan, plan_chunks
from scoring.csv.source import open_source
from scoring.errors import FileRefusedError
from tests.unit.scoring.csv_bodies import CONTRACT, HEADER, bodies
from tests.unit.scoring.naive_grammar import split_records
from tests.unit.scoring.plain_reader import trimmed

FIRST_LINE = (",".join(HEADER) + "\n").encode()
ROW = b"1,2,3,4,A,6,CAR,8\n"


def plan_content(folder: Path, content: bytes, chunk_bytes: int) -> Plan:
    """Write and plan some content."""
    path = folder / "loans.csv"
    path.write_bytes(content)
    return plan_chunks(open_source(path, CONTRACT), chunk_bytes)


def assert_sound(plan: Plan, content: bytes, chunk_bytes: int) -> None:
    """Check everything that a plan says against the content, by means of its own."""
    start = plan.source.body
    body = trimmed(content[start:])
    found = split_records(body, ord(plan.source.separator), len(plan.source.header))
    edges = {start + first: row for row, (first, _, _) in enumerate(found, 1)}
    end = start + len(body)
    row = 1
    for number, chunk in enumerate(plan.chunks):
        assert chunk.number == number
        assert chunk.start == start
        assert edges[chunk.start] == chunk.first_row == row
        assert chunk.stop in edges or chunk.stop == end
        assert chunk.rows == edges.get(chunk.stop, len(found) + 1) - row > 0
        assert chunk.first_line == 1 + content.count(b"\n", 0, chunk.start)
        assert chunk.blake3 == blake3(content[chunk.start : chunk.stop]).hexdigest()
        # As short as a whole record allows, and no shorter than asked for unless it is the last.
        assert chunk.stop - chunk.start >= chunk_bytes or chunk.stop == end
        last = max(edge for edge in edges if edge < chunk.stop)
        assert last - chunk.start < chunk_bytes
        start, row = chunk.stop, row + chunk.rows
    assert start == end
    assert plan.rows == len(found) == row - 1
    assert plan.blake3 == blake3(content).hexdigest()


@given(
    body=bodies,
    chunk_bytes=st.sampled_from([1, 20, 100, 1 << 20]),
    block=st.sampled_from([1, 9, 64, 4 << 20]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
@settings(max_examples=200)
@example(body=ROW + b"\n\r\n\n", chunk_bytes=1, block=3, mark=b"")
@example(body=ROW[:-1] + b"\r", chunk_bytes=1, block=3, mark=b"")
@example(body=b'"\n\n\n', chunk_bytes=1, block=1, mark=b"")
def test_plan_of_any_bytes_is_sound(tmp_path: Path, body: bytes, chunk_bytes: int, block: int, mark: bytes) -> None:
    """Any bytes are planned without gap or overlap; rows, lines and hashes are those of a plain count."""
    content = mark + FIRST_LINE + body
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "BLOCK", block)
        plan = plan_content(tmp_path, content, chunk_bytes)
    assert_sound(plan, content, chunk_bytes)


@given(lines=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), max_size=12).map(b"".join), window=st.integers(2, 9))
@example(lines=b"\n" * 9, window=3)
def test_empty_lines_at_the_end_belong_to_no_chunk(tmp_path: Path, lines: bytes, window: int) -> None:
    """Empty lines at the end are no records, however far back the last row is, and are hashed with the file."""
    content = FIRST_LINE + ROW[:-1] + lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(empty_records, "_FIRST_WINDOW", window)
        plan = plan_content(tmp_path, content, 1)
    (chunk,) = plan.chunks
    assert plan.rows == chunk.rows == 1
    assert content[chunk.start : chunk.stop].rstrip(b"\r\n") == ROW[:-1]
    assert content[chunk.start : chunk.stop].count(b"\n") <= 1
    assert plan.blake3 == blake3(content).hexdigest()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n", b"\r\n\r\n"])
def test_header_alone_has_no_chunk(tmp_path: Path, end: bytes) -> None:
    """A file of a header and nothing else is a plan without chunks and rows, hashed all the same."""
    content = FIRST_LINE.rstrip() + end
    plan = plan_content(tmp_path, content, 10)
    assert plan.chunks == ()
    assert plan.rows == 0
    assert plan.blake3 == blake3(content).hexdigest()


@pytest.mark.parametrize("wanted", [1, 2, 7, 64])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_about_as_many_chunks_as_wanted(tmp_path: Path, wanted: int, ending: bytes) -> None:
    """A file of like rows is cut into the number of chunks that its size was divided by."""
    rows = ROW.replace(b"\n", ending) * 2_000
    plan = plan_content(tmp_path, FIRST_LINE + rows, -(-len(rows) // wanted))
    assert wanted - 1 <= len(plan.chunks) <= wanted
    assert_sound(plan, FIRST_LINE + rows, -(-len(rows) // wanted))


def test_lines_are_counted_through_records_over_many_lines(tmp_path: Path) -> None:
    """Each chunk knows the physical line on which it starts, though its records have several lines each."""
    record = b'"a\n\nb",2,3,4,A,"x\r\ny",CAR,8\r\n'
    plan = plan_content(tmp_path, FIRST_LINE + record * 50, 3 * len(record))
    assert [chunk.first_line for chunk in plan.chunks] == [2 + 12 * number for number in range(17)]
    assert [chunk.first_row for chunk in plan.chunks] == [1 + 3 * number for number in range(17)]


def test_file_of_several_blocks_is_planned_as_read(tmp_path: Path) -> None:
    """A file that is larger than what is read at once, quotes here and there, is planned whole and hashed right."""
    rows = io.BytesIO()
    for number in range(300_000):
        rows.write(b'%d,2,3,4,A,"b,\n%d",CAR,8\n' % (number, number) if number % 1000 == 7 else ROW)
    content = FIRST_LINE + rows.getvalue()
    plan = plan_content(tmp_path, content, 1 << 20)
    assert len(content) > ranges.BLOCK
    assert plan.rows == sum(chunk.rows for chunk in plan.chunks) == 300_000
    joined = b"".join(content[chunk.start : chunk.stop] for chunk in plan.chunks)
    assert hashlib.sha256(FIRST_LINE + joined).digest() == hashlib.sha256(content).digest()
    for chunk in plan.chunks:
        assert chunk.blake3 == blake3(content[chunk.start : chunk.stop]).hexdigest()
        assert chunk.first_line == 1 + content.count(b"\n", 0, chunk.start)
        before = content[len(FIRST_LINE) : chunk.start]
        assert chunk.first_row == 1 + before.count(b",8\n")


@pytest.mark.parametrize("quoted", [b"", b'"q"'], ids=["plain", "quoted"])
@pytest.mark.parametrize("block", [1 << 16, 4 << 20])
def test_a_line_that_is_too_long_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, quoted: bytes
) -> None:
    """The refusal tells the line's number in the file, in whatever buffers the file was read."""
    monkeypatch.setattr(ranges, "BLOCK", block)
    row = ROW.replace(b"CAR", b'"CAR"') if quoted else ROW
    content = FIRST_LINE + row * 70_000 + b"x" * (MAX_RECORD + 1) + b"\n" + row * 9
    with pytest.raises(FileRefusedError) as refused:
        plan_content(tmp_path, content, 1 << 20)
    assert (refused.value.code, refused.value.line) == ("line_too_long", 70_002)
