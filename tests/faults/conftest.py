"""What the tests of faults share: a runner of jobs and the results of an undisturbed run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import Bench, JobRunner, deliveries, made_bench, made_runner
from tests.integration.conftest import pool as pool  # noqa: PLC0414 - a fixture is found by its name here
from tests.unit.inbox_watcher.conftest import loans


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests to `make test-faults`, which asks for all of them."""
    if os.environ.get("LOANS_FAULTS") != "all":
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobRunner]:
    """Run jobs for all tests."""
    with made_runner(tmp_path_factory.mktemp("runner")) as started:
        yield started


@pytest.fixture(scope="session")
def old_receipt(tmp_path_factory: pytest.TempPathFactory, runner: JobRunner) -> bytes:
    """Give the receipt of a file that was published long ago."""
    with made_bench(tmp_path_factory.mktemp("old"), runner) as bench:
        bench.drop({"old.csv": loans(30, seed=4)})
        bench.start()
        bench.finish()
        return (bench.layout.outbox / "old.receipt.json").read_bytes()


@pytest.fixture(scope="session")
def wanted(tmp_path_factory: pytest.TempPathFactory, runner: JobRunner, old_receipt: bytes) -> dict[str, bytes]:
    """Give what comes out when nothing disturbs."""
    with made_bench(tmp_path_factory.mktemp("calm"), runner, old_receipt) as calm:
        calm.drop(deliveries())
        calm.start()
        calm.finish()
        found = calm.results()
        calm.check(found)
    assert sum(name.endswith("predictions.csv") for name in found) == 4
    assert sum(name.endswith("error.txt") for name in found) == 2
    return found


@pytest.fixture
def bench(tmp_path: Path, runner: JobRunner, old_receipt: bytes) -> Iterator[Bench]:
    """Make a site of its own for a test."""
    runner.arm([])
    with made_bench(tmp_path / "site", runner, old_receipt) as made:
        yield made
