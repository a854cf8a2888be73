"""What a file says about itself: separator, header and encoding found, and what cannot be read refused by name."""

import codecs
import gzip
from pathlib import Path

import msgspec
import pytest

from scoring.contract import Column, Contract, Role, Type
from scoring.csv.boundaries import MAX_RECORD
from scoring.csv.source import Source, open_source
from scoring.errors import FileRefusedError

CONTRACT = Contract(
    1,
    "made up",
    (
        Column("id", Role.ID),
        Column("amount", Role.FEATURE, Type.NUMBER),
        Column("age", Role.MONITOR, Type.INTEGER),
        Column("grade, old", Role.FEATURE, Type.CATEGORY, categories=("A",)),
        Column("bad", Role.TARGET, Type.CATEGORY, categories=("0", "1"), positive="1"),
    ),
)
QUOTED = b'id,amount,"grade, old"'


def look_at(folder: Path, content: bytes, contract: Contract = CONTRACT, *, labelled: bool = False) -> Source:
    """Open some content as a source."""
    path = folder / "loans.csv"
    path.write_bytes(content)
    return open_source(path, contract, labelled=labelled)


def refuse(folder: Path, content: bytes, contract: Contract = CONTRACT, *, labelled: bool = False) -> FileRefusedError:
    """Give the refusal of some content."""
    with pytest.raises(FileRefusedError) as refused:
        look_at(folder, content, contract, labelled=labelled)
    assert refused.value.what.count("\n") == 0
    assert refused.value.way_out
    return refused.value


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_header_shows_the_separator(tmp_path: Path, separator: str, end: str, mark: bytes) -> None:
    """Each separator is recognised, with either line end or none, and with or without a byte order mark."""
    header = mark + separator.join(["id", "amount", '"grade, old"', "remark"]).encode() + end.encode()
    body = b"1,2;3\t4|5\n" if end else b""
    source = look_at(tmp_path, header + body)
    assert source.separator == separator
    assert source.header == ("id", "amount", "grade, old", "remark")
    assert (source.body, source.body_line) == (len(header), 2)
    assert source.bytes == len(header + body)
    assert (source.shape.separator, source.shape.width) == (ord(separator), 4)


def test_names_may_be_quoted(tmp_path: Path) -> None:
    """Quotes around names are undone, doubled ones inside too, and spaces around a name do not count."""
    source = look_at(tmp_path, b'"grade, old" ,"say ""x""", id ,"amount"\n'.replace(b'" ,', b'",'))
    assert source.header == ("grade, old", 'say "x"', "id", "amount")


def test_every_problem_of_the_header_is_named_at_once(tmp_path: Path) -> None:
    """All missing and all repeated required columns are named in one refusal; others may be repeated."""
    refused = refuse(tmp_path, b"amount,age,age,amount,x,x\n")
    assert refused.code == "missing_column"
    assert refused.line == 1
    assert refused.what == (
        "The header does not fit the contract: required column(s) missing: id, grade, old; "
        "column(s) present more than once: amount."
    )
    assert refuse(tmp_path, QUOTED + b",id\n").code == "repeated_column"
    assert look_at(tmp_path, QUOTED + b",x,x,age,age\n").header[-1] == "age"


def test_names_are_compared_exactly(tmp_path: Path) -> None:
    """Upper and lower case differ."""
    assert "missing: id" in refuse(tmp_path, QUOTED.replace(b"id", b"ID") + b"\n").what


def test_label_is_required_only_for_training(tmp_path: Path) -> None:
    """The target's column is missed when labels are asked for, and not before."""
    assert look_at(tmp_path, QUOTED + b"\n").header == ("id", "amount", "grade, old")
    assert "missing: bad" in refuse(tmp_path, QUOTED + b"\n", labelled=True).what
    assert look_at(tmp_path, QUOTED + b",bad\n", labelled=True).header[-1] == "bad"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (codecs.BOM_UTF8, "missing_column"),
        (b"\n", "missing_column"),
        (gzip.compress(QUOTED + b"\n", mtime=0), "gzip_content"),
        ((QUOTED + b"\n1,2,A\n").decode().encode("utf-16"), "not_utf8"),
        ((QUOTED + b"\n1,2,A\n").decode().encode("utf-16-le"), "not_utf8"),
        ((QUOTED + b"\n1,2,A\n").decode().encode("utf-16-be"), "not_utf8"),
        ((QUOTED + b"\n1,2,A\n").decode().encode("utf-32"), "not_utf8"),
        (codecs.BOM_UTF16_BE + (QUOTED + b"\n1,2,A\n").decode().encode("utf-16-be"), "not_utf8"),
        (QUOTED + b"\r1,2,A\r3,4,A\r", "cr_line_ends"),
        (QUOTED + b",caf\xe9\n1,2,A,x\n", "not_utf8"),
        (b"%PDF-1.7\0\n", "not_utf8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not_utf8"),
        (QUOTED + b',"remark\n1,2,A,x\n', "header_quote"),
        (QUOTED + b',rem"ark\n1,2,A,x\n', "header_quote"),
        (QUOTED + b',rem"ark\n1,2,A,5" pipe\n2,3,A,x\n', "header_quote"),
        (b"x" * (MAX_RECORD + 10), "line_too_long"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes, code: str) -> None:
    """Each kind of file that is no CSV of loans gets its own code, one line on what it is, and a way out."""
    assert refuse(tmp_path, content).code == code


def test_a_bad_first_row_does_not_refuse_the_file(tmp_path: Path) -> None:
    """A NUL, a byte that is no text, or a quote in a row is the row's matter, even right behind the header."""
    for row in (b"1\0,2,A\n", b"1,\xff,A\n", b'1,2",A\n'):
        assert look_at(tmp_path, QUOTED + b"\n" + row).body == len(QUOTED) + 1


def test_header_in_a_declared_encoding(tmp_path: Path) -> None:
    """Names beyond ASCII are read in the contract's encoding."""
    columns = (Column("id", Role.ID), Column("größe", Role.FEATURE, Type.NUMBER))
    contract = Contract(1, "made up", columns, encoding="cp1252")
    assert look_at(tmp_path, "id;größe\n".encode("cp1252"), contract).header == ("id", "größe")
    utf8 = msgspec.structs.replace(contract, encoding="utf-8")
    assert refuse(tmp_path, "id;größe\n".encode("cp1252"), utf8).code == "not_utf8"
