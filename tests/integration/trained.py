"""A retrain on the real loans, once for all integration tests that need a model."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from dag_specs.scheduler import connect
from local_pool.status import PoolStatus
from scoring.contract import REFERENCE, load_contract
from training.run.progress import NodeProgress
from training.run.retrain import RetrainResult, retrain
from training.run.run_plan import RetrainOrder

HISTORY = Path(__file__).parents[3] / "shared" / "data" / "loans_history.csv"
"""The real loans, which lie beside the repository on the team's machines."""


@dataclass(frozen=True)
class TrainedSite:
    """A site's folders after one retrain."""

    root: Path
    """The shared tree; `models` holds the registry."""
    history: Path
    """The loans that it learnt from."""
    result: RetrainResult
    """How the retrain ended."""
    progress: tuple[NodeProgress, ...]
    """What it told while it ran."""

    @property
    def models(self) -> Path:
        """The registry."""
        return self.root / "models"


def order_retrain(root: Path, history: Path, python: Path | None = None) -> RetrainOrder:
    """Order a retrain of the two classics in the shared tree at `root`."""
    for folder in ("training", "models"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    return RetrainOrder(
        training=root / "training",
        models=root / "models",
        history=(history,),
        contract=load_contract(REFERENCE),
        python=python or Path(sys.executable),
        local_logs=root / "local",
    )


@cache
def _train(condor_config: Path, root: Path) -> TrainedSite:
    told: list[NodeProgress] = []
    result = retrain(order_retrain(root, HISTORY), connect(str(condor_config)), told.append)
    return TrainedSite(root=root, history=HISTORY, result=result, progress=tuple(told))


@pytest.fixture(scope="session")
def trained(pool: PoolStatus, tmp_path_factory: pytest.TempPathFactory) -> TrainedSite:
    """Give a site with a model, trained on the pool; once, however many test files import this fixture."""
    assert HISTORY.exists(), "the file of real loans is not beside this checkout: ../shared/data/loans_history.csv"
    return _train(pool.condor_config, tmp_path_factory.getbasetemp() / "trained site")
