"""Start, inspect and stop a pool."""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from local_pool import machine as commands
from local_pool.configuration import MARKER, PoolSettings, marker_of, render
from local_pool.distribution import Distribution, find_or_unpack
from local_pool.errors import PoolError, PortTakenError, home_unusable
from local_pool.machine import (
    as_ordinary_user,
    count_cores,
    file_system_of,
    find_free_port,
    is_port_free,
    job_home,
    job_memory_mb,
    queue_user,
)
from local_pool.pool_paths import PoolPaths
from local_pool.processes import ProcessId, kill_marked, wait_until
from local_pool.status import PoolRecord, PoolStatus, find_processes, log_sizes, look, read_record, wait_until_ready

# A master starts a daemon that died again within these seconds; only then is a pool given up.
_SELF_REPAIR_SECONDS = 15.0
_LAUNCH_SECONDS = 30.0
# HTCondor's own fast shutdown takes one or two.
_SHUTDOWN_SECONDS = 10.0
_KILL_SECONDS = 10.0
_EVICT_SECONDS = 5.0
# Another command's stop takes no longer, a start may.
_LOCK_SECONDS = 90.0
_SIGNING_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class TakenDown:
    """How a pool ended."""

    was_running: bool
    """Whether any process of it was there."""
    killed: int
    """Processes that did not end when HTCondor told them to, and were killed."""


def bring_up(
    home: Path,
    slots: int | None = None,
    wait_seconds: float = 60.0,
    report: Callable[[str], None] = print,
    memory_mb: int | None = None,
) -> PoolStatus:
    """Make sure that the pool in `home` runs and has run a job; return what it is then.

    `slots` is the number of jobs at a time, by default one per core; `memory_mb` is the memory for
    all of them, by default nearly all of the machine's.  Either may exceed what the machine has.  A
    pool that runs already is left as it is, a half-dead one is repaired.  `report` is told, one line
    at a time, what goes on.  A second caller for the same home waits for the first.  Jobs that were
    in the queue when the pool was last stopped run again.

    Raises `PoolError` when this machine can have no pool, or it was not ready within
    `wait_seconds` (which do not count the fetching of HTCondor); then nothing is left running.
    """
    if slots is not None and slots < 1:
        raise PoolError("a pool needs at least one slot.")
    paths = PoolPaths(_resolve(home))
    _make_folders(paths)
    with _locked(paths, wait_seconds, report):
        if _is_up(paths, report):
            status = look(paths)
            if slots not in (None, status.slots):
                report(f"it has {status.slots} slots; to change that, take it down first")
            return status
        distribution = find_or_unpack(report)
        _warn_of_nfs(paths, report)
        settings = PoolSettings(
            marker=marker_of(paths),
            user=queue_user(),
            port=_choose_port(paths),
            slots=slots or count_cores(),
            memory_mb=memory_mb or job_memory_mb(),
            job_home=job_home(),
        )
        return _start(paths, settings, distribution, wait_seconds, report)


def take_down(home: Path) -> TakenDown:
    """Stop the pool in `home` with everything that it runs; return how it ended.

    HTCondor's own fast shutdown comes first; whatever is left of the pool after it is killed.
    The queue stays on disk.  Bounded by about 30 s.  Raises `PoolError` when a process does not
    even react to that, or another start or stop of the pool does not end.
    """
    paths = PoolPaths(_resolve(home))
    if not paths.home.is_dir():
        return TakenDown(was_running=bool(find_processes(paths)), killed=_stop(paths))
    with _locked(paths, _LOCK_SECONDS, lambda _: None):
        return TakenDown(was_running=bool(find_processes(paths)), killed=_stop(paths))


def inspect(home: Path) -> PoolStatus:
    """Return what the pool in `home` is doing now; one that never ran is simply not running."""
    return look(PoolPaths(_resolve(home)))


def _resolve(home: Path) -> Path:
    # One pool has one name, or two callers would start it twice.
    try:
        resolved = home.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise home_unusable(home, str(error)) from error
    if "$(" in str(resolved) or "\n" in str(resolved):
        raise home_unusable(resolved, "HTCondor would take a part of its name for a setting")
    return resolved


def _make_folders(paths: PoolPaths) -> None:
    for folder in paths.folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
            if found.st_uid != os.geteuid() or not folder.is_dir() or folder.is_symlink():
                raise home_unusable(paths.home, f"{folder} belongs to someone else")
            folder.chmod(0o700)
        except OSError as error:
            raise home_unusable(paths.home, f"{folder}: {error.strerror or error}") from error


