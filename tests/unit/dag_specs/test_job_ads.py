"""ClassAds read as values."""

from typing import Any

import pytest

from dag_specs.job_ads import job_from_ad, slots_from_ads
from dag_specs.jobs import JobId, JobState, Slot, count_places

AD: dict[str, Any] = {
    "ClusterId": 12,
    "ProcId": 3,
    "JobStatus": 2,
    "LoansBatch": "b1",
    "LoansChunk": 17,
    "NumJobStarts": 2,
    "EnteredCurrentStatus": 1_700_000_000,
    "RemoteHost": "slot1@node1",
    "LastRemoteHost": "slot1@node0",
    "RequestMemory": 512,
    "HoldReasonCode": 5,
    "HoldReason": "from before",
}


def test_running_job() -> None:
    """A running job tells where it runs; what is left of an earlier hold is not its own."""
    job = job_from_ad(AD, in_queue=True)
    assert (job.id, job.state, job.batch_id, job.chunk) == (JobId(12, 3), JobState.RUNNING, "b1", 17)
    assert (job.starts, job.since, job.host, job.memory_mb) == (2, 1_700_000_000.0, "slot1@node1", 512)
    assert (job.hold_code, job.hold_subcode, job.reason, job.exit_code, job.exit_signal) == (None, None, "", None, None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"JobStatus": 4, "ExitBySignal": False, "ExitCode": 3}, (JobState.COMPLETED, 3, None, None, "")),
        ({"JobStatus": 4, "ExitBySignal": True, "ExitSignal": 9}, (JobState.COMPLETED, None, 9, None, "")),
        ({"JobStatus": 5, "HoldReasonSubCode": 2}, (JobState.HELD, None, None, 5, "from before")),
        ({"JobStatus": 3, "RemoveReason": "by hand"}, (JobState.REMOVED, None, None, None, "by hand")),
        ({"JobStatus": 99}, (JobState.IDLE, None, None, None, "")),
    ],
)
def test_states(change: dict[str, Any], expected: tuple[object, ...]) -> None:
    """Each state tells what belongs to it."""
    job = job_from_ad(AD | change, in_queue=False)
    assert (job.state, job.exit_code, job.exit_signal, job.hold_code, job.reason) == expected


def test_odd_ad_does_not_stop_the_reader() -> None:
    """Absent attributes and expressions where numbers are expected count as not known."""
    job = job_from_ad({"ClusterId": 1, "ProcId": 0, "LoansChunk": object(), "RequestMemory": object()}, in_queue=True)
    assert (job.chunk, job.memory_mb, job.batch_id, job.host) == (None, 0, "", "")


STATIC = {"Name": "slot2@a", "Machine": "a", "SlotType": "Static", "Cpus": 1, "Memory": 1000, "Disk": 2_048_000}
PARTITIONABLE = {
    "Name": "slot1@b",
    "Machine": "b",
    "SlotType": "Partitionable",
    "Activity": "Idle",
    "Cpus": 2,
    "Memory": 3000,
    "Disk": 4_096_000,
    "TotalSlotCpus": 4,
    "TotalSlotMemory": 8000,
    "TotalSlotDisk": 8_192_000.0,
}
CHILD = {"Machine": "b", "SlotType": "Dynamic", "Cpus": 1, "Memory": 2000, "Disk": 2_048_000}


def test_slots() -> None:
    """A partitionable slot stands for its children; the idle ones among them count as free."""
    slots = slots_from_ads(
        [
            STATIC | {"Activity": "Busy"},
            STATIC | {"Name": "slot1@a", "Activity": "Idle"},
            PARTITIONABLE,
            CHILD | {"Name": "slot1_1@b", "Activity": "Busy"},
            CHILD | {"Name": "slot1_2@b", "Activity": "Idle"},
            {"MyType": "StartDaemon"},
        ]
    )
    assert [
        (slot.name, slot.cpus, slot.memory_mb, slot.disk_mb, slot.free_cpus, slot.free_memory_mb) for slot in slots
    ] == [
        ("slot1@a", 1, 1000, 2000, 1, 1000),
        ("slot1@b", 4, 8000, 8000, 3, 5000),
        ("slot2@a", 1, 1000, 2000, 0, 0),
    ]
    assert [slot.partitionable for slot in slots] == [False, True, False]


def _slot(cpus: int, memory: int, *, partitionable: bool) -> Slot:
    return Slot(
        name="s",
        host="h",
        cpus=cpus,
        memory_mb=memory,
        disk_mb=1000,
        free_cpus=0,
        free_memory_mb=0,
        partitionable=partitionable,
    )


@pytest.mark.parametrize(
    ("cpus", "memory", "places"), [(1, 1000, 5), (1, 2000, 4), (2, 1000, 3), (4, 1000, 1), (1, 9000, 0), (5, 1, 0)]
)
def test_places(cpus: int, memory: int, places: int) -> None:
    """A slot takes as many jobs as fit it, a static one at most one; what fits none would wait for ever."""
    slots = (_slot(4, 8000, partitionable=True), _slot(2, 1500, partitionable=False))
    assert count_places(slots, cpus=cpus, memory_mb=memory, disk_mb=10) == places


def test_no_slots_no_places() -> None:
    """An empty pool runs nothing."""
    assert count_places((), cpus=1, memory_mb=1, disk_mb=1) == 0
