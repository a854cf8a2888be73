"""What runs of a pool, as values that a command can print."""

import importlib.metadata
import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_pool import machine as commands
from local_pool.configuration import MARKER, marker_of
from local_pool.errors import PoolError, PortTakenError
from local_pool.pool_paths import PoolPaths
from local_pool.processes import ProcessId, find_marked, wait_until

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


# The first lines of the events of a job log, by what they mean.
_TERMINATED = re.compile(r"^005 \(", re.MULTILINE)
_HELD = re.compile(r"^012 \(.*\n\t(.*)", re.MULTILINE)
_TROUBLE = re.compile(r"error|fail|denied|cannot|can't|unable|refus|abort|exiting with status [1-9]", re.IGNORECASE)
# What every start says in a healthy pool, too.
_USUAL = re.compile(r"Daemon Log is logging|getpwnam|shared_port_ad: No such file")
_LINES_SHOWN = 8
# Bytes from the end of a log that are looked at.
_TAIL = 64_000
# In the order in which a start goes through them.
_LOGS = ("MasterOutput", "MasterLog", "SharedPortLog", "CollectorLog", "SchedLog", "StartLog", "NegotiatorLog")
_PORT_TAKEN = "Address already in use"
_REASONS = (
    (_PORT_TAKEN.lower(), "its port was taken by another program"),
    ("no space left", "the disk is full"),
    ("disk quota exceeded", "the disk quota is used up"),
    ("read-only file system", "its home is on a read-only file system"),
    ("too many open files", "too many files are open"),
    ("cannot allocate memory", "the memory is used up"),
    ("permission denied", "a file could not be opened"),
)


def wait_until_ready(paths: PoolPaths, log_starts: dict[str, int], deadline: float) -> None:
    """Return when the scheduler and every slot have reported and a job has run on one of them.

    `log_starts` are the sizes in bytes of the logs before the start, so that a failure is
    explained by what was written since; `deadline` is a time of the monotonic clock.  Raises
    `PortTakenError` as soon as the logs say so, and `PoolError` with the reason from the logs when
    the master ends or the deadline passes.
    """
    while not look(paths).running:
        if "condor_master" not in find_processes(paths).values():
            raise explain(paths, log_starts, "the pool's master ended at once")
        if _PORT_TAKEN in _tail(paths.logs / "MasterLog", log_starts.get("MasterLog", 0)):
            raise PortTakenError("the pool's port was taken by another program.")
        if time.monotonic() >= deadline:
            raise explain(paths, log_starts, "the pool's daemons did not report in time")
        time.sleep(0.1)
    _run_probe(paths, log_starts, deadline)


def _run_probe(paths: PoolPaths, log_starts: dict[str, int], deadline: float) -> None:
    record = read_record(paths)
    assert record is not None  # noqa: S101 - the pool that reports has been recorded
    # Names are relative to the probe's folder, so the home's own name never reaches the submit language.
    description = paths.probe / "probe.sub"
    log = paths.probe / "probe.log"
    log.unlink(missing_ok=True)
    description.write_text(
        f"executable = {shutil.which('true') or '/bin/true'}\n"
        "transfer_executable = false\n"
        "should_transfer_files = no\n"
        "request_cpus = 1\nrequest_memory = 1\nrequest_disk = 1\n"
        # Ahead of whatever a queue from before still holds.
        "priority = 1000000\n"
        "batch_name = pool-probe\n"
        "log = probe.log\n"
        "queue\n",
        encoding="utf-8",
    )
    submitted = commands.run(paths, record.bin / "condor_submit", "-terse", description.name, cwd=paths.probe)
    if submitted.returncode != 0:
        raise explain(paths, log_starts, "the pool took no job", submitted.stderr)
    cluster = submitted.stdout.split(".")[0].strip()
    held: str | None = None

    def is_over() -> bool:
        nonlocal held
        text = _tail(log, 0)
        if found := _HELD.search(text):
            held = found[1]
        return held is not None or _TERMINATED.search(text) is not None

    if not wait_until(is_over, max(0.0, deadline - time.monotonic())):
        # Jobs of a queue from before hold every slot: that they run shows as much.
        busy = look(paths).slots_busy
        commands.run(paths, record.bin / "condor_rm", cluster)
        if not busy:
            raise explain(paths, log_starts, "the pool's daemons run, but a test job did not")
    elif held is not None:
        commands.run(paths, record.bin / "condor_rm", cluster)
        raise explain(paths, log_starts, "the pool could not run a test job", held)


def log_sizes(paths: PoolPaths) -> dict[str, int]:
    """Return the size in bytes of each log that a start is explained by; 0 for one that is not there."""
    sizes = {}
    for name in _LOGS:
        try:
            sizes[name] = (paths.logs / name).stat().st_size
        except OSError:
            sizes[name] = 0
    return sizes


def explain(paths: PoolPaths, log_starts: dict[str, int], sentence: str, told: str = "") -> PoolError:
    """Return the error for a start that failed: `sentence`, the reason in plain words, what the logs say.

    `told` is what a command said beside the logs.
    """
    lines = told.strip().splitlines()
    for name in _LOGS:
        text = _tail(paths.logs / name, log_starts.get(name, 0))
        lines += [f"{name}: {line}" for line in text.splitlines() if _TROUBLE.search(line) and not _USUAL.search(line)]
    telling = [line for line in lines if any(sign in line.lower() for sign, _ in _REASONS)]
    reason = next((plain for sign, plain in _REASONS for line in telling if sign in line.lower()), "")
    shown = (telling or lines)[-_LINES_SHOWN:]
    return PoolError(
        f"{sentence}: {reason}." if reason else f"{sentence}.",
        details="\n".join(shown),
        way_out=f"The daemons' logs are in {paths.logs}",
    )


def _tail(path: Path, start: int) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            # A log that was rotated since is shorter than it was.
            file.seek(max(start if start <= size else 0, size - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
