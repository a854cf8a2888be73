"""The configuration file of a local pool, as text: for its daemons and for their clients.

Decisions, with what was measured on two cores shared with other work:

- **One partitionable slot with a core per job**, not a static slot per core.  A static slot holds a
  fixed share of the memory, and a job that asks for more stays idle for ever: with 8 cores and
  16 GB that would be every job of 2 GB.  Starting is as fast (0.04 s on an idle pool, both ways).
- **A job gets at least its cores' share of the memory**, so that a claim that is kept fits the next
  job whatever that asks for.  With slots of just the size asked for, a job of another size waited
  21 s for claims that were kept for 20 s; with shares it starts in 0.05 s.
- **Claims are kept for two seconds** after a job, unless the job says otherwise.  When a claim is
  given back, the collector learns of it one or two seconds later, and a job submitted meanwhile
  waits for that.  Kept, the next job starts in 0.03 s instead of 2.05 s, and 200 empty jobs take
  9 s instead of 17 s.  Kept longer it would hurt: a job of another size must wait for the claims
  of the jobs before (4 s at two seconds, 8 s at five).
- **Negotiation every second, without a pause between cycles**: with the defaults (60 s, 20 s) the
  first job waits for up to a minute.
- **DAGMan looks every second**, which is its minimum.  It reads events after it has submitted, so a
  level costs two looks: five levels of empty jobs take 10 s, whatever the pool does.
- **No benchmark of the cores** at the start: it held a core for 10 s, and a stop waited for it.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from local_pool.distribution import Distribution
from local_pool.pool_paths import PoolPaths

MARKER = "LOANS_POOL_MARKER"
"""The environment variable by which every process of a pool, jobs included, is known."""


def marker_of(paths: PoolPaths) -> str:
    """Return the value of `MARKER` for the pool in the folder of `paths` (a resolved one): no other pool has it.

    It comes from the folder's name alone, so a pool whose files were lost can still be stopped.
    """
    return hashlib.sha256(os.fsencode(paths.home)).hexdigest()[:32]


_KEEP_CLAIM_SECONDS = 2
_LEASE_SECONDS = 60
_CORES_SHARE_OF_MEMORY = "max({ quantize(RequestMemory, {128}), RequestCpus * TotalSlotMemory / TotalSlotCpus })"
_DISK_KIB = 256 * 1024
_Value = str | int | bool | Path
_Section = tuple[str, list[tuple[str, _Value]]]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What differs between one pool and another, beside its folders."""

    marker: str
    """Unlike any other pool's."""
    user: str
    """The name under which the user's jobs appear in the queue."""
    port: int
    """TCP, on loopback; behind it are all daemons for their clients."""
    slots: int
    """Jobs of one core each that run at a time."""
    memory_mb: int
    """Megabytes for all slots together."""
    job_home: Path | None = None
    """`HOME` of jobs; None where their account's own will do."""

    @property
    def trust_domain(self) -> str:
        """Tokens of another pool do not hold in this one."""
        return f"loans-pool-{self.marker[:12]}"

    @property
    def identity(self) -> str:
        """The user as the daemons know them."""
        return f"{self.user}@{self.trust_domain}"


def render(paths: PoolPaths, settings: PoolSettings, distribution: Distribution) -> str:
    """Return the text of `paths.condor_config`."""
    sections = (
        _programs(distribution),
        _folders(paths),
        _network(settings),
        _security(paths, settings),
        _slots(settings),
        _pace(),
        _limits(),
    )
    header = (
        "# Written by `loans pool up` at every start: changes here are lost.\n"
        "# Daemons and clients read it through CONDOR_CONFIG.\n"
    )
    return header + "".join(f"\n# {title}\n" + "".join(_line(*pair) for pair in pairs) for title, pairs in sections)


def _line(name: str, value: _Value) -> str:
    text = str(value).upper() if isinstance(value, bool) else str(value)
    return f"{name} = {text}\n"


