"""Telling programs from libraries by their headers."""

import struct
from pathlib import Path

import pytest

from local_pool.distribution import needs_interpreter

LOAD, INTERPRETER = 1, 3


def write_elf(path: Path, segments: list[int], bits: int = 2) -> Path:
    """Write a file with the headers of an ELF file with `segments`, and nothing else."""
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", bits, 1, 1, 0, 3, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0
    )
    path.write_bytes(header + b"".join(struct.pack("<IIQQQQQQ", kind, 4, 0, 0, 0, 0, 0, 0) for kind in segments))
    return path


@pytest.mark.parametrize(("segments", "program"), [([LOAD, INTERPRETER], True), ([LOAD], False), ([], False)])
def test_program_is_told_from_library(tmp_path: Path, segments: list[int], program: bool) -> None:  # noqa: FBT001
    """A program asks for an interpreter, a library does not."""
    assert needs_interpreter(write_elf(tmp_path / "file", segments)) is program


def test_other_files_are_neither(tmp_path: Path) -> None:
    """Scripts, short files and programs of 32 bits are left alone."""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n" + "# long enough for a header\n" * 10)
    short = tmp_path / "short"
    short.write_bytes(b"\x7fELF")
    assert needs_interpreter(script) is None
    assert needs_interpreter(short) is None
    assert needs_interpreter(write_elf(tmp_path / "old", [INTERPRETER], bits=1)) is None
