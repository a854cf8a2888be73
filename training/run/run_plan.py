"""From an order to a run: its name, its shards, its parameter sets; and whether the pool could ever run its nodes."""

import re
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from dag_specs.jobs import Slot, count_places, shrink_memory
from scoring.contract import Contract, find_problems
from scoring.errors import LoansError
from training.history.folds import FEWEST_FOLDS, MOST_FOLDS
from training.history.history_files import MAX_UNPACKED_BYTES, unpack_history
from training.history.shards import SHARDS, choose_shards, measure_history, plan_shards
from training.learners.blend import BLEND
from training.learners.grid import Grid, known_candidates, plan_sets
from training.records.request import FORMAT, ClaimSize, Gates, PolicySettings, PromoteMode, RunRequest
from training.records.run_folder import RunFolder
from training.run.nodes import DISK_MB, MEMORY_STEP_MB, Node, plan_nodes

CANDIDATES: Final = ("logistic", "tree")
"""The candidates of a run that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainOrder:
    """What a retrain is to do, with every path absolute."""

    training: Path
    """The site's folder of training runs on the shared storage."""
    models: Path
    """The registry on the shared storage."""
    history: tuple[Path, ...]
    """Labelled files on the shared storage."""
    contract: Contract
    """How they are read."""
    python: Path
    """The interpreter as every execute node sees it."""
    local_logs: Path
    """Folder on this machine's local disk for HTCondor's event logs."""
    candidates: tuple[str, ...] = CANDIDATES
    """Which candidates are trained."""
    grids: Mapping[str, Grid] = field(default_factory=dict)
    """By candidate, the values to try of each parameter named; a candidate without one has its own grid."""
    folds: int = 3
    """Parts of the train side, of which each parameter set is fitted on all but one."""
    seed: int = 0
    """Of the split and of whatever a candidate draws."""
    shards: int = SHARDS
    """Nodes that read the history, at least; more where the pool runs more at a time."""
    promote: PromoteMode = PromoteMode.AUTO
    """What becomes of the best."""
    threads: int = 1
    """Cores for each node, and threads that it takes."""
    max_running: int = 0
    """Fits that run at a time; 0: as many as there are slots."""
    min_rows_per_second: float = 0.0
    """Rows a second, on one core, that the winner must score; 0: any."""
    gates: Gates = field(default_factory=Gates)
    """What the winner must reach before it replaces a champion."""
    cost_of_bad: float = 0.0
    """What an accepted loan costs that defaults; 0 with the other cost: F1 sets the threshold."""
    cost_of_lost_good: float = 0.0
    """What a declined loan costs that would have been repaid, in the same unit."""
    policy: PolicySettings = field(default_factory=PolicySettings)
    """What a probability means to the lender."""
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES
    """Bytes that a `.csv.gz` of the history may unpack to."""
    scoring_job: ClaimSize = field(default_factory=ClaimSize)
    """What a scoring job of the site asks for; no node asks for less, as far as the pool has slots for that."""


def plan_run(order: RetrainOrder, slots: tuple[Slot, ...]) -> RunRequest:
    """Plan the shards and parameter sets and name the run; reads the history once.

    Writes nothing but what packed history files hold, into the run's folder, which goes again when this raises.
    Raises LoansError for an order that cannot be carried out, FileRefusedError when a history file cannot be read.
    """
    run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    if not order.history:
        raise LoansError(
            "There is no history to learn from.",
            "Put labelled CSV files into the site's history folder, or name them with --history.",
        )
    parameter_sets = plan_sets(order.candidates, order.grids)
    least = _fit_to_pool(order.scoring_job, slots)
    places = count_places(
        slots,
        cpus=max(order.threads, least.cpus),
        memory_mb=max(MEMORY_STEP_MB, least.memory_mb),
        disk_mb=max(DISK_MB, least.disk_mb),
    )
    layout = RunFolder(order.training / run_id)
    try:
        history = unpack_history(order.history, layout.history, order.max_unpacked_bytes)
        shards = choose_shards(measure_history(history), order.shards, places)
        request = RunRequest(
            format=FORMAT,
            run_id=run_id,
            folder=str(layout.root),
            models=str(order.models),
            contract=order.contract,
            history=tuple(map(str, history)),
            shards=plan_shards(history, order.contract, shards),
            candidates=order.candidates,
            parameter_sets=parameter_sets,
            promote=order.promote,
            seed=order.seed,
            folds=order.folds,
            threads=order.threads,
            max_running=order.max_running,
            min_rows_per_second=order.min_rows_per_second,
            gates=order.gates,
            cost_of_bad=order.cost_of_bad,
            cost_of_lost_good=order.cost_of_lost_good,
            policy=order.policy,
            scoring_job=least,
        )
        refuse_unusable(request)
        if _find_homeless(plan_nodes(request), slots):
            # On a pool of unlike slots, a node may fit one slot and a scoring job another.
            request = msgspec.structs.replace(request, scoring_job=ClaimSize())
    except BaseException:  # Ctrl-C leaves no unpacked history behind either
        shutil.rmtree(layout.root, ignore_errors=True)
        raise
    return request


