"""Records without content: which they are, and where the run of them at the end of a file begins."""

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scoring.csv import records as empty_records
from scoring.csv.boundaries import MAX_RECORD
from scoring.csv.records import count_fields, find_content_end, is_empty
from tests.unit.scoring import plain_reader
from tests.unit.scoring.csv_bodies import almost_empty_records, bodies, hollow_bodies
from tests.unit.scoring.naive_grammar import split_records

SEPARATORS = [",", ";", "\t", "|"]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize(
    "fields", [["", ""], [" ", "", "  "], ['""', '" "', '"\t"'], [" \t"], [""] * 20, ['""'], ['"\t"', "", '"\t"', " "]]
)
def test_separators_blanks_and_quoted_blanks_are_no_content(separator: str, fields: list[str]) -> None:
    """Any number of empty, blank or quoted blank fields make an empty record, with any separator."""
    if separator == "\t":
        fields = [field if '"' in field else field.replace("\t", "") for field in fields]
    record = separator.join(fields).encode()
    assert is_empty(record, ord(separator))
    assert count_fields(record, ord(separator)) == len(fields)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize(
    "record",
    ["|x", "0||", '"|"', '""""|', '|" ""|', ' ""|', '"" |', '"|', '|"', "\xa0|", "\r|", "|\x0b", '"\n"|', "\0"],
)
def test_anything_else_is_content(separator: str, record: str) -> None:
    """A text, a quoted separator or quote, a stray quote, and blanks that no value may have around it are content."""
    if separator == "\t" and record == '"|"':
        return  # a quoted tab is a quoted blank
    assert not is_empty(record.replace("|", separator).encode(), ord(separator))


@given(
    pieces=st.lists(st.sampled_from([b'"', b'"', b"\t", b"\t", b",", b",", b" ", b'""', b"x"]), max_size=14),
    separator=st.sampled_from([ord(","), ord("\t")]),
)
@settings(max_examples=500)
def test_every_short_record_is_judged_as_plainly(pieces: list[bytes], separator: int) -> None:
    """For any line of these marks, no content is what the naive grammar and a field splitter call so."""
    record = b"".join(pieces)
    whole = [(start, stop) for start, stop, damaged in split_records(record, separator, 3) if not damaged]
    expected = whole == [(0, len(record))] and plain_reader.is_empty(record, separator)
    assert is_empty(record, separator) == (expected or not record)


@given(
    body=st.one_of(hollow_bodies, bodies),
    start=st.sampled_from([b"", b"id,amount\n"]),
    window=st.sampled_from([1, 5, 60, 1 << 16]),
)
@settings(max_examples=400)
@example(body=b'1,2,3,4,A,6,CAR,"\n,,,,,,,\n\n"\n,,,,,,,\n', start=b"", window=5)
@example(body=b'1,2,3,4,A,6,CAR,"\n,,,,,,,\n\n\n,,,,,,,\n', start=b"", window=5)
@example(body=b'1,2,3,4,A,6,CAR,"\n"",""\n', start=b"", window=5)
def test_end_of_content_is_that_of_a_plain_reading(tmp_path: Path, body: bytes, start: bytes, window: int) -> None:
    """For any bytes and any window, the last record with content is the one that reading from the start finds."""
    path = tmp_path / "loans.csv"
    path.write_bytes(start + body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(empty_records, "_FIRST_WINDOW", window)
        found = find_content_end(path, len(start), ord(","))
    assert found == len(start) + len(plain_reader.trimmed(body))


@given(
    record=almost_empty_records,
    run=st.lists(st.sampled_from([b"\t\t\t\n", b'"\t"\t\t""\n', b"\n", b" \t\r\n"]), max_size=5).map(b"".join),
)
def test_tabs_separate_or_are_blank(tmp_path: Path, record: bytes, run: bytes) -> None:
    """In a tab-separated file a bare tab separates and a quoted one is blank, also where quotes reach over lines."""
    body = record.replace(b",", b"\t") + run
    path = tmp_path / "loans.csv"
    path.write_bytes(body)
    assert find_content_end(path, 0, ord("\t")) == len(plain_reader.trimmed(body, ord("\t")))


@pytest.mark.parametrize("line", [b",,,,,,,,,,,\n", b'"","","","","",""\r\n', b"\n", b" , ,\n\n"])
def test_long_run_is_passed_over_in_constant_memory_and_linear_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    """A run of empty records that is much longer than the window is found without holding it, each looked at once."""
    window = 1 << 17
    monkeypatch.setattr(empty_records, "_MOST_WINDOW", window)
    path = tmp_path / "loans.csv"
    seconds, peaks = [], []
    for windows in (5, 40):
        path.write_bytes(b"id,x\n1,2\n" + line * (windows * window // len(line)))
        begun = time.process_time()
        assert find_content_end(path, 5, ord(",")) == 9
        seconds.append(time.process_time() - begun)
        tracemalloc.start()
        assert find_content_end(path, 5, ord(",")) == 9
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 6 * window
    assert seconds[1] < 24 * max(seconds[0], 0.01)


@pytest.mark.parametrize("blank", [b" ", b"\t", b","])
def test_a_line_of_blanks_that_is_too_long_is_left_to_be_refused(tmp_path: Path, blank: bytes) -> None:
    """A line of megabytes is no record: it is left in the plan, whatever it holds."""
    path = tmp_path / "loans.csv"
    path.write_bytes(b"id,x\n1,2\n" + blank * (3 * MAX_RECORD) + b"\n,,\n")
    assert find_content_end(path, 5, ord(",")) == 9 + 3 * MAX_RECORD + 1
