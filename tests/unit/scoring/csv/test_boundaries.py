"""Where records begin and end: the quick code equals the naive grammar, for any bytes and wherever a buffer ends."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scoring.csv import boundaries
from scoring.csv.boundaries import MAX_RECORD, Shape, count_byte, cut_complete, find_byte
from scoring.csv.records import STRAY_QUOTE, index_records
from scoring.errors import FileRefusedError
from tests.unit.scoring import naive_grammar
from tests.unit.scoring.csv_bodies import bodies, noise
from tests.unit.scoring.naive_grammar import split_records

SEPARATORS = b",;\t|"
any_body = st.one_of(noise, bodies, st.binary(max_size=120))
separators = st.sampled_from(list(SEPARATORS))
widths = st.sampled_from([1, 2, 3, 8])


def with_separator(body: bytes, separator: int) -> bytes:
    """Let another separator take the place of the comma."""
    return body.replace(b",", bytes([separator]))


def index_whole(body: bytes, shape: Shape) -> list[tuple[int, int, bool]]:
    """Give the records of a body: start, stop, and whether a quote damages it."""
    index = index_records(body, shape, final=True)
    stops = np.append(index.starts[1:], index.consumed)[: len(index.starts)]
    assert index.consumed == len(body)
    return [
        (int(start), int(stop), int(verdict) == STRAY_QUOTE)
        for start, stop, verdict in zip(index.starts, stops, index.verdicts, strict=True)
    ]


def index_in_pieces(body: bytes, shape: Shape, pieces: list[int]) -> list[tuple[int, int, int]]:
    """Give the records of a body that is read piece by piece: start, stop without the line end, and verdict."""
    found: list[tuple[int, int, int]] = []
    base, carried, at, turn = 0, b"", 0, 0
    coarse = 1 + len(body) // 1_000  # a long body in single bytes shows nothing more, slowly
    while at < len(body):
        step = pieces[turn % len(pieces)] * coarse
        turn += 1
        buffer = carried + body[at : at + step]
        at += step
        index = index_records(buffer, shape, final=at >= len(body))
        found += zip((base + index.starts).tolist(), (base + index.ends).tolist(), index.verdicts.tolist(), strict=True)
        base += index.consumed
        carried = buffer[index.consumed :]
    assert base == len(body)
    return found


@given(body=any_body, separator=separators, width=widths)
@settings(max_examples=300)
@example(body=b'"a\n"b"\n', separator=ord(","), width=3)
@example(body=b'"a"\r', separator=ord(","), width=1)
def test_records_equal_naive_grammar(body: bytes, separator: int, width: int) -> None:
    """Any bytes are cut into the records of the naive grammar, and it is a quote that damages the same ones."""
    body = with_separator(body, separator)
    expected = split_records(body, separator, width)
    found = index_whole(body, Shape(separator, width, "latin-1"))
    assert [record[:2] for record in found] == [record[:2] for record in expected]
    assert [record for record in found if record[2]] == [record for record in expected if record[2]]


@given(body=any_body, width=widths, walk=st.sampled_from([1, 7, 40]))
@settings(max_examples=150)
def test_length_of_walk_does_not_matter(body: bytes, width: int, walk: int) -> None:
    """Records are the same however soon whole buffers are tried again after damage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "_WALK", walk)
        found = index_whole(body, Shape(ord(","), width, "latin-1"))
    assert [record[:2] for record in found] == [record[:2] for record in split_records(body, ord(","), width)]


@given(body=any_body, separator=separators, width=widths, pieces=st.lists(st.integers(1, 30), min_size=1, max_size=8))
@settings(max_examples=200)
def test_buffer_ends_do_not_matter(body: bytes, separator: int, width: int, pieces: list[int]) -> None:
    """A body read in pieces of any length has the records that it has when read at once."""
    body = with_separator(body, separator)
    shape = Shape(separator, width)
    whole = index_records(body, shape, final=True)
    assert index_in_pieces(body, shape, pieces) == list(
        zip(whole.starts.tolist(), whole.ends.tolist(), whole.verdicts.tolist(), strict=True)
    )


