"""Every name under a pool's home folder."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

# The kernel's limit for the path of a Unix socket is 108 bytes with the closing NUL.
_SOCKET_PATH_LIMIT = 107
# The longest names that the daemons give their sockets: daemon, pid, random part, counter.
_SOCKET_NAME_ROOM = 48


def default_home() -> Path:
    """Return the pool's home: `$LOANS_POOL_HOME`, or a folder for this product in the user's state folder."""
    named = os.environ.get("LOANS_POOL_HOME")
    if named:
        return Path(named).absolute()
    state = os.environ.get("XDG_STATE_HOME")
    # The XDG rules say that a relative path there is to be ignored.
    root = Path(state) if state and Path(state).is_absolute() else Path.home() / ".local" / "state"
    return root / "condor-loan-scoring" / "pool"


@dataclass(frozen=True, slots=True)
class PoolPaths:
    """The files and folders of one pool."""

    home: Path
    """Absolute; the folder that holds everything of the pool, private to its user."""

    @property
    def condor_config(self) -> Path:
        """The configuration of the daemons and of their clients (the value for `CONDOR_CONFIG`)."""
        return self.home / "condor_config"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or stops the pool."""
        return self.home / "pool.lock"

    @property
    def state(self) -> Path:
        """What the last start recorded: marker, port, slots, the master's identity."""
        return self.home / "pool.json"

    @property
    def logs(self) -> Path:
        """The daemons' logs."""
        return self.home / "log"

    @property
    def master_output(self) -> Path:
        """What the master printed before it had a log."""
        return self.logs / "MasterOutput"

    @property
    def spool(self) -> Path:
        """The job queue and its history."""
        return self.home / "spool"

    @property
    def execute(self) -> Path:
        """The jobs' scratch folders."""
        return self.home / "execute"

    @property
    def run(self) -> Path:
        """The daemons' lock and address files."""
        return self.home / "run"

    @property
    def keys(self) -> Path:
        """The signing key of the pool; private."""
        return self.home / "keys"

    @property
    def signing_key(self) -> Path:
        """Whoever reads it can be anyone in this pool."""
        return self.keys / "POOL"

    @property
    def tokens(self) -> Path:
        """The user's tokens; private."""
        return self.home / "tokens"

    @property
    def token(self) -> Path:
        """The token with which the user's commands and jobs speak to the daemons."""
        return self.tokens / "user"

    @property
    def probe(self) -> Path:
        """The log and output of the job that proves the pool ready."""
        return self.home / "probe"

    @property
    def sockets(self) -> Path:
        """The daemons' Unix sockets: in the home, or in a short private folder when the home's path is long."""
        inside = self.home / "sock"
        if len(os.fsencode(inside)) + 1 + _SOCKET_NAME_ROOM <= _SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path("/var/tmp") / f"loans-pool-{os.geteuid()}-{digest}"  # noqa: S108 - made 0700, owner checked

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that a pool needs, parents first; all of them private to the user."""
        return (
            self.home,
            self.logs,
            self.spool,
            self.execute,
            self.run,
            self.keys,
            self.tokens,
            self.probe,
            self.sockets,
        )