def _programs(distribution: Distribution) -> _Section:
    return (
        "HTCondor's programs.",
        [
            ("RELEASE_DIR", distribution.prefix),
            ("BIN", distribution.bin),
            ("SBIN", distribution.sbin),
            ("LIBEXEC", distribution.libexec),
            ("LIB", distribution.lib),
            ("SHARE", distribution.share),
            # Nothing else on this machine has a say: neither its own HTCondor nor the user's settings.
            ("LOCAL_CONFIG_FILE", ""),
            ("LOCAL_CONFIG_DIR", ""),
            ("USER_CONFIG_FILE", ""),
            ("DAEMON_LIST", "MASTER, SHARED_PORT, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD"),
        ],
    )


def _folders(paths: PoolPaths) -> _Section:
    return (
        "Folders.",
        [
            ("LOCAL_DIR", paths.home),
            ("LOG", paths.logs),
            ("SPOOL", paths.spool),
            ("EXECUTE", paths.execute),
            ("LOCK", paths.run),
            ("RUN", paths.run),
            ("DAEMON_SOCKET_DIR", paths.sockets),
            ("PROCD_ADDRESS", paths.sockets / "procd"),
        ],
    )


def _network(settings: PoolSettings) -> _Section:
    return (
        "Loopback only, one port for whatever clients ask.",
        [
            ("NETWORK_INTERFACE", "127.0.0.1"),
            ("BIND_ALL_INTERFACES", False),
            ("ENABLE_IPV6", False),
            ("NO_DNS", True),
            ("DEFAULT_DOMAIN_NAME", "localdomain"),
            ("CONDOR_HOST", "127.0.0.1"),
            ("USE_SHARED_PORT", True),
            ("SHARED_PORT_PORT", settings.port),
            # No second ports for administrators, nor for datagrams.  (Collector and schedd each keep one for the
            # other daemons, on loopback as well.)
            ("COLLECTOR_SUPER_ADDRESS_FILE", ""),
            ("SCHEDD_SUPER_ADDRESS_FILE", ""),
            ("WANT_UDP_COMMAND_SOCKET", False),
            ("UPDATE_COLLECTOR_WITH_TCP", True),
            ("COLLECTOR_HOST", f"127.0.0.1:{settings.port}"),
        ],
    )


def _security(paths: PoolPaths, settings: PoolSettings) -> _Section:
    everyone = f"{settings.identity}, condor@{settings.trust_domain}"
    return (
        "Tokens only.  The daemons hold the signing key, clients a token of their own.",
        [
            ("UID_DOMAIN", settings.trust_domain),
            ("TRUST_DOMAIN", settings.trust_domain),
            ("FILESYSTEM_DOMAIN", settings.trust_domain),
            ("SEC_DEFAULT_AUTHENTICATION", "REQUIRED"),
            ("SEC_DEFAULT_ENCRYPTION", "REQUIRED"),
            ("SEC_DEFAULT_INTEGRITY", "REQUIRED"),
            ("SEC_CLIENT_AUTHENTICATION", "REQUIRED"),
            ("SEC_CLIENT_ENCRYPTION", "REQUIRED"),
            ("SEC_CLIENT_INTEGRITY", "REQUIRED"),
            ("SEC_DEFAULT_AUTHENTICATION_METHODS", "IDTOKENS"),
            ("SEC_CLIENT_AUTHENTICATION_METHODS", "IDTOKENS"),
            ("SEC_PASSWORD_DIRECTORY", paths.keys),
            ("SEC_TOKEN_POOL_SIGNING_KEY_FILE", paths.signing_key),
            ("SEC_TOKEN_DIRECTORY", paths.tokens),
            ("SEC_TOKEN_SYSTEM_DIRECTORY", paths.tokens),
            # Else it is kept in the home folder of the account.
            ("SEC_KNOWN_HOSTS", paths.run / "known_hosts"),
            ("ALLOW_READ", everyone),
            ("ALLOW_WRITE", everyone),
            ("ALLOW_DAEMON", everyone),
            ("ALLOW_NEGOTIATOR", f"condor@{settings.trust_domain}"),
            ("ALLOW_ADMINISTRATOR", everyone),
            ("ALLOW_CONFIG", ""),
            # Certificates for ways to authenticate that are not used.
            ("COLLECTOR_BOOTSTRAP_SSL_CERTIFICATE", False),
        ],
    )


