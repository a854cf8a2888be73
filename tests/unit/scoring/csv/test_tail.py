"""Whether a file ends within a record: every prefix of a file, and what only looks cut."""

from pathlib import Path

import pytest

from scoring.contract import REFERENCE, load_contract
from scoring.csv.boundaries import MAX_RECORD
from scoring.csv.truncation import is_cut, refuse_cut
from scoring.errors import FileRefusedError
from scoring.plain_file import open_plain

CONTRACT = load_contract(REFERENCE)
NAMES = [column.name for column in CONTRACT.required]
HEAD = ",".join([*NAMES, "note"]).encode() + b"\n"
ROW = b"1" + b",2" * (len(NAMES) - 1) + b",x\n"
QUOTED = ROW.replace(b"x", b'"x ""y"", z\nmore\n\nand more"')


def looks_cut(path: Path, content: bytes) -> bool:
    """Write a file and look at its end."""
    path.write_bytes(content)
    with open_plain(path) as file:
        return is_cut(file, path, CONTRACT)


def test_every_prefix_that_ends_within_a_record_is_cut(tmp_path: Path) -> None:
    """Of all prefixes of a file, those count as whole that end with a record, with its line end or without."""
    content = HEAD + ROW + QUOTED + ROW
    ends = [len(HEAD) + len(ROW), len(HEAD) + len(ROW + QUOTED), len(content)]
    whole = {len(HEAD), len(HEAD) - 1, *ends, *(end - 1 for end in ends)}
    # Its last, unquoted field may end anywhere: nothing tells that more was to come.
    whole |= {end - 2 for end in (ends[0], ends[2])}
    # So may a quoted one where its text has a quote.
    opens = len(HEAD + ROW) + QUOTED.index(b'"')
    whole |= {opens, opens + len(b'"x "'), opens + len(b'"x ""y"')}
    # The last name of the header as well: no required column is missing.
    whole |= set(range(len(HEAD) - len(b",note\n"), len(HEAD) - 1))
    found = {size for size in range(len(content) + 1) if not looks_cut(tmp_path / "loans.csv", content[:size])}
    assert found == whole


@pytest.mark.parametrize(
    "ending",
    [
        b"",
        b"\n\n\r\n",
        ROW.replace(b",x", b",x,y"),
        b"too,few\n",
        ROW.replace(b"x", b"\xe9\0"),
        ROW.replace(b"x", b'"x') + ROW,
        ROW.replace(b"x", b'x"x"'),
        ROW.replace(b"x", b"x" * (1 << 17)),
    ],
)
def test_a_bad_row_is_not_a_cut_file(tmp_path: Path, ending: bytes) -> None:
    """Rows that break the rules in a file that ends with its last line are rejected each, and the file is whole."""
    assert not looks_cut(tmp_path / "loans.csv", HEAD + ROW + ending)


def test_reserved_space_is_a_cut_file(tmp_path: Path) -> None:
    """A copy that reserved its space and has not filled it yet ends with NUL bytes, few or many."""
    for size in (1, 4096, 3 * MAX_RECORD):
        assert looks_cut(tmp_path / "loans.csv", HEAD + ROW + bytes(size))


def test_only_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    """The end of a file is judged wherever the part that is read begins, also within a quoted field."""
    many = HEAD + QUOTED * (3 * MAX_RECORD // len(QUOTED))
    for shift in range(0, len(QUOTED), 7):
        padded = HEAD + b"p" * shift + many[len(HEAD) :]
        assert not looks_cut(tmp_path / "loans.csv", padded)
        assert looks_cut(tmp_path / "loans.csv", padded + ROW[:-4])
        assert looks_cut(tmp_path / "loans.csv", padded + QUOTED[:-8])


@pytest.mark.parametrize("content", [b"\x1f\x8bgzip", "id,ä\n1".encode("utf-16"), b"a\rb\r1", b"x,y\n1,2", b'x"\n1'])
def test_what_is_refused_anyway_is_not_cut(tmp_path: Path, content: bytes) -> None:
    """A file that is wrong in another way is not waited for: it is refused for what is wrong."""
    assert not looks_cut(tmp_path / "loans.csv", content)


def test_a_cut_file_is_refused_with_its_last_line(tmp_path: Path) -> None:
    """The refusal names the line that is not all there."""
    path = tmp_path / "loans.csv"
    path.write_bytes(HEAD + ROW + ROW[:-5])
    with pytest.raises(FileRefusedError) as caught:
        refuse_cut(path, CONTRACT)
    assert (caught.value.code, caught.value.line) == ("truncated", 3)
    assert "whole file" in caught.value.way_out
    path.write_bytes(HEAD + ROW)
    refuse_cut(path, CONTRACT)


EMPTY = b"," * len(NAMES) + b"\n"
QUOTED_EMPTY = b",".join([b'""'] * (len(NAMES) + 1)) + b"\n"


@pytest.mark.parametrize(
    "ending",
    [
        EMPTY,
        EMPTY[:-1],
        EMPTY * 3 + b"\r\n\n" + EMPTY[:-1] + b"\r",
        QUOTED_EMPTY * 2 + QUOTED_EMPTY[:-1],
        b",,\n",
        b'""\n',
        b"   \n",
        b"   ",
        b" \t \r",
    ],
)
def test_records_without_content_at_the_end_are_no_cut(tmp_path: Path, ending: bytes) -> None:
    """A file that ends with records without content is whole, whether the last one has its line end or not."""
    for record in (ROW, QUOTED):
        assert not looks_cut(tmp_path / "loans.csv", HEAD + record + ending)
    assert looks_cut(tmp_path / "loans.csv", HEAD + ROW + QUOTED[:-8] + b"\n" + ending)


@pytest.mark.parametrize("ending", [b",", b",,", EMPTY[:-2], b'""', b'"', b'" "," "', b'""\r', EMPTY + b",", b" , "])
def test_a_record_that_has_only_begun_is_cut(tmp_path: Path, ending: bytes) -> None:
    """A last line without line end and with too few fields was to become a record, though it has no content yet."""
    assert looks_cut(tmp_path / "loans.csv", HEAD + ROW + ending)


def test_a_quoted_tab_does_not_separate(tmp_path: Path) -> None:
    """In a tab-separated file a quoted tab is a blank: it makes no field."""
    head, row = HEAD.replace(b",", b"\t"), ROW.replace(b",", b"\t")
    whole = b"\t".join([b'"\t"'] * (len(NAMES) + 1))
    assert not looks_cut(tmp_path / "loans.csv", head + row + whole)
    assert not looks_cut(tmp_path / "loans.csv", head + row + whole + b"\r")
    assert looks_cut(tmp_path / "loans.csv", head + row + b"\t".join([b'"\t"'] * len(NAMES)) + b"\r")