def _warn_of_nfs(paths: PoolPaths, report: Callable[[str], None]) -> None:
    kind = file_system_of(paths.home, Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    if kind.startswith("nfs"):
        report(f"warning: {paths.home} is on NFS, where HTCondor's logs and queue can be lost; choose a local disk")


@contextmanager
def _locked(paths: PoolPaths, seconds: float, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the pool's lock, waiting for it at most `seconds`; the kernel lets go of it when the holder dies."""
    try:
        descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise home_unusable(paths.home, f"{paths.lock}: {error.strerror or error}") from error

    def try_lock() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        if not try_lock():
            report("another command is starting or stopping this pool; waiting for it")
            if not wait_until(try_lock, seconds):
                raise PoolError(f"another command has been starting or stopping the pool in {paths.home} for too long.")
        yield
    finally:
        os.close(descriptor)


def _is_up(paths: PoolPaths, report: Callable[[str], None]) -> bool:
    """Tell whether the pool runs, giving a master that runs the time to repair the rest."""
    programs = find_processes(paths)
    if not programs:
        return False
    if "condor_master" in programs.values() and paths.condor_config.exists():
        if look(paths).running:
            return True
        report("the pool is not complete; waiting for its master to repair it")
        if wait_until(lambda: look(paths).running, _SELF_REPAIR_SECONDS):
            return True
    report("the pool is half-dead; starting it anew")
    _stop(paths)
    return False


def _choose_port(paths: PoolPaths) -> int:
    before = read_record(paths)
    # Whoever waits in the queue from before may know the old port.
    return before.port if before and is_port_free(before.port) else find_free_port()


def _start(
    paths: PoolPaths,
    settings: PoolSettings,
    distribution: Distribution,
    wait_seconds: float,
    report: Callable[[str], None],
) -> PoolStatus:
    deadline = time.monotonic() + wait_seconds
    while True:
        report(
            f"starting HTCondor {distribution.version} with {settings.slots} slots on port {settings.port} of loopback"
        )
        _write_files(paths, settings, distribution)
        sizes = log_sizes(paths)
        try:
            _launch(paths, distribution)
            wait_until_ready(paths, sizes, deadline)
        except PortTakenError:
            # Nothing ran yet that would be worth a graceful end.
            _stop(paths, patience=0.0)
            if time.monotonic() >= deadline:
                raise
            settings = replace(settings, port=find_free_port())
        except BaseException:
            # Also for an impatient Ctrl-C: a pool that is not ready is no use, and must not linger.
            _stop(paths, patience=2.0)
            raise
        else:
            return look(paths)


def _write_files(paths: PoolPaths, settings: PoolSettings, distribution: Distribution) -> None:
    record = PoolRecord(settings.port, settings.slots, settings.memory_mb, distribution.bin, distribution.version)
    try:
        _write_private(paths.condor_config, render(paths, settings, distribution))
        if not paths.signing_key.exists():
            _write_private(paths.signing_key, secrets.token_hex(_SIGNING_KEY_BYTES))
        _write_private(paths.token, commands.create_token(paths, distribution.bin, settings.identity))
        _write_private(paths.state, record.to_json())
    except OSError as error:
        raise home_unusable(paths.home, error.strerror or str(error)) from error


def _launch(paths: PoolPaths, distribution: Distribution) -> None:
    """Start the master, apart from this process: it outlives the terminal, and is nobody's child here."""
    command = as_ordinary_user([str(distribution.sbin / "condor_master")])
    env = {**commands.environment(paths), MARKER: marker_of(paths)}
    # Without -f a master leaves its parent by itself, and the call returns when it has.  Whether
    # it went well is not told by that, so it is told by what then runs.
    with paths.master_output.open("ab") as output, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command,
            cwd=paths.home,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=True,
            timeout=_LAUNCH_SECONDS,
            check=False,
        )


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        # A draft that was left behind keeps the mode that it had.
        os.fchmod(descriptor, 0o600)
        file.write(text)
    draft.rename(path)


def _evict_jobs(paths: PoolPaths) -> None:
    """End the jobs that run now, while the scheduler is still there to put them back into the queue.

    A fast shutdown alone leaves them marked as running, and after the next start the scheduler
    would look for them on slots that are gone, until their lease ends.
    """
    record = read_record(paths)
    if record is None or "condor_starter" not in find_processes(paths).values():
        return
    slots = [ad for ad in commands.query(paths, record.bin, "-any") or [] if ad.get("MyType") == "Machine"]
    for machine in {str(slot["Machine"]) for slot in slots}:
        # A drained machine takes no new job in place of the one that it gave back.
        commands.run(paths, record.bin / "condor_drain", "-fast", machine, timeout=_EVICT_SECONDS)
    running = {"condor_starter", "condor_shadow"}
    wait_until(lambda: running.isdisjoint(find_processes(paths).values()), _EVICT_SECONDS)


def _stop(paths: PoolPaths, patience: float = _SHUTDOWN_SECONDS) -> int:
    """End every process of the pool, killing what is left after `patience` seconds; return how many were."""
    if patience:
        _evict_jobs(paths)
    programs = find_processes(paths)
    for process, name in programs.items():
        if name == "condor_master":
            # HTCondor's fast shutdown: jobs end now and stay in the queue.
            process.send(signal.SIGQUIT)
    if "condor_master" in programs.values():
        wait_until(lambda: not find_processes(paths), patience)
    left: set[ProcessId] = set(find_processes(paths))
    stubborn = kill_marked(f"{MARKER}={marker_of(paths)}", _KILL_SECONDS)
    if stubborn:
        numbers = ", ".join(str(process.pid) for process in sorted(stubborn))
        raise PoolError(
            f"these processes of the pool do not end: {numbers}.",
            way_out="A process that waits for a dead NFS server ends when the server is back.",
        )
    if not paths.sockets.is_relative_to(paths.home):
        shutil.rmtree(paths.sockets, ignore_errors=True)
    return len(left)
