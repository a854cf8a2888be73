"""What a batch is to do, on disk before it is done: the input, its chunks, the pinned model, and where parts go."""

from pathlib import Path

import msgspec

from scoring.chunk.challenger import Challenger
from scoring.csv.chunks import Chunk, Plan
from scoring.errors import LoansError
from scoring.models.registry import Pin
from scoring.plain_file import read_document

FORMAT = 1


class BatchPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a chunk job needs to know; written once, before the jobs are submitted."""

    format: int
    """Version of this very format."""
    batch: str
    """The batch's id."""
    plan: Plan
    """The input file as chunks."""
    models: str
    """The folder of the model registry."""
    model: Pin
    """The pinned version."""
    parts: str
    """The folder for parts."""
    echo: tuple[str, ...] = ()
    """Further columns of the input that are echoed as text behind the predictions, where the file has them."""
    neutralise: bool = False
    """Whether texts that a spreadsheet would take for a formula get an apostrophe in front."""
    challenger: Challenger | None = None
    """A second version that the rows are scored with as well, beside the batch."""

    @property
    def echoed(self) -> tuple[str, ...]:
        """The echoed columns that this file has, once each."""
        header = self.plan.source.header
        return tuple(name for name in dict.fromkeys(self.echo) if header.count(name) == 1)

    def chunk(self, number: int) -> Chunk:
        """Give a chunk by its number (0-based). Raises LoansError when there is none."""
        if not 0 <= number < len(self.plan.chunks):
            raise LoansError(f"Batch {self.batch} has no chunk {number}: it has {len(self.plan.chunks)}.")
        return self.plan.chunks[number]


def read_batch_plan(path: Path) -> BatchPlan:
    """Read a batch's plan. Raises ProofError when it does not read, OSError as the storage does."""
    return read_document(path, BatchPlan, "plan", FORMAT)


CHUNK_LIST_FORMAT = 1


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
    return read_document(path, ChunkList, "list of chunks", CHUNK_LIST_FORMAT)
