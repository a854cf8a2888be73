"""The submit description of a batch, letter by letter."""

import dataclasses
from pathlib import Path

import pytest

from dag_specs.errors import DescriptionError
from dag_specs.scoring_cluster import ChunkCluster, describe_chunks, queue_items, queue_limits

CLUSTER = ChunkCluster(
    batch_id="20260101-batch.1",
    python=Path("/opt/loans/.venv/bin/python"),
    plan_path=Path("/nfs/our loans/batches/20260101-batch.1/plan.json"),
    chunks=(0, 1, 7),
    event_log=Path("/var/lib/loans/20260101-batch.1.log"),
    job_log_folder=Path("/nfs/our loans/batches/20260101-batch.1/logs"),
    cpus=2,
    memory_mb=512,
    disk_mb=64,
)

GOLDEN = """\
universe = vanilla
executable = /opt/loans/.venv/bin/python
arguments = "-I -m scoring.chunk.job --plan '/nfs/our loans/batches/20260101-batch.1/plan.json' --chunk $(chunk)"
transfer_executable = false
should_transfer_files = NO
getenv = false
environment = "PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 \
MKL_NUM_THREADS=2 POLARS_MAX_THREADS=2"
initialdir = /nfs/our loans/batches/20260101-batch.1/logs
output = $(chunk).out
error = $(chunk).err
log = /var/lib/loans/20260101-batch.1.log
request_cpus = 2
request_memory = 512
request_disk = 65536
keep_claim_idle = 300
job_lease_duration = 120
priority = 998
leave_in_queue = false
notification = never
batch_name = 20260101-batch.1
My.LoansBatch = "20260101-batch.1"
My.LoansChunk = $(chunk)
"""


def test_description() -> None:
    """A batch's description is exactly this text."""
    assert describe_chunks(CLUSTER) == GOLDEN


def test_description_of_a_group() -> None:
    """The one job of a group of small files is told the list of their chunks, and goes before every larger batch."""
    group = dataclasses.replace(
        CLUSTER, plan_path=Path("/nfs/our loans/batches/g/chunks.json"), listed=True, chunks=(0,)
    )
    lines = describe_chunks(group).splitlines()
    assert lines[2] == "arguments = \"-I -m scoring.chunk.job --list '/nfs/our loans/batches/g/chunks.json'\""
    assert [line for line in lines if line not in GOLDEN.splitlines()] == [lines[2], "priority = 1000"]


@pytest.mark.parametrize(("chunks", "priority"), [(1, 1000), (2, 999), (3, 998), (1000, 990), (10_000, 986)])
def test_the_more_jobs_the_later(chunks: int, priority: int) -> None:
    """A job's priority falls with the number of jobs that its batch brings."""
    cluster = dataclasses.replace(CLUSTER, chunks=tuple(range(chunks)))
    assert f"\npriority = {priority}\n" in describe_chunks(cluster)


def test_machines_are_avoided() -> None:
    """A retry is kept away from machines by their names; nothing but a host's name gets into the expression."""
    away = dataclasses.replace(CLUSTER, avoid_hosts=("node7.example.org", "10.0.0.3"))
    assert describe_chunks(away) == GOLDEN + (
        'requirements = (TARGET.Machine =!= "node7.example.org") && (TARGET.Machine =!= "10.0.0.3")\n'
    )
    for host in ("", "-x", 'a" || true || "', "a b", "a\nexecutable = /bin/sh", "$(HOST)", "a" * 255, "n\u00f6de"):
        with pytest.raises(DescriptionError, match="machine"):
            describe_chunks(dataclasses.replace(CLUSTER, avoid_hosts=(host,)))


def test_huge_batch_is_materialized_bit_by_bit() -> None:
    """Only a batch of more chunks than the queue may hold is limited; its jobs appear as others end."""
    few = dataclasses.replace(CLUSTER, max_materialize=3)
    many = dataclasses.replace(CLUSTER, max_materialize=2, max_idle=1)
    assert describe_chunks(few) == GOLDEN
    assert describe_chunks(many) == GOLDEN + "max_materialize = 2\nmax_idle = 1\n"


@pytest.mark.parametrize(
    ("places", "limits"), [(0, (1000, 200)), (2, (1000, 200)), (500, (1000, 500)), (3000, (6000, 3000))]
)
def test_a_large_pool_gets_more_of_a_batch_at_a_time(places: int, limits: tuple[int, int]) -> None:
    """With every slot busy, as many jobs wait as the pool runs, and never fewer than on a small pool."""
    assert dataclasses.astuple(queue_limits(places)) == limits


def test_items_are_the_chunks_in_order() -> None:
    """Job P of the cluster scores the P-th chunk that was named."""
    assert queue_items(CLUSTER) == ({"chunk": "0"}, {"chunk": "1"}, {"chunk": "7"})


@pytest.mark.parametrize("chunks", [(), (1, 1), (-1,), (True,)])
def test_odd_chunks_are_refused(chunks: tuple[int, ...]) -> None:
    """No chunk, the same one twice, or what is no chunk number: nothing is submitted."""
    with pytest.raises(DescriptionError):
        queue_items(dataclasses.replace(CLUSTER, chunks=chunks))


@pytest.mark.parametrize(
    "change",
    [
        {"batch_id": 'x"\nexecutable = /bin/false'},
        {"python": Path("/opt/$(HOME)/python")},
        {"plan_path": Path("/nfs/a\nb")},
        {"plan_path": Path("plan.json")},
        {"event_log": Path('/var/"log')},
        {"job_log_folder": Path("/nfs/logs\\")},
        {"cpus": 0},
        {"memory_mb": 0},
        {"disk_mb": 0},
        {"keep_claim_idle_seconds": -1},
        {"job_lease_seconds": 5},
        {"max_materialize": 0},
        {"max_materialize": 1, "max_idle": 0},
    ],
)
def test_values_that_would_break_out_are_refused(change: dict[str, object]) -> None:
    """Every single value is looked at before it becomes text."""
    with pytest.raises(DescriptionError):
        describe_chunks(dataclasses.replace(CLUSTER, **change))  # type: ignore[arg-type]