def _fit_to_pool(job: ClaimSize, slots: tuple[Slot, ...]) -> ClaimSize:
    """Return what a scoring job asks for on this pool; nothing where the pool could never run one."""
    memory_mb = shrink_memory(slots, cpus=job.cpus, memory_mb=job.memory_mb, disk_mb=job.disk_mb)
    return msgspec.structs.replace(job, memory_mb=memory_mb) if memory_mb else ClaimSize()


def _find_homeless(nodes: tuple[Node, ...], slots: tuple[Slot, ...]) -> Node | None:
    """Return the first node that no slot could ever run."""
    for node in nodes:
        if not count_places(slots, cpus=node.cpus, memory_mb=node.memory_mb, disk_mb=node.disk_mb):
            return node
    return None


def check_places(nodes: tuple[Node, ...], slots: tuple[Slot, ...]) -> None:
    """Refuse a node that no slot could ever run: it would wait for ever and say nothing. Raises LoansError."""
    node = _find_homeless(nodes, slots)
    if node is None:
        return
    largest = max((slot.memory_mb for slot in slots), default=0)
    cpus = max((slot.cpus for slot in slots), default=0)
    raise LoansError(
        f"No slot of the pool can run node {node.name}: it needs {node.cpus} CPUs, {node.memory_mb:,} MB of "
        f"memory and {node.disk_mb:,} MB of disk. The pool's largest slot has "
        f"{cpus} CPUs, its roomiest {largest:,} MB of memory.",
        "Check `condor_status`, give the pool larger slots, ask for fewer `threads` under [training] in the "
        "site file, or train on fewer loans.",
    )


LARGEST_SEED: Final = 2**32 - 1
"""What numpy's and scikit-learn's generators take."""

_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,49}")


def refuse_unusable(request: RunRequest) -> None:
    """Raise LoansError with every problem of a request at once."""
    problems = request_problems(request)
    if problems:
        raise LoansError(
            f"The training run cannot start: {'; '.join(problems)}.",
            "Correct [training] in the site file, the contract, or what was asked for; nothing was begun.",
        )


def request_problems(request: RunRequest) -> list[str]:
    """List everything that makes a run impossible, in words; an empty list means that it can start."""
    problems = [f"contract: {problem}" for problem in find_problems(request.contract)]
    if request.contract.target is None:
        problems.append("the contract names no target, so that nothing can be learnt")
    if not _RUN_ID.fullmatch(request.run_id):
        problems.append(f"{request.run_id!r} is not the name of a run (letters, digits, - and _)")
    if not request.shards:
        problems.append("the history holds no loan, only a header")
    problems += _search_problems(request)
    if not 0 < request.held_out < 1:
        problems.append(f"the held-out share is {request.held_out}, it must lie between 0 and 1")
    if request.threads < 1:
        problems.append(f"{request.threads} threads cannot work")
    if not 0 <= request.seed <= LARGEST_SEED:
        problems.append(f"the seed is {request.seed}, it must be 0 to {LARGEST_SEED}")
    paths = [request.folder, request.models, *request.history]
    if any(not Path(path).is_absolute() for path in paths):
        problems.append("a path is not absolute")
    if any(not _is_text(path) for path in paths):
        problems.append("the name of a file or folder is not valid UTF-8")
    return problems


def _search_problems(request: RunRequest) -> list[str]:
    problems = []
    if not request.candidates:
        problems.append("there is no candidate to train")
    if len(set(request.candidates)) != len(request.candidates):
        problems.append("a candidate is named twice")
    known = known_candidates()
    unknown = sorted(name for name in request.candidates if name not in known)
    if unknown:
        problems.append(f"no such candidate: {', '.join(unknown)} (there are {', '.join(known)})")
    if BLEND in request.candidates and len(set(request.candidates)) < 3:
        problems.append(f"candidate {BLEND} needs two others at least")
    bare = [name for name in request.candidates if name != BLEND and not request.parameter_sets.get(name)]
    if bare:
        problems.append(f"no parameters to try for {', '.join(bare)}")
    if not FEWEST_FOLDS <= request.folds <= MOST_FOLDS:
        problems.append(f"there are {request.folds} folds, it must be {FEWEST_FOLDS} to {MOST_FOLDS}")
    if request.max_running < 0:
        problems.append(f"{request.max_running} fits at a time cannot run")
    return problems


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
