"""Which machines a retry keeps away from: where jobs failed, were lost, or met trouble that no other machine had."""

from collections.abc import Iterable

from dag_specs.errors import DescriptionError
from dag_specs.events import EventKind, JobEvent
from dag_specs.jobs import Slot, count_places
from dag_specs.submit_language import check_host
from inbox_watcher.jobs.holds import Policy, is_storage_hold, policy_of
from scoring.chunk.job import EXIT_STORAGE

_MOST_AVOIDED = 50
"""Machines that one batch avoids at most."""


class Failures:
    """Hears from the events of jobs where they failed."""

    def __init__(self) -> None:
        """Start without any."""
        self._at: dict[tuple[int, int], str] = {}
        self._failed: dict[str, None] = {}
        self._storage: dict[str, None] = {}

    def take(self, event: JobEvent) -> None:
        """Take note of an event."""
        job = (event.cluster, event.proc)
        if event.kind is EventKind.EXECUTING:
            self._at[job] = event.host.rpartition("@")[2]
            return
        where = self._at.get(job)
        if where and _is_failure(event):
            hosts = self._storage if _is_storage(event) else self._failed
            hosts.pop(where, None)
            hosts[where] = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where jobs failed, the latest first, named as the events do.

        Trouble of the storage on several machines is the storage's; on one alone it may be that machine's mount.
        """
        alone = self._storage if len(self._storage) == 1 else {}
        return tuple(reversed([*alone, *(host for host in self._failed if host not in alone)]))


def _is_failure(event: JobEvent) -> bool:
    if event.kind is EventKind.TERMINATED:
        return event.exit_code != 0
    if event.kind is EventKind.HELD:
        return policy_of(event.hold_code, event.hold_subcode, event.reason) is Policy.RELEASE
    return event.kind in {EventKind.SHADOW_EXCEPTION, EventKind.RECONNECT_FAILED}


def _is_storage(event: JobEvent) -> bool:
    return event.exit_code == EXIT_STORAGE or is_storage_hold(event.hold_code, event.hold_subcode)


def join_hosts(latest: Iterable[str], before: Iterable[str]) -> tuple[str, ...]:
    """Give the hosts of the latest failures and those of the ones before, each once, not without bound."""
    return tuple(dict.fromkeys([*latest, *before]))[:_MOST_AVOIDED]


def choose_avoided(
    failed: Iterable[str], slots: Iterable[Slot], *, cpus: int, memory_mb: int, disk_mb: int
) -> tuple[str, ...]:
    """Choose the machines to avoid: all on which jobs failed, or none where that would leave no slot for the job."""
    known = tuple(slots)
    # A slot is named after its startd, which need not be called as its machine is.
    machines = {slot.name.rpartition("@")[2]: slot.host for slot in known}
    named = dict.fromkeys(machines.get(host, host) for host in failed)
    avoid = [host for host in named if _is_host(host)][:_MOST_AVOIDED]
    left = [slot for slot in known if slot.host not in avoid]
    return tuple(avoid) if count_places(left, cpus=cpus, memory_mb=memory_mb, disk_mb=disk_mb) else ()


def _is_host(name: str) -> bool:
    try:
        return bool(check_host(name))
    except DescriptionError:
        return False
