"""What no slot could ever run is known before it is submitted."""

from dataclasses import replace

import pytest

from dag_specs.jobs import Slot
from inbox_watcher.jobs.matching import Fits, Refused, Shrunk, check_request, explain_idle
from tests.unit.dag_specs.in_memory_scheduler import SLOT

STATIC = replace(
    SLOT, name="slot1@b", host="b", cpus=1, memory_mb=6144, free_cpus=1, free_memory_mb=6144, partitionable=False
)


@pytest.mark.parametrize(
    ("slots", "cpus", "memory", "disk", "verdict"),
    [
        ((SLOT,), 1, 512, 128, Fits()),
        ((SLOT,), 2, 4096, 4096, Fits()),
        ((SLOT, STATIC), 1, 6144, 128, Fits()),
        ((SLOT,), 1, 8192, 128, Shrunk(4096, "jobs ask for 4 GB instead of 8 GB")),
        ((SLOT, STATIC), 2, 6144, 128, Shrunk(4096, "instead of 6 GB (scoring.memory_mb)")),
        ((replace(SLOT, memory_mb=1000),), 1, 2048, 128, Shrunk(896, "896 MB")),
        ((replace(SLOT, memory_mb=200),), 1, 512, 128, Refused("the largest has 200 MB of memory.", "")),
        ((SLOT,), 3, 512, 128, Refused("could ever run a job of 3 CPUs, 512 MB of memory", "")),
        ((SLOT,), 1, 512, 9216, Refused("the largest has 4 GB of scratch disk.", "")),
        ((SLOT,), 4, 9216, 128, Refused("the largest has 2 CPUs and 4 GB of memory.", "")),
        ((), 1, 512, 128, Fits("the pool has no slots at the moment")),
    ],
)
def test_request_is_checked(
    slots: tuple[Slot, ...], cpus: int, memory: int, disk: int, verdict: Fits | Shrunk | Refused
) -> None:
    """A generous default is shrunk to the largest slot and told; what cannot be had at all is refused in words."""
    found = check_request(slots, cpus=cpus, memory_mb=memory, disk_mb=disk)
    match found, verdict:
        case Fits(warning), Fits(words):
            assert words in warning
            assert bool(words) == bool(warning)
        case Shrunk(size, warning), Shrunk(wanted, words):
            assert size == wanted
            assert words in warning
        case Refused(sentence, way_out), Refused(words, _):
            assert words in sentence
            assert "scoring.cpus" in way_out
        case _:
            pytest.fail(f"{found}")


@pytest.mark.parametrize(
    ("slots", "memory", "words"),
    [
        ((), 512, "the pool has no slots"),
        ((SLOT, STATIC), 8192, "none of the pool's 2 slots has 8 GB, the largest has 6 GB"),
        ((SLOT,), 512, "1 slot could take them: they start at the pool's next negotiation"),
        (
            (replace(SLOT, free_memory_mb=256),),
            512,
            "none of the pool's 1 slot has 512 MB free, the largest has 256 MB",
        ),
        ((replace(SLOT, free_cpus=0), replace(STATIC, free_cpus=0)), 512, "every one of the pool's 2 slots is busy"),
        ((replace(SLOT, disk_mb=1),), 512, "none of the pool's 1 slot could ever run them: the largest has 1 MB of"),
    ],
)
def test_waiting_is_explained(slots: tuple[Slot, ...], memory: int, words: str) -> None:
    """The reason tells what is there and what is not."""
    text, _ = explain_idle(slots, cpus=1, memory_mb=memory, disk_mb=128)
    assert text.startswith(words)
