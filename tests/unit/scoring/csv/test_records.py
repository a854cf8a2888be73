"""What is said of the structure of records: the verdicts, their priority, lines and offsets."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.csv.boundaries import Shape
from scoring.csv.records import (
    BLANK,
    EMPTY,
    GOOD,
    LONG_FIELD,
    MAX_FIELD,
    NOT_TEXT,
    NUL_BYTE,
    STRAY_CR,
    STRAY_QUOTE,
    TOO_FEW,
    TOO_MANY,
    find_content_end,
    index_records,
    is_regular,
)
from tests.unit.scoring.csv_bodies import bare_records, bodies, broken_records
from tests.unit.scoring.naive_grammar import split_records
from tests.unit.scoring.plain_reader import is_empty, split_fields

SHAPE = Shape(ord(","), 3)


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (b"1,2,3", GOOD),
        (b',"",x', GOOD),
        (b',"",', EMPTY),
        (b",,", EMPTY),
        (b" ,\t,  ", EMPTY),
        (b",", EMPTY),
        (b",,,,,", EMPTY),
        (b'" ","\t"', EMPTY),
        (b'""', EMPTY),
        (b"  ", EMPTY),
        (b",," + b" " * (MAX_FIELD + 1), EMPTY),
        (b',,","', GOOD),
        (b',,"\n"', GOOD),
        (b',,""""', GOOD),
        (b',, ""', STRAY_QUOTE),
        (b',,"" ', STRAY_QUOTE),
        (b",\0,", NUL_BYTE),
        (b",\r,", STRAY_CR),
        (b'"a,b",2,3', GOOD),
        (b'"a""b","x\ny","p\r\nq"', GOOD),
        (b"1,2", TOO_FEW),
        (b'"1,2,3"', TOO_FEW),
        (b"1,2,3,", TOO_MANY),
        (b'1"2,2,3', STRAY_QUOTE),
        (b'"1"2,2,3', STRAY_QUOTE),
        (b'1,2,"3', STRAY_QUOTE),
        (b'1, "2",3', STRAY_QUOTE),
        (b"", BLANK),
        (b"1,\0,3", NUL_BYTE),
        (b"\0", NUL_BYTE),
        (b"1,2," + b"x" * MAX_FIELD, GOOD),
        (b"1,2," + b"x" * (MAX_FIELD + 1), LONG_FIELD),
        (b"x" * (MAX_FIELD + 1) + b",2,3", LONG_FIELD),
        (b"1,2\r,3", STRAY_CR),
        (b'1,"2\r",3', STRAY_CR),
        (b"1,\xff,3", NOT_TEXT),
        (b'1,"\xff,3', NOT_TEXT),
        (b"1,\xc3", NOT_TEXT),
        (b'1,2"\0,3', STRAY_QUOTE),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_verdict_of_a_record(record: bytes, verdict: int, end: bytes) -> None:
    """Each way to be damaged gets its verdict, between sound records that keep theirs, and content without line end."""
    body = b'1,2,3\n"4",5,6\r\n' + record + end + b"7,8,9" + end
    index = index_records(body, SHAPE, final=True)
    assert index.verdicts.tolist() == [GOOD, GOOD, verdict, GOOD]
    assert body[index.starts[2] : index.ends[2]] == record
    assert index.lines.tolist() == [0, 1, 2, 3 + record.count(b"\n")]


def test_records_of_one_column(tmp_path: Path) -> None:
    """Where a record has one field, blanks and quoted blanks make it empty, and an empty line is still one."""
    body = b'1\n""\n  \n\n" "\r\n","\n2\n'
    index = index_records(body, Shape(ord(","), 1), final=True)
    assert index.verdicts.tolist() == [GOOD, EMPTY, EMPTY, BLANK, EMPTY, GOOD, GOOD]
    path = tmp_path / "one.csv"
    path.write_bytes(b"x\n" + body + body[2:8])
    assert find_content_end(path, 2, ord(",")) == 2 + len(body)


@pytest.mark.parametrize("content", [b"1,2,3\r", b"\r"])
def test_one_return_belongs_to_a_line_end(content: bytes) -> None:
    """Of two carriage returns before a line feed only the second is part of the line end."""
    index = index_records(b"1,2,3\n" + content + b"\r\n1,2,3\n", SHAPE, final=True)
    assert index.verdicts.tolist() == [GOOD, STRAY_CR, GOOD]
    assert index.ends[1] - index.starts[1] == len(content)


