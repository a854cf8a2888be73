"""Scores a chunk's rows with the challenger as well, beside the champion, and never in its way.

Whatever goes wrong with the challenger ends the comparison of this chunk and is told in its outcome. Even a challenger
that takes the whole process down does so once: a file stands while it runs, and a try that finds one goes without it.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.atomic import written_atomically
from scoring.chunk.challenger import Challenger, Tally, add_up, reads_alike, tally_rows
from scoring.chunk.part import ChallengerPart, SealedWriter, name_part
from scoring.chunk.plan import BatchPlan
from scoring.csv.reader import LoanBlock, read_loans
from scoring.errors import LoansError, ModelError, ProofError, describe_defect
from scoring.models.model import Model, predict_block
from scoring.models.policy import DECISIONS
from scoring.models.scale import Probabilities, Steps

Opener = Callable[[Path, str, str, int], Model]
Decided = tuple[NDArray[np.uint32], NDArray[np.uint32]]

_ADDED_UP = 64
"""After so many tallies they become one: memory stays flat."""


class Comparison:
    """The challenger's side of one chunk; without a challenger it does nothing."""

    def __init__(self, batch: BatchPlan, number: int) -> None:
        """Compare chunk `number` of a batch, once it has begun."""
        self._batch, self._number = batch, number
        self._challenger = batch.challenger
        self._problem = "" if batch.challenger is None else batch.challenger.problem
        self._marker = name_part(Path(batch.parts), number).comparing
        self._marked = False
        self._stack = ExitStack()
        self._pair: _Pair | None = None

    def __enter__(self) -> Self:
        """Give the comparison, not yet begun."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind that was not finished."""
        if self._pair is not None:
            self._abandon(error or ProofError("The comparison was not ended."))
        if self._marked:
            with suppress(OSError):
                self._marker.unlink(missing_ok=True)

    def begin(self, champion: Model, opener: Opener, threads: int) -> None:
        """Verify and open the challenger, and the file for both probabilities."""
        if self._challenger is None or self._problem:
            return
        with self._harmless():
            self._mark()
            self._pair = _Pair(self._batch, self._number, self._challenger, champion, opener, threads, self._stack)

    def add(self, block: LoanBlock, probabilities: Probabilities, steps: Steps | None) -> None:
        """Compare a block: the champion's probabilities of its rows, and their steps where it has a scale."""
        if self._pair is not None:
            with self._harmless():
                self._pair.add(block, probabilities, steps)

    def end(self) -> ChallengerPart | None:
        """Finish the file and give what came of it; None without a challenger."""
        if self._challenger is None:
            return None
        if self._pair is not None:
            with self._harmless():
                self._stack.close()
                part = self._pair.describe()
                self._pair = None
                return part
        return ChallengerPart(self._challenger.pin, self._problem)

    def _mark(self) -> None:
        try:
            os.close(os.open(self._marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660))
        except FileExistsError:
            raise ModelError("An earlier try, with the challenger, ended without a word.") from None
        self._marked = True

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 (whatever it is, the champion goes on)
            self._abandon(error)

    def _abandon(self, error: BaseException) -> None:
        self._pair = None
        self._problem = error.what if isinstance(error, LoansError) else describe_defect(error)
        with suppress(BaseException):
            self._stack.__exit__(type(error), error, error.__traceback__)


class _Pair:
    """Champion and challenger, opened, side by side."""

    def __init__(
        self,
        batch: BatchPlan,
        number: int,
        challenger: Challenger,
        champion: Model,
        opener: Opener,
        threads: int,
        stack: ExitStack,
    ) -> None:
        """Open the challenger; what has to be closed goes onto `stack`. Raises what it raises."""
        self._pin = challenger.pin
        self._champion = champion
        self._model = opener(Path(batch.models), self._pin.version, self._pin.manifest_sha256, threads)
        self._blocks = self._read_again(batch, number)
        file = stack.enter_context(written_atomically(name_part(Path(batch.parts), number).challenger))
        self._writer = SealedWriter(file)
        self._tallies: list[Tally] = []

    def _read_again(self, batch: BatchPlan, number: int) -> Iterator[LoanBlock] | None:
        """Give the chunk as the challenger's own contract reads it; None where the champion's reading serves both."""
        contract = self._model.manifest.contract
        if reads_alike(self._champion.manifest.contract, contract):
            return None
        source = batch.plan.source
        if contract.encoding != source.encoding:
            raise ModelError(f"The challenger reads files as {contract.encoding}, this one is {source.encoding}.")
        lacking = [column.name for column in contract.required if source.header.count(column.name) != 1]
        if lacking:
            raise ModelError(f"The file lacks column(s) that the challenger needs: {', '.join(lacking)}.")
        return read_loans(source, batch.chunk(number), contract)

    def add(self, block: LoanBlock, probabilities: Probabilities, steps: Steps | None) -> None:
        """Compare the rows of a block that both accept, and count the others."""
        if self._blocks is None:
            self._compare(block.rows, probabilities, predict_block(self._model, block), steps)
            return
        other = next(self._blocks)
        if other.records != block.records:
            raise ProofError("The challenger's contract reads other records.")
        rows, mine, theirs = np.intersect1d(block.rows, other.rows, assume_unique=True, return_indices=True)
        answers = predict_block(self._model, other)[theirs]
        self._compare(rows, probabilities[mine], answers, None if steps is None else steps[mine])
        self._tallies.append(
            Tally(champion_only=len(block.rows) - len(rows), challenger_only=len(other.rows) - len(rows))
        )

    def _compare(
        self, rows: NDArray[np.int64], champion: Probabilities, challenger: Probabilities, steps: Steps | None
    ) -> None:
        decided = self._decide(challenger, steps)
        self._writer.write(_encode(rows, champion, challenger, decided))
        self._tallies.append(tally_rows(champion, challenger, decided))
        if len(self._tallies) > _ADDED_UP:
            self._tallies = [add_up(self._tallies)]

    def _decide(self, answers: Probabilities, steps: Steps | None) -> Decided | None:
        mine, theirs = self._champion.scale, self._model.scale
        if mine is None or theirs is None or steps is None:
            return None
        return mine.decide(steps), theirs.decide(theirs.place(answers))

    def describe(self) -> ChallengerPart:
        """Tell what was written and counted."""
        return ChallengerPart(self._pin, "", self._writer.seal(), add_up(self._tallies))


def _encode(
    rows: NDArray[np.int64], champion: Probabilities, challenger: Probabilities, decided: Decided | None
) -> memoryview:
    """Write rows as CSV lines without a header; `challenger_report` names the columns."""
    columns = [pl.Series("row_number", rows), pl.Series("pd", champion), pl.Series("challenger_pd", challenger)]
    if decided is not None:
        names = ("decision", "challenger_decision")
        columns += [
            pl.Series(name, codes).cat.to(pl.Enum(DECISIONS)) for name, codes in zip(names, decided, strict=True)
        ]
    lines = io.BytesIO()
    pl.DataFrame(columns).write_csv(lines, include_header=False, quote_style="never")
    return lines.getbuffer()
