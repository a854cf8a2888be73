"""What a model card is made from: one frozen value with everything that is known of a version when it is published."""

from functools import cached_property

import msgspec

from scoring.contract import Contract
from scoring.csv.rejects import NO_CONTENT
from scoring.models.policy import Policy
from scoring.models.registry import HistoryFile
from training.records.auc_gap import AucGap, find_gap
from training.records.findings import Comparison, Evaluation, Fitted, Part, SplitFigures

FORMAT = 1


class DataFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The loans that a version was learnt from and measured on."""

    files: tuple[HistoryFile, ...]
    """The history's files, in order."""
    rejected: dict[str, int]
    """Rows of the history that broke the contract, by rule."""
    split: SplitFigures
    """The two sides: fitted on, and held out."""

    @property
    def rows_in(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def loans_in(self) -> int:
        """Rows of all files that have any content: shares of rejected rows are shares of these."""
        return self.rows_in - sum(rows for rule, rows in self.rejected.items() if rule in NO_CONTENT)

    @property
    def loans_rejected(self) -> int:
        """Rows with content that broke the contract."""
        return sum(rows for rule, rows in self.rejected.items() if rule not in NO_CONTENT)

    @property
    def last_written(self) -> tuple[str, str] | None:
        """When the oldest and the newest of the files were last written (UTC, ISO 8601); None where none is left.

        A contract names no column that says when a loan was made: the span of the files is the nearest that is known.
        """
        moments = sorted(file.modified for file in self.files if file.modified)
        return (moments[0], moments[-1]) if moments else None


class RunFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The training run that made a version."""

    run_id: str
    """Its name."""
    seed: int
    """Of the split and of whatever was drawn."""
    held_out: float
    """Share of the loans that was never fitted on (0 to 1)."""
    folds: int
    """Parts of the train side, each left out in turn to choose parameters."""
    code_version: str
    """Version of this product."""


class CardFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Everything that a model card tells."""

    version: str
    """The version's name."""
    created: str
    """When it was published (UTC, ISO 8601)."""
    candidate: str
    """The candidate that won: its name is among `evaluations` and `fitted`."""
    contract: Contract
    """What the columns mean, and which the model sees."""
    data: DataFacts
    """The loans."""
    run: RunFacts
    """The run."""
    evaluations: tuple[Evaluation, ...]
    """Of every candidate on the held-out loans, in the order asked for."""
    fitted: tuple[Fitted, ...]
    """Of every candidate: parameters, calibration, what the choice rests on."""
    promoted: bool
    """Whether the run decided to put the version into production."""
    why: str
    """Why, or why not, in words."""
    chosen: str = ""
    """Why this candidate and no other, in words; empty where nobody said so."""
    policy: Policy | None = None
    """What a probability means to the lender."""
    comparison: Comparison | None = None
    """Against the champion of that time; None when there was none, or it cannot be compared."""
    limits: tuple[str, ...] = ()
    """What the owner of the model adds to the limits, one sentence each."""

    @cached_property
    def winner(self) -> Evaluation:
        """The winner's figures on the held-out loans."""
        return next(one for one in self.evaluations if one.candidate == self.candidate)

    @cached_property
    def learnt(self) -> Fitted:
        """How the winner was fitted."""
        return next(one for one in self.fitted if one.candidate == self.candidate)

    @cached_property
    def gaps(self) -> dict[str, AucGap | None]:
        """How far the AUC out of fold and on the held-out loans are apart, by candidate."""
        fitted = {one.candidate: one for one in self.fitted}
        return {
            one.candidate: find_gap(fitted[one.candidate].validation, one)
            for one in self.evaluations
            if one.candidate in fitted
        }


def share_of_defaults(side: Part) -> float:
    """Give the share of a side's loans that defaulted; of no loans, none did."""
    return side.defaults / max(side.rows, 1)