@pytest.mark.parametrize("end", [b"", b"\r"])
def test_last_record_may_lack_its_line_end(end: bytes) -> None:
    """At the end of the data a record is complete without a line feed; one carriage return is part of the end."""
    index = index_records(b"1,2,3\n4,5,6" + end, SHAPE, final=True)
    assert index.verdicts.tolist() == [GOOD, GOOD]
    assert index.ends.tolist() == [5, 11]


@given(body=bodies)
@settings(max_examples=150)
def test_verdicts_equal_plain_reading(body: bytes) -> None:
    """For any bytes, GOOD is exactly what the naive grammar, a field splitter and the bounds call sound."""
    shape = Shape(ord(","), 8)
    index = index_records(body, shape, final=True)
    for (start, stop, damaged), end, verdict in zip(
        split_records(body, shape.separator, shape.width), index.ends.tolist(), index.verdicts.tolist(), strict=True
    ):
        content = body[start:stop].removesuffix(b"\n").removesuffix(b"\r")
        fields = split_fields(content, shape.separator)
        try:
            content.decode()
            text = True
        except UnicodeDecodeError:
            text = False
        sound = (
            text
            and not damaged
            and content != b""
            and b"\0" not in content
            and content.count(b"\r") == content.count(b"\r\n")
            and len(fields) == shape.width
            and max(map(len, fields)) <= MAX_FIELD
        )
        empty = not damaged and is_empty(content, shape.separator)
        assert body[start:end] == content
        assert (verdict == EMPTY) == empty, content
        assert (verdict == GOOD) == (sound and not empty), content


@given(
    body=st.lists(st.one_of(bare_records, bare_records, broken_records), max_size=6).map(b"".join),
    width=st.sampled_from([7, 8, 9]),
    cut=st.integers(0, 2),
)
@settings(max_examples=200)
def test_regular_means_all_good(body: bytes, width: int, cut: int) -> None:
    """What is called regular at once has only sound or empty records, as soon as none has too many fields."""
    body = body.replace(b'"', b"")[: -cut or None]
    shape = Shape(ord(","), width)
    if is_regular(body, shape):
        verdicts = index_records(body, shape, final=True).verdicts
        too_many = max(line.count(b",") for line in body.split(b"\n")) >= width
        assert too_many or np.isin(verdicts, [GOOD, EMPTY]).all()
        assert not np.isin(verdicts, [NUL_BYTE, LONG_FIELD, STRAY_CR, NOT_TEXT]).any()


@given(body=st.lists(bare_records, min_size=1, max_size=6).map(b"".join))
def test_sound_records_are_regular(body: bytes) -> None:
    """Sound records without quotes are called regular: the quick way is really taken."""
    assert is_regular(body, Shape(ord(","), 8))


def test_one_column_is_never_regular() -> None:
    """Where records hold no separator, counting separators proves nothing."""
    assert not is_regular(b"1\n2\n", Shape(ord(","), 1))
    assert not is_regular(b"", SHAPE)


@pytest.mark.parametrize("lead", [0, 1, 40_000, MAX_FIELD])
def test_long_field_is_never_regular(lead: int) -> None:
    """A field beyond the bound is seen wherever it stands in the buffer."""
    body = b"1,2,3\n" * (lead // 6) + b"1,2," + b"x" * (MAX_FIELD + 1) + b"\n" + b"1,2,3\n" * 20_000
    assert not is_regular(body, SHAPE)
    assert index_records(body, SHAPE, final=True).verdicts[lead // 6] == LONG_FIELD


def test_declared_encoding_decides_what_is_text() -> None:
    """A byte that is no UTF-8 is text in a single-byte encoding, unless that has no such character."""
    body = b"1,\xe9,3\n1,\x81,3\n"
    assert index_records(body, Shape(ord(","), 3, "cp1252"), final=True).verdicts.tolist() == [GOOD, NOT_TEXT]
    assert is_regular(body, Shape(ord(","), 3, "latin-1"))
    assert not is_regular(body, Shape(ord(","), 3, "cp1252"))
