"""What a training run was asked for: one frozen value, on disk before the first job, read by every node."""

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from scoring.atomic import write_bytes
from scoring.contract import Contract
from scoring.csv.chunks import Chunk
from scoring.errors import StorageError
from scoring.models.policy import Band
from training.records.run_folder import RunFolder

FORMAT = 3

BANDS: Final = (Band("A", 620), Band("B", 580), Band("C", 540), Band("D", 500), Band("E", 300))
"""With the default points: A up to a probability of default of 1 %, B 3.8 %, C 13.8 %, D 39 %."""


CHANCE_FROM: Final = 0.03
"""Bound of the calibration error below which a site is taken at its word, however few loans are held out."""


class PromoteMode(StrEnum):
    """What becomes of the best candidate once it is published."""

    AUTO = "auto"
    """It goes into production when it deserves to."""
    NEVER = "never"
    """It stays in the registry; a person may promote it."""
    FORCE = "force"
    """It goes into production whatever stands there."""


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate must reach before it replaces a champion."""

    margin_auc: float = 0.001
    """AUC that it must gain on the champion."""
    min_auc: float = 0.70
    """Least AUC on the held-out loans."""
    max_ece: float = CHANCE_FROM
    """Largest expected calibration error on the held-out loans; from CHANCE_FROM on, chance is allowed for."""


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the lender wants a probability of default to mean; with the threshold it becomes a `Policy`."""

    base_score: float = 600.0
    """Points at the base odds."""
    base_odds: float = 50.0
    """Odds of repayment to default, to 1, at the base score."""
    points_to_double: float = 20.0
    """Points that double the odds."""
    lowest_score: int = 300
    """Points are never fewer."""
    highest_score: int = 900
    """Points are never more."""
    bands: tuple[Band, ...] = BANDS
    """From the highest points to the lowest; the last one begins at `lowest_score`."""
    refer_share: float = 0.5
    """Where `refer_from` is 0: the share of `decline_from` from which a person looks at a loan (0 to 1)."""
    refer_from: float = 0.0
    """Probability of default from which a person looks at a loan; 0: by `refer_share`."""
    decline_from: float = 0.0
    """Probability of default from which a loan is declined; 0: the winner's threshold."""


class ClaimSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a scoring job of the site asks for."""

    cpus: int = 1
    """Cores."""
    memory_mb: int = 1
    """Memory (MB)."""
    disk_mb: int = 1
    """Scratch disk (MB)."""


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the history that one node reads."""

    number: int
    """1-based; the order of the shards is the order of the loans."""
    file: int
    """0-based position of its file in `RunRequest.history`."""
    chunk: Chunk
    """Which bytes and rows of that file."""


class RunRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a training run depends on, besides the loans themselves."""

    format: int
    """Version of this very format."""
    run_id: str
    """The run's name, which sorts by time; versions are named after it."""
    folder: str
    """The run's folder on the shared storage, absolute."""
    models: str
    """The registry's folder on the shared storage, absolute."""
    contract: Contract
    """How the history is read; becomes part of the published version."""
    history: tuple[str, ...]
    """The labelled files, absolute paths."""
    shards: tuple[Shard, ...]
    """How they are divided among nodes, in order."""
    candidates: tuple[str, ...]
    """Names of the candidates to train."""
    parameter_sets: dict[str, tuple[dict[str, float], ...]] = {}
    """By candidate, every set of parameters that is tried, complete; a blend has none."""
    promote: PromoteMode = PromoteMode.AUTO
    """What becomes of the best."""
    seed: int = 0
    """Of everything that is drawn: the split and whatever a candidate draws."""
    held_out: float = 0.2
    """Share of the loans that is never fitted on, about."""
    folds: int = 3
    """Parts of the other loans, of which each parameter set is fitted on all but one."""
    threads: int = 1
    """Threads (and CPUs) of each node."""
    max_running: int = 0
    """Fits that run at a time; 0: as many as there are slots."""
    min_rows_per_second: float = 0.0
    """Rows a second, CSV to CSV on one core, that the winner must score; 0: any."""
    gates: Gates = Gates()
    """What the winner must reach before it replaces a champion."""
    cost_of_bad: float = 0.0
    """What a loan costs that was accepted and defaults; with `cost_of_lost_good` 0 as well, F1 sets the threshold."""
    cost_of_lost_good: float = 0.0
    """What a loan costs that was declined and would have been repaid, in the same unit."""
    policy: PolicySettings = PolicySettings()
    """What a probability means to the lender."""
    scoring_job: ClaimSize = ClaimSize()
    """No node asks for less: a scoring job that waits then fits the slot of whichever node ends first."""

    @property
    def layout(self) -> RunFolder:
        """The names inside the run's folder."""
        return RunFolder(Path(self.folder))


def write_request(request: RunRequest) -> None:
    """Make the run's folders and put the request on disk, before anything else of the run exists.

    Raises OSError as the storage does.
    """
    layout = request.layout
    for folder in layout.folders(request.candidates):
        folder.mkdir(mode=0o770, parents=True, exist_ok=True)
    write_bytes(layout.request, msgspec.json.format(msgspec.json.encode(request), indent=1) + b"\n")


def read_request(path: Path) -> RunRequest:
    """Read a run's request. Raises StorageError when it is missing, damaged or of another format."""
    try:
        request = msgspec.json.decode(path.read_bytes(), type=RunRequest)
    except OSError as error:
        raise StorageError(f"The run's request {path} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise StorageError(f"The run's request {path} does not read: {error}.") from error
    if request.format != FORMAT:
        raise StorageError(
            f"The run's request {path} is of format {request.format}, this version reads {FORMAT}.",
            "Another version of this product began the run and deals folds differently: start a new training run.",
        )
    return request
