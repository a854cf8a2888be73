"""Published models, input files and whole runs for the tests of scoring."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from scoring.chunk.plan import FORMAT, BatchPlan
from scoring.chunk.score import score_chunk
from scoring.contract import REFERENCE, Contract, load_contract
from scoring.csv.chunks import plan_chunks
from scoring.csv.source import open_source
from scoring.models.model import open_model
from scoring.models.registry import Pin, read_manifest
from scoring.results.receipt import Published, Receipt, publish_result
from tests.unit.scoring.csv_bodies import CONTRACT, LENIENT
from tests.unit.scoring.linear_model import publish_linear
from training.history.generate import generate_loans

settings.register_profile(
    "scoring",
    deadline=None,
    max_examples=60,
    # Every example writes into a folder of its own name or overwrites one file as a whole.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
settings.load_profile("scoring")


@dataclass(frozen=True)
class Registry:
    """A registry with one published version."""

    models: Path
    pin: Pin
    contract: Contract


@dataclass(frozen=True)
class Run:
    """A planned batch and where its results go."""

    batch: BatchPlan
    target: Published

    def score(self, *, open_once: bool = False) -> None:
        """Score every chunk here; `open_once`: as a process does that scores many."""
        opener = lru_cache(open_model) if open_once else open_model
        for chunk in self.batch.plan.chunks:
            score_chunk(self.batch, chunk.number, threads=1, opener=opener)

    def publish(self) -> Receipt:
        """Merge the parts and publish."""
        manifest, _ = read_manifest(Path(self.batch.models), self.batch.model.version)
        return publish_result(self.batch, msgspec.json.encode(self.batch), "loans.csv", manifest, self.target)

    def score_and_publish(self, *, open_once: bool = False) -> tuple[bytes, bytes, Receipt]:
        """Do it all; give predictions, rejects and the receipt."""
        self.score(open_once=open_once)
        receipt = self.publish()
        return self.target.predictions.read_bytes(), self.target.rejects.read_bytes(), receipt


PlanRun = Callable[..., Run]


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Leave out what only a power cut would show; the tests of durable writes put their own in its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scoring.atomic.os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def contract() -> Contract:
    """Give the reference contract."""
    return load_contract(REFERENCE)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, contract: Contract) -> Registry:
    """Give a registry with the hand-made model of the reference loans."""
    models = tmp_path_factory.mktemp("reference") / "models"
    return Registry(models, publish_linear(models), contract)


@pytest.fixture(scope="session")
def every_rule(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Give a registry with the hand-made model of the contract in which every rule occurs."""
    models = tmp_path_factory.mktemp("every_rule") / "models"
    return Registry(models, publish_linear(models, CONTRACT), CONTRACT)


@pytest.fixture(scope="session")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Give a registry with the hand-made model of the contract that lets every value be missing."""
    models = tmp_path_factory.mktemp("lenient") / "models"
    return Registry(models, publish_linear(models, LENIENT), LENIENT)


@pytest.fixture(scope="session")
def generated() -> bytes:
    """Give 2,000 generated loans of the reference contract, header first."""
    sink = io.BytesIO()
    generate_loans(2_000, 5, labelled=False, sink=sink)
    return sink.getvalue()


@pytest.fixture
def plan_run(tmp_path: Path) -> PlanRun:
    """Give a function that writes a file, plans it into about so many chunks, and names its results."""
    count = 0

    def plan(registry: Registry, content: bytes, chunks: int = 1) -> Run:
        nonlocal count
        count += 1
        folder = tmp_path / f"run{count}"
        (folder / "parts").mkdir(parents=True)
        path = folder / "loans.csv"
        path.write_bytes(content)
        source = open_source(path, registry.contract)
        batch = BatchPlan(
            FORMAT,
            f"batch{count}",
            plan_chunks(source, max(1, -(-(source.bytes - source.body) // chunks))),
            str(registry.models),
            registry.pin,
            str(folder / "parts"),
        )
        out = folder / "out"
        out.mkdir()
        target = Published(out / "loans.predictions.csv", out / "loans.rejects.csv", out / "loans.receipt.json")
        return Run(batch, target)

    return plan
