"""Unpacking gzip: all members, nothing of a damaged file, and never more than the bounds allow."""

import gzip
import os
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.atomic import written_atomically
from scoring.csv import gzip_input as unpack
from scoring.csv.gzip_input import is_packed_cut, unpack_gzip
from scoring.errors import FileRefusedError
from scoring.plain_file import open_plain

ROOMY = 1 << 30


def unpack_content(folder: Path, packed: bytes, max_bytes: int = ROOMY) -> bytes:
    """Unpack some bytes and give what came out, whose length must be the one that is told."""
    (folder / "loans.csv.gz").write_bytes(packed)
    target = folder / "loans.csv"
    size = unpack_gzip(folder / "loans.csv.gz", target, max_bytes)
    content = target.read_bytes()
    assert size == len(content)
    return content


def refuse(folder: Path, packed: bytes, max_bytes: int = ROOMY) -> str:
    """Give the code of a refusal, after which there is no target and no temporary."""
    with pytest.raises(FileRefusedError) as refused:
        unpack_content(folder, packed, max_bytes)
    assert os.listdir(folder) == ["loans.csv.gz"]
    assert refused.value.way_out
    return refused.value.code


def looks_cut(folder: Path, packed: bytes, max_bytes: int = ROOMY) -> bool:
    """Write a file and look whether its end is missing."""
    path = folder / "loans.csv.gz"
    path.write_bytes(packed)
    with open_plain(path) as file:
        return is_packed_cut(file, max_bytes)


@given(
    members=st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    padding=st.integers(0, 40),
    block=st.sampled_from([1, 7, 64, 1 << 20]),
)
def test_members_follow_each_other(tmp_path: Path, members: list[bytes], padding: int, block: int) -> None:
    """Any members, with zeros between and behind them, unpack to their contents in order, whatever the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpack, "_BLOCK", block)
        packed = bytes(padding).join(map(gzip.compress, members)) + bytes(padding)
        assert unpack_content(tmp_path, packed) == b"".join(members)


def test_member_after_long_padding_is_not_lost(tmp_path: Path) -> None:
    """However many zeros stand between two members, the second is unpacked as well."""
    assert unpack_content(tmp_path, gzip.compress(b"a\n") + bytes(3 << 20) + gzip.compress(b"b\n")) == b"a\nb\n"


def test_empty_content_unpacks_to_nothing(tmp_path: Path) -> None:
    """A gzip of nothing is an empty file, which is for the reader to refuse."""
    assert unpack_content(tmp_path, gzip.compress(b"")) == b""


def test_every_cut_is_refused(tmp_path: Path) -> None:
    """A gzip file that lacks any number of bytes at its end is refused, an empty one too."""
    packed = gzip.compress(b"id,amount\n1,2\n" * 5)
    for length in range(len(packed)):
        assert refuse(tmp_path, packed[:length]) == "truncated"
        assert looks_cut(tmp_path, packed[:length])


def test_cut_second_member_is_refused(tmp_path: Path) -> None:
    """A whole member does not make up for a second one that is cut."""
    packed = gzip.compress(b"id,amount\n1,2\n")
    assert refuse(tmp_path, packed + packed[:-3]) == "truncated"


def test_damage_is_refused(tmp_path: Path) -> None:
    """A flipped bit in the packed data or its checksum, other files, and bytes behind the end are refused."""
    packed = gzip.compress(os.urandom(500))
    for place in (100, 300, len(packed) - 6):
        damaged = bytearray(packed)
        damaged[place] ^= 1
        assert refuse(tmp_path, bytes(damaged)) in {"gzip_damaged", "truncated"}
    assert refuse(tmp_path, b"id,amount\n1,2\n") == "gzip_damaged"
    assert refuse(tmp_path, packed + b"more") == "gzip_damaged"


def test_bound_on_bytes_is_exact(tmp_path: Path) -> None:
    """As many bytes as allowed are unpacked, one more is refused."""
    packed = gzip.compress(b"x" * 5_000)
    assert len(unpack_content(tmp_path, packed, 5_000)) == 5_000
    (tmp_path / "loans.csv").unlink()
    assert refuse(tmp_path, packed, 4_999) == "gzip_too_large"


def test_bomb_is_stopped_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks a thousandfold is refused at the greatest ratio, and not much more than that is ever written."""
    monkeypatch.setattr(unpack, "ALWAYS_FINE", 1 << 20)
    packed = gzip.compress(bytes(64 << 20))
    written = 0

    class Counting:
        def __init__(self, path: Path, act: str) -> None:
            self.inner = written_atomically(path, act)

        def __enter__(self) -> Self:
            self.file = self.inner.__enter__()
            return self

        def __exit__(self, *error: object) -> bool | None:
            return self.inner.__exit__(*error)  # type: ignore[arg-type]

        def write(self, content: bytes) -> None:
            nonlocal written
            written += len(content)
            self.file.write(content)

    monkeypatch.setattr(unpack, "written_atomically", Counting)
    assert refuse(tmp_path, packed) == "gzip_too_large"
    assert written <= len(packed) * unpack.MAX_RATIO


def test_ratio_does_not_matter_for_small_files(tmp_path: Path) -> None:
    """A small file may pack as well as it likes."""
    content = b"id,amount\n" + b"1,2\n" * 1_000_000
    assert unpack_content(tmp_path, gzip.compress(content)) == content


def test_what_is_refused_anyway_is_not_cut(tmp_path: Path) -> None:
    """A whole file, one that is damaged, none at all and one that is too large are not waited for."""
    packed = gzip.compress(os.urandom(500))
    assert not looks_cut(tmp_path, packed)
    assert not looks_cut(tmp_path, packed + bytes(100))
    assert not looks_cut(tmp_path, packed + packed)
    assert not looks_cut(tmp_path, b"id,amount\n1,2\n")
    assert not looks_cut(tmp_path, packed + b"more")
    assert not looks_cut(tmp_path, gzip.compress(bytes(5_000))[:-1], 4_000)


def test_reserved_space_is_a_cut_file(tmp_path: Path) -> None:
    """A copy that has reserved its space and not yet written all of it is one that more may come for."""
    packed = gzip.compress(os.urandom(5_000))
    assert looks_cut(tmp_path, packed[:2_000] + bytes(len(packed) - 2_000))
    assert looks_cut(tmp_path, bytes(len(packed)))
