"""Whether a training run can be carried out as it was asked for: pure, before anything of it is on disk."""

import re
from pathlib import Path
from typing import Final

from scoring.contract import find_problems
from scoring.errors import LoansError
from training.learning.blend import BLEND
from training.learning.grid import known_candidates
from training.loans.folds import FEWEST_FOLDS, MOST_FOLDS
from training.records.request import RunRequest

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
