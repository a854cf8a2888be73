"""What a training run was asked for: one frozen value, on disk before the first job, read by every node."""

import re
from enum import StrEnum
from pathlib import Path

import msgspec

from scoring.atomic import write_bytes
from scoring.chunks import Chunk
from scoring.contract import Contract, find_problems
from scoring.errors import LoansError, StorageError
from training.run_folder import RunFolder

FORMAT = 1
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,49}")
_CANDIDATE = re.compile(r"[a-z][a-z0-9_]{0,39}")


class PromoteMode(StrEnum):
    """What becomes of the best candidate once it is published."""

    AUTO = "auto"
    """It goes into production when it deserves to."""
    NEVER = "never"
    """It stays in the registry; a person may promote it."""
    FORCE = "force"
    """It goes into production whatever stands there."""


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
    """Names of the candidates to train, each on its own node."""
    promote: PromoteMode = PromoteMode.AUTO
    """What becomes of the best."""
    seed: int = 0
    """Of everything that is drawn: the split and whatever a candidate draws."""
    held_out: float = 0.2
    """Share of the loans that is never fitted on."""
    threads: int = 1
    """Threads (and CPUs) of each node."""

    @property
    def layout(self) -> RunFolder:
        """The names inside the run's folder."""
        return RunFolder(Path(self.folder))


def request_problems(request: RunRequest) -> list[str]:
    """List everything that makes a run impossible, in words; an empty list means that it can start."""
    from training.candidates import CANDIDATES

    problems = [f"contract: {problem}" for problem in find_problems(request.contract)]
    if request.contract.target is None:
        problems.append("the contract names no target, so that nothing can be learnt")
    if not _RUN_ID.fullmatch(request.run_id):
        problems.append(f"{request.run_id!r} is not the name of a run (letters, digits, - and _)")
    if not request.history or not request.shards:
        problems.append("there is no history to learn from")
    if not request.candidates:
        problems.append("there is no candidate to train")
    if len(set(request.candidates)) != len(request.candidates):
        problems.append("a candidate is named twice")
    unknown = sorted(name for name in request.candidates if name not in CANDIDATES or not _CANDIDATE.fullmatch(name))
    if unknown:
        problems.append(f"no such candidate: {', '.join(unknown)} (there are {', '.join(CANDIDATES)})")
    if not 0 < request.held_out < 1:
        problems.append(f"the held-out share is {request.held_out}, it must lie between 0 and 1")
    if request.threads < 1:
        problems.append(f"{request.threads} threads cannot work")
    if request.seed < 0:
        problems.append(f"the seed is {request.seed}, it must be 0 or more")
    paths = [request.folder, request.models, *request.history]
    if any(not Path(path).is_absolute() for path in paths):
        problems.append("a path is not absolute")
    if any(not _is_text(path) for path in paths):
        problems.append("the name of a file or folder is not valid UTF-8")
    return problems


def write_request(request: RunRequest) -> None:
    """Make the run's folders and put the request on disk, before anything else of the run exists.

    Raises LoansError with every problem of the request at once, OSError as the storage does.
    """
    problems = request_problems(request)
    if problems:
        raise LoansError(f"The training run cannot start: {'; '.join(problems)}.")
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
        raise StorageError(f"The run's request {path} is of format {request.format}, this version reads {FORMAT}.")
    return request


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