def _slots(settings: PoolSettings) -> _Section:
    return (
        "One partitionable slot: to each job a core and that core's share of the memory, or what it asks for.",
        [
            ("NUM_CPUS", settings.slots),
            ("MEMORY", settings.memory_mb),
            ("NUM_SLOTS", 1),
            ("NUM_SLOTS_TYPE_1", 1),
            ("SLOT_TYPE_1", "100%"),
            ("SLOT_TYPE_1_PARTITIONABLE", True),
            ("MODIFY_REQUEST_EXPR_REQUESTMEMORY", _CORES_SHARE_OF_MEMORY),
            ("MODIFY_REQUEST_EXPR_REQUESTDISK", f"max({{ RequestDisk, {_DISK_KIB} * RequestCpus }})"),
            ("START", True),
            ("SUSPEND", False),
            ("PREEMPT", False),
            ("KILL", False),
            ("WANT_SUSPEND", False),
            ("WANT_VACATE", False),
            ("RANK", 0),
            ("PREEMPTION_REQUIREMENTS", False),
            ("NEGOTIATOR_CONSIDER_PREEMPTION", False),
            ("RUNBENCHMARKS", False),
            # The pool's processes, jobs included, are found by it when the pool is stopped.
            ("STARTER_JOB_ENVIRONMENT", _job_environment(settings)),
        ],
    )


def _job_environment(settings: PoolSettings) -> str:
    variables = {MARKER: settings.marker}
    if settings.job_home is not None:
        variables["HOME"] = str(settings.job_home)
    # HTCondor's quoting: a value in single quotes, the whole in double ones, either doubled inside.
    pairs = [name + "='" + value.replace("'", "''") + "'" for name, value in variables.items()]
    return '"' + " ".join(pairs).replace('"', '""') + '"'


def _pace() -> _Section:
    return (
        "Short intervals: seconds matter when a person waits.",
        [
            ("NEGOTIATOR_INTERVAL", 1),
            ("NEGOTIATOR_MIN_INTERVAL", 0),
            ("NEGOTIATOR_CYCLE_DELAY", 0),
            ("SCHEDD_INTERVAL", 1),
            ("SCHEDD_MIN_INTERVAL", 0),
            ("JOB_START_DELAY", 0),
            ("JOB_TRANSFORM_NAMES", "KeepClaim"),
            # A default: a job that says keep_claim_idle itself has its way.
            ("JOB_TRANSFORM_KeepClaim", f"DEFAULT KeepClaimIdle {_KEEP_CLAIM_SECONDS}"),
            # How long a job that was lost with its machine counts as running; by default 40 minutes.
            ("JOB_DEFAULT_LEASE_DURATION", _LEASE_SECONDS),
            ("DAGMAN_USER_LOG_SCAN_INTERVAL", 1),
            ("DAGMAN_SUBMIT_DELAY", 0),
            # A collector that was started again learns of the others within seconds, not minutes.
            ("UPDATE_INTERVAL", 5),
            ("NEGOTIATOR_UPDATE_INTERVAL", 5),
            ("MASTER_UPDATE_INTERVAL", 5),
            # A daemon that died is started again after a second, not after nine.
            ("MASTER_BACKOFF_CONSTANT", 1),
        ],
    )


def _limits() -> _Section:
    return (
        "Bounded logs, in bytes, and no mail to anyone.",
        [
            ("MAX_DEFAULT_LOG", 4_000_000),
            ("MAX_NUM_DEFAULT_LOG", 1),
            ("MAX_HISTORY_LOG", 20_000_000),
            ("MAX_HISTORY_ROTATIONS", 1),
            ("CONDOR_ADMIN", ""),
            ("PREEN_ARGS", "-r"),
        ],
    )
