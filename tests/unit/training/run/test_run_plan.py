"""What a run asks of the pool: shards for its places, and nodes whose slots a waiting scoring job can take over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag_specs.jobs import Slot
from scoring.contract import Contract
from scoring.errors import LoansError
from tests.unit.dag_specs.in_memory_scheduler import SLOT
from training.history import shards
from training.history.shards import FEW_SHARDS, SHARD_BYTES, choose_shards
from training.records.request import ClaimSize, RunRequest
from training.run.nodes import plan_nodes
from training.run.run_plan import RetrainOrder, check_places, plan_run

WIDE = replace(SLOT, cpus=64, memory_mb=64 * 512, disk_mb=64 * 1024)
"""One partitionable slot of 64 cores."""

MakeOrder = Callable[..., RetrainOrder]


@pytest.fixture
def make_order(tmp_path: Path, history: Path, contract: Contract) -> MakeOrder:
    """Give a function that orders a run of one candidate."""

    def make(**wishes: object) -> RetrainOrder:
        return RetrainOrder(
            training=tmp_path / "training",
            models=tmp_path / "models",
            history=(history,),
            contract=contract,
            python=Path("/usr/bin/python3"),
            local_logs=tmp_path / "logs",
            candidates=("tree",),
            **wishes,  # type: ignore[arg-type]
        )

    return make


@given(size=st.integers(0, 1 << 44), least=st.integers(1, 100), places=st.integers(0, 20_000))
def test_shards_fit_history_and_pool(size: int, least: int, places: int) -> None:
    """There are as many shards as asked for; more run at once, and beyond a few each is worth a node."""
    chosen = choose_shards(size, least, places)
    assert chosen >= least
    assert chosen <= max(least, places)
    assert chosen <= max(least, FEW_SHARDS, size // SHARD_BYTES)
    if size >= places * SHARD_BYTES:
        assert chosen == max(least, places)


@pytest.mark.parametrize(
    ("slots", "wishes", "places"),
    [
        ((WIDE,), {}, 64),
        ((WIDE,), {"threads": 4}, 16),
        ((WIDE,), {"scoring_job": ClaimSize(1, 1024, 1)}, 32),
        ((WIDE,), {"shards": 70}, 70),
        ((replace(WIDE, memory_mb=8192),), {}, 16),
        ((replace(WIDE, cpus=3, partitionable=False),), {}, 2),
    ],
)
def test_a_large_history_uses_the_whole_pool(
    make_order: MakeOrder,
    monkeypatch: pytest.MonkeyPatch,
    slots: tuple[Slot, ...],
    wishes: dict[str, object],
    places: int,
) -> None:
    """A large history is read by as many nodes as the pool runs at a time, whatever the number of its slots."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 1000)
    planned = plan_run(make_order(**wishes), slots).shards
    # Shards end at records, so a few fewer than wanted.
    assert places - max(places // 10, 1) < len(planned) <= places


def test_a_small_history_is_not_cut_to_pieces(make_order: MakeOrder) -> None:
    """On a large pool, too, a small history is read by a few nodes."""
    assert len(plan_run(make_order(), (WIDE,)).shards) == FEW_SHARDS


@pytest.mark.parametrize(
    ("job", "least"),
    [
        (ClaimSize(1, 512, 128), (1, 512, 128)),
        (ClaimSize(4, 5000, 300), (4, 5000, 300)),
        # Scoring jobs ask for less than the site says where no slot has that much.
        (ClaimSize(1, 1_000_000, 128), (1, WIDE.memory_mb, 128)),
        # Scoring jobs that no slot could ever run make no node wait for ever.
        (ClaimSize(65, 512, 128), (1, 512, 128)),
        (ClaimSize(1, 512, 1_000_000), (1, 512, 128)),
    ],
)
def test_every_node_leaves_a_slot_that_a_scoring_job_fits(
    make_order: MakeOrder, job: ClaimSize, least: tuple[int, int, int]
) -> None:
    """No node asks for fewer cores, less memory or less disk than a scoring job of the site does on this pool."""
    request = plan_run(make_order(scoring_job=job), (WIDE,))
    for node in plan_nodes(request):
        asked = (node.cpus, node.memory_mb, node.disk_mb)
        assert all(has >= needed for has, needed in zip(asked, least, strict=True))
        assert asked == least or node.memory_mb > least[1]
    check_places(plan_nodes(request), (WIDE,))


def test_unlike_slots_refuse_no_node(make_order: MakeOrder) -> None:
    """Where a node fits one slot, and a scoring job another alone, the node asks for what it needs itself."""
    roomy = replace(SLOT, cpus=1, memory_mb=4096, partitionable=False)
    broad = replace(SLOT, cpus=8, memory_mb=300, partitionable=False)
    request = plan_run(make_order(scoring_job=ClaimSize(8, 256, 128)), (roomy, broad))
    assert {node.cpus for node in plan_nodes(request)} == {1}
    check_places(plan_nodes(request), (roomy, broad))
    with pytest.raises(LoansError):
        check_places(plan_nodes(request), (broad,))


def test_a_request_of_an_earlier_version_is_read(make_order: MakeOrder) -> None:
    """A run that began before scoring jobs had a say can be resumed."""
    told = msgspec.to_builtins(plan_run(make_order(), (WIDE,)))
    del told["scoring_job"]
    request = msgspec.convert(told, RunRequest)
    assert all(node.memory_mb >= 512 for node in plan_nodes(request))
