"""Parts → one result in input order: refused unless every record of the plan is there exactly once, unaltered."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from scoring.chunk.part import Outcome, Sealed, name_part, read_outcome, seal_file
from scoring.chunk.plan import BatchPlan
from scoring.csv.chunks import BLOCK
from scoring.errors import ProofError


def gather_outcomes(batch: BatchPlan) -> list[Outcome]:
    """Read the outcome of every chunk, in order, and check it against the plan.

    Raises ProofError, all problems named at once, for a plan with a gap or an overlap, or a part that is missing or is
    not the planned one.
    """
    _refuse(batch, find_plan_problems(batch))
    outcomes, problems = [], []
    for chunk in batch.plan.chunks:
        outcome = read_outcome(name_part(Path(batch.parts), chunk.number).outcome)
        if outcome is None:
            problems.append(f"chunk {chunk.number} has no part")
            continue
        problems += find_part_problems(batch, outcome, chunk.number)
        outcomes.append(outcome)
    _refuse(batch, problems)
    return outcomes


def _refuse(batch: BatchPlan, problems: Sequence[str]) -> None:
    if problems:
        raise ProofError(
            f"The parts of batch {batch.batch} do not make up the plan: {'; '.join(problems[:20])}.",
            "Nothing was published. The chunks that are named have to be scored again.",
        )


def gather_sound(chunks: int, parts: Path) -> list[Outcome]:
    """Give the outcomes of those of a batch's chunks whose part is there and unaltered, in order.

    Raises OSError as the storage does.
    """
    sound = []
    for number in range(chunks):
        files = name_part(parts, number)
        with suppress(ProofError, FileNotFoundError):
            outcome = read_outcome(files.outcome)
            if outcome is not None and seal_file(files.rejects) == outcome.rejects:
                sound.append(outcome)
    return sound


def find_bad_chunks(batch: BatchPlan) -> list[int]:
    """Name the chunks (0-based) whose part is missing, unreadable, altered, or not the planned one.

    Reads every part as a whole. Raises OSError as the storage does.
    """
    bad = []
    for chunk in batch.plan.chunks:
        files = name_part(Path(batch.parts), chunk.number)
        try:
            outcome = read_outcome(files.outcome)
            sound = (
                outcome is not None
                and not find_part_problems(batch, outcome, chunk.number)
                and seal_file(files.predictions) == outcome.predictions
                and seal_file(files.rejects) == outcome.rejects
            )
        except (ProofError, FileNotFoundError):
            sound = False
        if not sound:
            bad.append(chunk.number)
    return bad


def find_plan_problems(batch: BatchPlan) -> list[str]:
    """List gaps and overlaps of a plan, in words; empty for a whole plan."""
    problems = []
    stop, row = batch.plan.source.body, 1
    for place, chunk in enumerate(batch.plan.chunks):
        if chunk.number != place:
            problems.append(f"chunk {chunk.number} stands in the place of chunk {place}")
        if chunk.start != stop:
            problems.append(f"chunk {chunk.number} starts at byte {chunk.start}, the one before it stops at {stop}")
        if chunk.first_row != row:
            problems.append(f"chunk {chunk.number} starts with row {chunk.first_row}, row {row} was next")
        stop, row = chunk.stop, chunk.first_row + chunk.rows
    if row - 1 != batch.plan.rows:
        problems.append(f"the chunks end with row {row - 1}, the file has {batch.plan.rows}")
    return problems


def find_part_problems(batch: BatchPlan, outcome: Outcome, number: int) -> list[str]:
    """List what makes an outcome not the one of a planned chunk, in words; empty when it is."""
    chunk = batch.chunk(number)
    problems = []
    if (outcome.batch, outcome.chunk) != (batch.batch, number):
        problems.append(f"the part of chunk {number} is that of chunk {outcome.chunk} of batch {outcome.batch}")
    if (outcome.first_row, outcome.rows_in) != (chunk.first_row, chunk.rows):
        problems.append(
            f"chunk {number} read {outcome.rows_in} rows from row {outcome.first_row}, planned were {chunk.rows} "
            f"from row {chunk.first_row}"
        )
    if outcome.scored + outcome.rejected != outcome.rows_in:
        problems.append(
            f"chunk {number} read {outcome.rows_in} rows, scored {outcome.scored} and rejected {outcome.rejected}"
        )
    if outcome.read_blake3 != chunk.blake3:
        problems.append(f"chunk {number} read other bytes than were planned")
    if outcome.model != batch.model:
        problems.append(f"chunk {number} was scored with version {outcome.model.version}, not {batch.model.version}")
    return problems


def join_files(parts: Sequence[tuple[Path, Sealed]], header: bytes, target: BinaryIO) -> Sealed:
    """Write a header and the parts behind it, copied by the kernel, then read the result back against every seal.

    What is proved is what stands in `target`, not what was read on the way there. Constant memory. Raises ProofError
    naming the part that is missing or is not what was sealed, OSError as the storage does.
    """
    target.write(header)
    target.flush()
    for path, seal in parts:
        try:
            with path.open("rb", buffering=0) as part:
                copied = _copy(part.fileno(), target.fileno())
        except FileNotFoundError as error:
            raise ProofError(f"The part {path} is missing.", "The daemon scores its chunk again.") from error
        if copied != seal.bytes:
            raise ProofError(f"The part {path} has {copied} bytes, its outcome says {seal.bytes}.")
    os.lseek(target.fileno(), len(header), os.SEEK_SET)
    whole = blake3(header)
    for path, seal in parts:
        if _read_back(target.fileno(), seal.bytes, whole) != seal.blake3:
            raise ProofError(f"The part {path} is not what was written: its BLAKE3 is not the one in its outcome.")
    size = os.lseek(target.fileno(), 0, os.SEEK_END)
    return Sealed(size, whole.hexdigest())


def _copy(source: int, target: int) -> int:
    """Copy a whole file behind the target's end, in the kernel where it can; give the bytes copied."""
    copied = 0
    kernel_copies = True
    while True:
        try:
            step = (
                os.copy_file_range(source, target, 1 << 30)
                if kernel_copies
                else os.sendfile(target, source, None, 1 << 30)
            )
        except OSError:
            if not kernel_copies:
                raise
            kernel_copies = False  # other filesystems, or a kernel that cannot: sendfile can
            continue
        if not step:
            return copied
        copied += step


def _read_back(file: int, size: int, whole: "blake3") -> str:
    part = blake3()
    while size:
        content = os.read(file, min(size, BLOCK))
        if not content:
            break
        part.update(content)
        whole.update(content)
        size -= len(content)
    return part.hexdigest()
