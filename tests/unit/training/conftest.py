"""Loans, runs and fitted candidates for the tests of training."""

import importlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from scoring.contract import REFERENCE, Contract, load_contract
from training.history.generate import generate_loans
from training.history.labelled_loans import LabelledLoans, join_loans
from training.history.shards import plan_shards
from training.judging import throughput
from training.learners.blend import BLEND
from training.learners.grid import Grid, plan_sets
from training.nodes.preprocess import read_shard
from training.records.request import FORMAT, PromoteMode, RunRequest, write_request
from training.run.nodes import Node, plan_nodes

REPOSITORY = Path(__file__).parents[3]

MakeRequest = Callable[..., RunRequest]


@pytest.fixture(scope="session")
def contract() -> Contract:
    """Give the reference contract."""
    return load_contract(REFERENCE)


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of 4,000 generated, labelled loans."""
    path = tmp_path_factory.mktemp("history") / "generated loans.csv"
    sink = io.BytesIO()
    generate_loans(4_000, 11, labelled=True, sink=sink)
    path.write_bytes(sink.getvalue())
    return path


@pytest.fixture(scope="session")
def real_history() -> Path:
    """Give the file of real loans that lies beside the repository on the team's machines."""
    path = REPOSITORY.parent / "shared" / "data" / "loans_history.csv"
    assert path.exists(), "the file of real loans is not beside this checkout: ../shared/data/loans_history.csv"
    return path


@pytest.fixture
def make_request(tmp_path: Path, contract: Contract) -> MakeRequest:
    """Give a function that writes a run's request for some history files; without a grid, of one set per candidate."""

    def make(
        *history: Path,
        shards: int = 2,
        candidates: tuple[str, ...] = ("logistic", "tree"),
        promote: PromoteMode = PromoteMode.AUTO,
        seed: int = 0,
        folds: int = 3,
        grids: Mapping[str, Grid] | None = None,
    ) -> RunRequest:
        request = RunRequest(
            format=FORMAT,
            run_id="20260102-030405",
            folder=str(tmp_path / "training" / "20260102-030405"),
            models=str(tmp_path / "models"),
            contract=contract,
            history=tuple(map(str, history)),
            shards=plan_shards(history, contract, shards),
            candidates=candidates,
            parameter_sets=plan_sets(
                candidates, {name: {} for name in candidates if name != BLEND} | dict(grids or {})
            ),
            promote=promote,
            seed=seed,
            folds=folds,
        )
        write_request(request)
        return request

    return make


@pytest.fixture(scope="session")
def loans(history: Path, contract: Contract) -> LabelledLoans:
    """Give the generated loans as arrays, in the order of their file."""
    shards = plan_shards([history], contract, 1)
    request = RunRequest(FORMAT, "run", "/run", "/models", contract, (str(history),), shards, ("tree",))
    return join_loans([read_shard(request, shard)[0] for shard in shards])


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """Undo what a node's thread limit leaves in the environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunRequest], dict[str, int]]:
    """Give a function that runs nodes in this process and tells the exit code of each.

    Speed is measured on a tenth of the rows: no test of a run asks how fast a model is to the last digits.
    """
    monkeypatch.setattr(throughput, "ROWS", throughput.ROWS // 10)

    def run(request: RunRequest, *names: str) -> dict[str, int]:
        nodes = [node for node in plan_nodes(request) if not names or node.name in names]
        return {node.name: importlib.import_module(node.module).main(node.arguments) for node in nodes}

    return run


@pytest.fixture
def run_process() -> Callable[[Node], "subprocess.CompletedProcess[str]"]:
    """Give a function that runs one node as HTCondor would: as a process of its own."""

    def run(node: Node) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", node.module, *node.arguments]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)

    return run
