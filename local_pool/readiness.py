"""Prove that a pool works, by running a job on it; or tell from its logs why it does not."""

import re
import shutil
import time
from pathlib import Path

from local_pool import commands
from local_pool.errors import PoolError, PortTakenError
from local_pool.pool_paths import PoolPaths
from local_pool.processes import wait_until
from local_pool.status import find_processes, look, read_record

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
