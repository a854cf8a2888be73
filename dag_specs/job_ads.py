"""HTCondor's ClassAds as values: which attributes are asked for, and how they are read.

An ad is read as a mapping.  An attribute may be absent, or an expression where a number is expected;
both count as not known, so that one odd ad (of a job that somebody edited) cannot stop the reader.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dag_specs.jobs import Job, JobId, JobState, Slot
from dag_specs.scoring_cluster import BATCH, CHUNK

CLUSTER_ATTRIBUTES = ["ClusterId"]
"""Enough to know that a cluster is there."""
JOB_ATTRIBUTES = [
    "ClusterId",
    "ProcId",
    "JobStatus",
    BATCH,
    CHUNK,
    "NumJobStarts",
    "EnteredCurrentStatus",
    "RemoteHost",
    "LastRemoteHost",
    "ExitBySignal",
    "ExitCode",
    "ExitSignal",
    "HoldReason",
    "HoldReasonCode",
    "HoldReasonSubCode",
    "RemoveReason",
    "RequestMemory",
]
"""What `job_from_ad` reads."""
SLOT_ATTRIBUTES = [
    "Name",
    "Machine",
    "SlotType",
    "Activity",
    "Cpus",
    "Memory",
    "Disk",
    "TotalSlotCpus",
    "TotalSlotMemory",
    "TotalSlotDisk",
]
"""What `slots_from_ads` reads."""

_KIB_PER_MB = 1024
# JobStatus in HTCondor's manual, "Job ClassAd attributes".
_STATES = {
    1: JobState.IDLE,
    2: JobState.RUNNING,
    3: JobState.REMOVED,
    4: JobState.COMPLETED,
    5: JobState.HELD,
    6: JobState.TRANSFERRING,
    7: JobState.SUSPENDED,
}

Ad = Mapping[str, Any]


def job_from_ad(ad: Ad, *, in_queue: bool) -> Job:
    """Return the job that an ad of the queue or of the history tells of."""
    state = _STATES.get(_number(ad, "JobStatus") or 0, JobState.IDLE)
    ended = state is JobState.COMPLETED
    by_signal = ad.get("ExitBySignal") is True
    held = state is JobState.HELD
    reason = _text(ad, "HoldReason") if held else _text(ad, "RemoveReason") if state is JobState.REMOVED else ""
    return Job(
        id=JobId(int(ad["ClusterId"]), _number(ad, "ProcId")),
        state=state,
        in_queue=in_queue,
        batch_id=_text(ad, BATCH),
        chunk=_number(ad, CHUNK),
        starts=_number(ad, "NumJobStarts") or 0,
        since=float(_number(ad, "EnteredCurrentStatus") or 0),
        host=_text(ad, "RemoteHost") or _text(ad, "LastRemoteHost"),
        exit_code=_number(ad, "ExitCode") if ended and not by_signal else None,
        exit_signal=_number(ad, "ExitSignal") if ended and by_signal else None,
        hold_code=_number(ad, "HoldReasonCode") if held else None,
        hold_subcode=_number(ad, "HoldReasonSubCode") if held else None,
        reason=reason,
        memory_mb=_number(ad, "RequestMemory") or 0,
    )


def slots_from_ads(ads: Iterable[Ad]) -> tuple[Slot, ...]:
    """Return the slots by name; a partitionable slot stands for its children."""
    known = list(ads)
    # A child whose claim is kept after its job is free for the next one.
    spare: dict[str, tuple[int, int]] = {}
    for ad in known:
        if _text(ad, "SlotType") == "Dynamic" and _text(ad, "Activity") == "Idle":
            cpus, memory = spare.get(parent := _parent(_text(ad, "Name")), (0, 0))
            spare[parent] = (cpus + (_number(ad, "Cpus") or 0), memory + (_number(ad, "Memory") or 0))
    own = [ad for ad in known if _text(ad, "SlotType") in {"Static", "Partitionable"}]
    slots = (_slot_from_ad(ad, spare.get(_text(ad, "Name"), (0, 0))) for ad in own)
    return tuple(sorted(slots, key=lambda slot: slot.name))


def _parent(name: str) -> str:
    """Name the slot that a dynamic one was cut from: slot1_2@host comes from slot1@host."""
    slot, _, host = name.partition("@")
    return f"{slot.rpartition('_')[0]}@{host}"


def _slot_from_ad(ad: Ad, spare: tuple[int, int]) -> Slot:
    partitionable = _text(ad, "SlotType") == "Partitionable"
    # A static slot has only the one size, and its claim may outlive the job: what counts is whether one runs.
    free = partitionable or _text(ad, "Activity") == "Idle"
    cpus, memory, disk = (_number(ad, name) or 0 for name in ("Cpus", "Memory", "Disk"))
    return Slot(
        name=_text(ad, "Name"),
        host=_text(ad, "Machine"),
        cpus=_number(ad, "TotalSlotCpus") or cpus,
        memory_mb=_number(ad, "TotalSlotMemory") or memory,
        disk_mb=(_number(ad, "TotalSlotDisk") or disk) // _KIB_PER_MB,
        free_cpus=(cpus if free else 0) + spare[0],
        free_memory_mb=(memory if free else 0) + spare[1],
        partitionable=partitionable,
    )


def _number(ad: Ad, name: str) -> int | None:
    value = ad.get(name)
    return int(value) if isinstance(value, int | float) else None


def _text(ad: Ad, name: str) -> str:
    value = ad.get(name)
    return value if isinstance(value, str) else ""
