"""One daemon for one shared tree, also among hosts: a file in the tree that names its owner and is kept fresh.

A lock of the storage's own, held all the time, would do within one host; over NFS it dies with the server's patience,
not with its holder.
"""

import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from inbox_watcher.settings.patience import wait_for_storage
from scoring.errors import LoansError, StorageError

HEARTBEAT_SECONDS = 10.0
"""How often the owner says that it lives."""

STALE_SECONDS = 120.0
"""Age of the last heartbeat at which a daemon on another host counts as gone."""

_TAKEOVER_SECONDS = 0.05
"""How long to wait for another that is just taking over (seconds): it holds its permit for some milliseconds."""

_TRIES = 20

_RELEASE_SECONDS = 2.0
"""How long giving the tree back may take when the storage hangs."""

_LOG = logging.getLogger("loans.watch")


@dataclass(frozen=True)
class Owner:
    """One run of the daemon."""

    host: str
    """Where it runs."""
    boot: str
    """Which start of that host, and which of its process namespaces."""
    pid: int
    """Its process id there."""
    started: str
    """When that process was started, by the host's own count: ids are used again."""
    since: str
    """Since when it owns the tree (UTC, ISO 8601)."""
    token: str
    """What no other run has."""


def describe_self() -> Owner:
    """Describe this process."""
    return Owner(
        host=socket.gethostname(),
        boot=_this_boot(),
        pid=os.getpid(),
        started=_start_of(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        token=secrets.token_hex(8),
    )


@contextmanager
def owned(path: Path, on_loss: Callable[[], object]) -> Iterator[None]:
    """Own a tree for a block. `on_loss` is called when another daemon has taken it over.

    Storage in trouble is waited for. Raises LoansError naming the daemon that owns it, StorageError when the file
    cannot be written for another reason.
    """
    mine = describe_self()
    wait_for_storage(lambda: _take(path, mine))
    ended = threading.Event()
    # The storage may hang in it; nobody waits for this thread.
    threading.Thread(target=_keep_fresh, args=(path, mine, ended, on_loss), name="owner", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        release = threading.Thread(target=_release, args=(path, mine), name="release", daemon=True)
        release.start()
        release.join(_RELEASE_SECONDS)


def _take(path: Path, mine: Owner) -> None:
    temporary = path.with_name(f"{path.name}.{mine.token}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(mine), file)
            file.flush()
            os.fsync(file.fileno())
        for _ in range(_TRIES):
            try:
                # link(2) is the one step over NFS that either makes a whole file or says that there is one.
                os.link(temporary, path)
            except FileExistsError:
                if _is_mine(path, mine):
                    return  # a try before this one made it, and was called failed
                _clear(path, temporary)
            else:
                return
    except OSError as error:
        raise StorageError(f"The owner's file {path} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)
    raise LoansError("Another daemon took this site over at this very moment.", "Stop one of them.")


def _is_mine(path: Path, mine: Owner) -> bool:
    try:
        return _read(path)[0] == mine
    except FileNotFoundError:
        return False


def _clear(path: Path, temporary: Path) -> None:
    """Take a dead owner's file away. Raises LoansError when its owner may live.

    Only whoever holds a lock (flock(2), which an NFS server keeps for all hosts) may do that, and looks again first:
    otherwise the second to notice a dead owner would take away the file of the first. It lasts milliseconds, and goes
    with its holder; the file that is locked stays.
    """
    if _read_dead(path, temporary) is None:
        return
    permit = os.open(path.with_name(f"{path.name}.takeover"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(permit, fcntl.LOCK_EX | fcntl.LOCK_NB)
        dead = _read_dead(path, temporary)
        if dead is not None:
            os.unlink(path)
            _LOG.warning("the tree is taken over from a daemon that is gone: %s", dead)
    except BlockingIOError:
        time.sleep(_TAKEOVER_SECONDS)
    finally:
        os.close(permit)


def _read_dead(path: Path, temporary: Path) -> str | None:
    """Name the dead owner of a file; None when there is no file. Raises LoansError when its owner may live."""
    try:
        owner, beat = _read(path)
    except FileNotFoundError:
        return None
    os.utime(temporary)  # the server's own clock, as for the heartbeats
    age = temporary.stat().st_mtime - beat
    if owner is None:
        return "nobody can tell which"
    if _may_live(owner, age):
        seen = datetime.fromtimestamp(beat, UTC).isoformat(timespec="seconds")
        raise LoansError(
            f"Another daemon serves this site already: process {owner.pid} on {owner.host}, since {owner.since} "
            f"(last heard of at {seen}).",
            f"Stop that one first; when {owner.host} is gone for good, wait {STALE_SECONDS:.0f} seconds.",
        )
    return f"process {owner.pid} on {owner.host}"


def _may_live(owner: Owner, age: float) -> bool:
    """Tell whether an owner may still be at work: known on its own host, judged by its heartbeat elsewhere."""
    if owner.host != socket.gethostname():
        return age <= STALE_SECONDS
    if owner.boot.partition(" ")[0] != _this_boot().partition(" ")[0]:
        return False  # this host was started again since
    if owner.boot != _this_boot():
        return age <= STALE_SECONDS  # another container: its processes cannot be seen from here
    return _start_of(owner.pid) == owner.started != ""


def _keep_fresh(path: Path, mine: Owner, ended: threading.Event, on_loss: Callable[[], object]) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        try:
            owner, _ = _read(path)
            if owner is not None and owner != mine:
                break
            os.utime(path)
        except FileNotFoundError:
            with suppress(LoansError, OSError):
                if not ended.is_set():
                    _take(path, mine)
        except OSError:
            continue  # the storage will be back; others see a heartbeat that grows old
    else:
        return
    _LOG.error("another daemon has taken this site over: process %d on %s; this one ends", owner.pid, owner.host)
    on_loss()


def _release(path: Path, mine: Owner) -> None:
    with suppress(OSError):
        owner, _ = _read(path)
        if owner == mine:
            os.unlink(path)


def _read(path: Path) -> tuple[Owner | None, float]:
    """Give the owner (None: it does not read) and its last heartbeat (seconds since 1970, by the storage's clock)."""
    with path.open(encoding="utf-8", errors="replace") as file:
        beat = os.fstat(file.fileno()).st_mtime
        try:
            return Owner(**json.load(file)), beat
        except (ValueError, TypeError):
            return None, beat


def _this_boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "unknown unknown"


def _start_of(pid: int) -> str:
    """Tell when a process was started (proc_pid_stat(5), field 22); empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