@given(body=any_body, width=st.sampled_from([2, 8]), place=st.floats(0, 1))
@settings(max_examples=150)
def test_cut_at_a_record_does_not_matter(body: bytes, width: int, place: float) -> None:
    """A body that is cut between two records has the same records in its two halves."""
    shape = Shape(ord(","), width, "latin-1")
    whole = index_whole(body, shape)
    stops = [0, *(stop for _, stop, _ in whole)]
    cut = stops[int(place * (len(stops) - 1))]
    halves = index_whole(body[:cut], shape) + [
        (start + cut, stop + cut, damaged) for start, stop, damaged in index_whole(body[cut:], shape)
    ]
    assert halves == whole


def _records_of_length(length: int) -> list[bytes]:
    """Give records of so many bytes, line end included: bare, quoted, over two lines, and damaged."""
    return [
        b"x" * (length - 3) + b",1\n",
        b"x" * (length - 4) + b",1\r\n",
        b'"' + b"x" * (length - 5) + b'",1\n',
        b'"' + b"x" * (length - 9) + b'\nyyy",1\n',
        b'"' + b"x\n" * ((length - 5) // 2) + b"y" * ((length - 5) % 2) + b'",1\n',
        b'"' + b"x" * (length - 8) + b"\nyy,1\n",
        b"x" * (length - 4) + b'",1\n',
    ]


@pytest.mark.parametrize("length", range(28, 40))
@pytest.mark.parametrize("walk", [1, 1 << 16])
def test_bound_of_a_record_is_the_same_everywhere(length: int, walk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines and records near the greatest length meet one rule, wherever buffers end and however damage is walked."""
    bound, shape = 32, Shape(ord(","), 2)
    for module in (boundaries, naive_grammar):
        monkeypatch.setattr(module, "MAX_RECORD", bound)
    monkeypatch.setattr(boundaries, "_WALK", walk)
    for record in _records_of_length(length):
        for before, after in ((b"", b""), (b'x"y,1\n', b"1,2\n"), (b'"q",1\n', b'"a\nb",1\n')):
            body = before + record + after
            refused = max(map(len, body.split(b"\n"))) > bound
            expected = [(start, damaged) for start, _, damaged in split_records(body, shape.separator, shape.width)]
            for piece in (1, 7, 30, len(body)):
                if refused:
                    with pytest.raises(FileRefusedError, match="line of more than 32 bytes"):
                        index_in_pieces(body, shape, [piece])
                else:
                    found = index_in_pieces(body, shape, [piece])
                    assert [(start, verdict == STRAY_QUOTE) for start, _, verdict in found] == expected


@pytest.mark.parametrize("quoted", [b"", b'"q"'])
def test_huge_line_is_refused(quoted: bytes) -> None:
    """A line far beyond the bound refuses the file, whether its end has been seen or not."""
    line = quoted + b"a" * (2 * MAX_RECORD)
    for body, final in ((line, False), (line, True), (line + b"\n1,2\n", True), (b"1,2\n" + line + b"\n", False)):
        with pytest.raises(FileRefusedError) as refused:
            index_records(body, Shape(ord(","), 2), final=final)
        assert refused.value.code == "line_too_long"
    with pytest.raises(FileRefusedError):
        cut_complete(b"a" * (2 * MAX_RECORD), final=False)


@given(body=st.binary(max_size=300), byte=st.integers(0, 255), cell=st.sampled_from([1, 16, 1 << 18]))
def test_bytes_are_counted_and_found(body: bytes, byte: int, cell: int) -> None:
    """Counting and finding a byte equal Python's own, whatever the size of the cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "_CELL", cell)
        assert count_byte(memoryview(body), byte) == body.count(byte)
        assert find_byte(np.frombuffer(body, np.uint8), byte).tolist() == [
            place for place, value in enumerate(body) if value == byte
        ]


@given(body=st.binary(max_size=60))
def test_quote_free_buffers_are_cut_at_their_last_line(body: bytes) -> None:
    """Without quotes, complete lines end at the last line feed; at the end of the data everything is complete."""
    assert cut_complete(body, final=False) == body.rfind(b"\n") + 1
    assert cut_complete(body, final=True) == len(body)
