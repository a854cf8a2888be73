"""What runs of a pool, as values that a command can print."""

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_pool import commands
from local_pool.configuration import MARKER, marker_of
from local_pool.pool_paths import PoolPaths
from local_pool.processes import ProcessId, find_marked

# Which ad in the collector tells the version of which daemon.
_AD_TYPES = {
    "condor_master": "DaemonMaster",
    "condor_collector": "Collector",
    "condor_negotiator": "Negotiator",
    "condor_schedd": "Scheduler",
    "condor_startd": "Machine",
}
_NEEDED = {*_AD_TYPES, "condor_shared_port"}
_DAEMONS = (*_AD_TYPES, "condor_shared_port", "condor_procd")


@dataclass(frozen=True, slots=True)
class Daemon:
    """One running daemon of the pool."""

    name: str
    """Such as condor_schedd."""
    pid: int
    """Its process number."""
    version: str
    """Such as 23.9.6; empty when unknown."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """What a pool is doing now."""

    home: Path
    """The pool's home folder."""
    condor_config: Path
    """The value for `CONDOR_CONFIG` of whoever uses the pool."""
    logs: Path
    """The folder of the daemons' logs."""
    running: bool
    """Whether every daemon runs, and the scheduler and every slot have reported."""
    daemons: tuple[Daemon, ...]
    """Those that run, by name."""
    slots: int
    """Jobs that the pool runs at a time."""
    slots_busy: int
    """How many of them run one now."""
    memory_mb: int
    """Megabytes for all slots together."""
    port: int | None
    """TCP port on loopback; None before the first start."""
    bin: Path | None
    """The folder of HTCondor's commands, `condor_dagman` among them; None before the first start."""
    htcondor_version: str
    """Of the daemons that the pool was started with; empty before the first start."""
    bindings_version: str
    """Of the Python bindings in this environment; empty when there are none."""


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """What the last start wrote down."""

    port: int
    """TCP, on loopback."""
    slots: int
    """Jobs that run at a time."""
    memory_mb: int
    """Megabytes for all slots together."""
    bin: Path
    """The folder of HTCondor's commands."""
    version: str
    """Of HTCondor."""

    def to_json(self) -> str:
        """Return the text of the record's file."""
        return json.dumps({name: _plain(getattr(self, name)) for name in self.__slots__}, indent=2) + "\n"


def _plain(value: str | int | Path) -> str | int:
    return str(value) if isinstance(value, Path) else value


def read_record(paths: PoolPaths) -> PoolRecord | None:
    """Return what the last start wrote down; None when there was none or the file is damaged."""
    try:
        raw: Any = json.loads(paths.state.read_text(encoding="utf-8"))
        return PoolRecord(
            port=int(raw["port"]),
            slots=int(raw["slots"]),
            memory_mb=int(raw["memory_mb"]),
            bin=Path(raw["bin"]),
            version=str(raw["version"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def find_processes(paths: PoolPaths) -> dict[ProcessId, str]:
    """Return every live process of the pool, its daemons' jobs included, with the name of its program."""
    marked = find_marked(f"{MARKER}={marker_of(paths)}")
    return {process: _program(process.pid) or stat.name for process, stat in marked.items()}


def _program(pid: int) -> str:
    # The kernel cuts the name that it keeps itself to 15 bytes.
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return ""
    return Path(command.decode(errors="replace")).name


def look(paths: PoolPaths) -> PoolStatus:
    """Return what the pool is doing now; never raises for a pool that is absent, down or half-dead."""
    record = read_record(paths)
    programs = find_processes(paths)
    ads: list[dict[str, Any]] = []
    # While one is missing, another program may be what answers on the port, or does not.
    if record is not None and set(programs.values()) >= _NEEDED:
        ads = commands.query(paths, record.bin, "-any") or []
    versions = {str(ad.get("MyType")): _version(str(ad.get("CondorVersion", ""))) for ad in ads}
    daemons = sorted(
        (
            # Some tell no version of their own, or not yet; they are of the same package.
            Daemon(name, process.pid, versions.get(_AD_TYPES.get(name, "")) or (record.version if record else ""))
            for process, name in programs.items()
        ),
        key=lambda daemon: (_DAEMONS.index(daemon.name) if daemon.name in _DAEMONS else len(_DAEMONS), daemon.pid),
    )
    machines = [ad for ad in ads if ad.get("MyType") == "Machine"]
    # The slots that jobs get from the partitionable one are part of it.
    whole = sum(int(ad.get("TotalSlotCpus", 0)) for ad in machines if ad.get("SlotType") != "Dynamic")
    # A claim that is only kept for the next job is claimed and idle.
    busy = sum(int(ad.get("Cpus", 0)) for ad in machines if ad.get("Activity") == "Busy")
    # An ad outlives its daemon, so the processes count as well.
    complete = set(programs.values()) >= _NEEDED and {"Scheduler", "Negotiator"} <= versions.keys()
    return PoolStatus(
        home=paths.home,
        condor_config=paths.condor_config,
        logs=paths.logs,
        running=record is not None and complete and whole >= record.slots,
        daemons=tuple(daemon for daemon in daemons if daemon.name in _DAEMONS),
        slots=record.slots if record else 0,
        slots_busy=busy,
        memory_mb=record.memory_mb if record else 0,
        port=record.port if record else None,
        bin=record.bin if record else None,
        htcondor_version=record.version if record else "",
        bindings_version=_bindings_version(),
    )


def _version(banner: str) -> str:
    # "$CondorVersion: 23.9.6 2024-08-08 BuildID: ... $"
    words = banner.split()
    return words[1] if len(words) > 1 else ""


def _bindings_version() -> str:
    try:
        return importlib.metadata.version("htcondor")
    except importlib.metadata.PackageNotFoundError:
        return ""
