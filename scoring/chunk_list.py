"""Chunks of several small files that one job scores: starting a job costs more than scoring each of them."""

from pathlib import Path

import msgspec

from scoring.json_document import read_document

FORMAT = 1


class ListedChunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chunk of one batch."""

    plan: str
    """The batch's plan."""
    chunk: int
    """The chunk's number in it (0-based)."""
    words: str
    """Where the program says, on one line, why this chunk failed; the file is there only then."""


class ChunkList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one job is to score, in this order; written once, before the job is submitted."""

    format: int
    """Version of this very format."""
    chunks: tuple[ListedChunk, ...]
    """The chunks."""


def read_chunk_list(path: Path) -> ChunkList:
    """Read a list of chunks. Raises ProofError when it does not read, OSError as the storage does."""
    return read_document(path, ChunkList, "list of chunks", FORMAT)
