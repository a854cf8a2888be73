"""What this machine has to give to a pool, and what it refuses."""

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from local_pool.errors import PoolError, no_pool_here
from local_pool.pool_paths import PoolPaths

NOBODY = 65534
"""The uid and gid as which a pool of root runs, in a user namespace of its own."""
_MEBIBYTE = 1024 * 1024
# The daemons, the commands and the system beside the jobs need some, too.
_MEMORY_SHARE = 0.9


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def job_memory_mb() -> int:
    """Return the memory for all jobs together, in megabytes: 9/10 of the machine's or the control group's."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = pages
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            limit = min(limit, int(text))
    return max(256, int(limit * _MEMORY_SHARE) // _MEBIBYTE)


def account_name() -> str | None:
    """Return the name of the account that this process runs as; None when its number has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None


def queue_user() -> str:
    """Return the name under which this user's jobs stand in the queue."""
    name = account_name()
    # A schedd refuses jobs of root, whoever runs them in the end; and a container may run as a
    # number that no account has.
    return "loans" if os.geteuid() == 0 or name is None else name


def job_home() -> Path | None:
    """Return the home folder to tell to jobs; None where the account that they see has the right one.

    In a user namespace jobs take themselves for nobody, whose home does not exist: programs
    that keep a cache there would make it, in the middle of the system.
    """
    return Path.home() if os.geteuid() == 0 or account_name() is None else None


def as_ordinary_user(command: list[str]) -> list[str]:
    """Return `command` such that it takes itself for an ordinary user with an account, whoever runs it.

    HTCondor as root wants an account of its own and changes users, and as a user without an
    account it does not start.  In a user namespace in which either is called nobody it does
    neither, and the files that it and its jobs write belong to the real user.  Raises `PoolError`
    when such a namespace is needed and refused.
    """
    if os.geteuid() == 0:
        need = "HTCondor does not run as root"
    elif account_name() is None:
        need = f"HTCondor does not run as user number {os.geteuid()}, who has no account"
    else:
        return command
    unshare = shutil.which("unshare")
    if unshare is None:
        raise no_pool_here(f"{need}, and the command unshare (package util-linux) is missing")
    wrapped = [unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]
    tried = subprocess.run([*wrapped, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise no_pool_here(
            f"{need}, and this machine refuses a user namespace",
            details=tried.stderr,
            way_out="Run it as an ordinary user: that needs no namespace.",
        )
    return [*wrapped, *command]


def is_port_free(port: int) -> bool:
    """Tell whether nobody listens on TCP `port` of loopback."""
    with socket.socket() as probe:
        # Connections that just ended do not hold a port against a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def find_free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def file_system_of(path: Path, mountinfo: str) -> str:
    """Return the type of the file system that holds `path`, such as ext4 or nfs4.

    `mountinfo` is the text of /proc/self/mountinfo; `path` must be resolved.
    """
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5:
            continue
        # The kernel writes spaces in names as \040.
        mount = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        # Of two mounts on one point the later one is seen.
        if (path == mount or mount in path.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split()[0]
    return kind


_TIMEOUT_SECONDS = 20.0


def environment(paths: PoolPaths) -> dict[str, str]:
    """Return the environment for a command, or daemon, of the pool."""
    # Any _CONDOR_SETTING in the environment would override the pool's file.
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
    return {**inherited, "CONDOR_CONFIG": str(paths.condor_config)}


def run(
    paths: PoolPaths, tool: Path, *arguments: str | Path, cwd: Path | None = None, timeout: float = _TIMEOUT_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run `tool` of HTCondor against the pool, in folder `cwd`, for at most `timeout` seconds.

    A failure is told by the return code, as is a time-out (124).
    """
    command = [str(tool), *map(str, arguments)]
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment(paths),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{tool.name} did not answer within {timeout:.0f} s")


def query(paths: PoolPaths, bin_folder: Path, *arguments: str) -> list[dict[str, Any]] | None:
    """Return the ads that `condor_status` answers for `arguments`; None when the pool does not answer."""
    told = run(paths, bin_folder / "condor_status", *arguments, "-json", timeout=10.0)
    if told.returncode != 0:
        return None
    try:
        ads = json.loads(told.stdout or "[]")
    except ValueError:
        return None
    return [ad for ad in ads if isinstance(ad, dict)]


def create_token(paths: PoolPaths, bin_folder: Path, identity: str) -> str:
    """Return a token for `identity`, signed with the pool's key; raises `PoolError` when HTCondor makes none."""
    made = run(paths, bin_folder / "condor_token_create", "-identity", identity)
    if made.returncode != 0 or not made.stdout.strip():
        raise PoolError("HTCondor made no token for the user of the pool.", details=made.stderr)
    return made.stdout.strip() + "\n"
