"""The site: where the shared tree, the pool and the daemon's own folder are; one frozen object, read once."""

import codecs
import hashlib
import math
import os
import sys
from pathlib import Path

import msgspec

from dag_specs.errors import DescriptionError
from dag_specs.submit_language import check_path
from inbox_watcher.settings.training_settings import (
    TRAINING_TEMPLATE,
    Policy,
    Training,
    find_policy_problems,
    find_training_problems,
)
from scoring.errors import LoansError

LOCAL_POOL = "local"
HOST_POOL = "host"
_POOLS = (LOCAL_POOL, HOST_POOL)


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which HTCondor pool runs the jobs, and how."""

    condor_config: str = LOCAL_POOL
    """`local`: the pool of `loans pool up`; `host`: this machine's own configuration; else the path of one."""
    home: str = ""
    """Folder of the local pool; empty: the default one."""
    python: str = ""
    """The interpreter with this product installed, as execute nodes see it; empty: the one that runs now."""
    keep_claim_idle_seconds: int = 300
    """How long a slot stays claimed after a job, so that the next file starts at once (seconds)."""


class Inbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a dropped file counts as complete."""

    settle_seconds: float = 1.0
    """How long size and modification time must stand still (seconds)."""
    unseen_seconds: float = 40.0
    """The same on a network filesystem, for a file that nobody did anything to since its last write: a machine keeps
    what it writes to itself for up to 35 seconds (Linux: vm.dirty_expire_centisecs, vm.dirty_writeback_centisecs)."""
    rescan_seconds: float = 2.0
    """How often the inbox is listed, whatever the watcher says (seconds)."""
    truncated_seconds: float = 60.0
    """How long a file that ends in the middle of a record must stand still before it is refused (seconds)."""


class Scoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How files become jobs."""

    chunk_bytes: int = 0
    """Bytes of input per job; 0: chosen from the file's size and the jobs that the pool can run at a time."""
    cpus: int = 1
    """CPUs per job."""
    memory_mb: int = 512
    """Memory per job (MiB)."""
    disk_mb: int = 128
    """Scratch space per job (MiB)."""
    max_reject_share: float = 0.2
    """Share of rejected rows above which a file is refused (0 to 1); records without content do not count."""
    max_unpacked_bytes: int = 64 << 30
    """Bytes that a .csv.gz may unpack to."""
    echo: tuple[str, ...] = ()
    """Further columns of the input that are echoed behind the predictions."""
    attempts: int = 3
    """How often a chunk is tried before its file fails."""
    max_idle_jobs: int = 400
    """Jobs that may wait for a slot before a further batch of as many jobs as theirs, or more, waits here."""
    memory_limit_mb: int = 8192
    """Memory up to which a job is raised that ran out of it (MiB)."""
    idle_alarm_seconds: float = 600.0
    """How long nothing of a batch may run before the log says why (seconds)."""
    neutralise_formulas: bool = False
    """Whether texts in the predictions that a spreadsheet would take for a formula get an apostrophe in front."""
    challenger: str = ""
    """A model version that each file is scored with as well, beside its results; empty: none."""


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole site file."""

    root: str
    """Top folder of the shared tree (NFS)."""
    state: str
    """The daemon's own folder, on a local disk of the submit node."""
    pool: Pool = Pool()
    inbox: Inbox = Inbox()
    scoring: Scoring = Scoring()
    training: Training = Training()
    policy: Policy = Policy()

    @property
    def python(self) -> str:
        """The interpreter that jobs run."""
        return self.pool.python or sys.executable


def load_site(path: Path) -> Site:
    """Read the site file. Raises LoansError with what is wrong and the way out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise LoansError(
            f"There is no site file at {path}.",
            "Make one with `loans init ROOT`, or name yours with --site FILE or $LOANS_SITE.",
        ) from error
    except OSError as error:
        raise LoansError(f"The site file {path} cannot be read: {error.strerror}.") from error
    try:
        # Editors of another system begin a file with a byte order mark, which TOML does not know.
        site = msgspec.toml.decode(content.removeprefix(codecs.BOM_UTF8), type=Site)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LoansError(f"The site file {path} does not read: {error}.", "Correct that entry.") from error
    problems = _find_problems(site)
    if problems:
        raise LoansError(f"The site file {path} has {len(problems)} problem(s): {'; '.join(problems)}.")
    return site


def _find_problems(site: Site) -> list[str]:
    problems = []
    paths = {"root": site.root, "state": site.state, "pool.python": site.python}
    # A path that begins at the folder where a command is started would mean another pool in each.
    paths |= {"pool.home": os.path.expanduser(site.pool.home)} if site.pool.home else {}
    paths |= {"pool.condor_config": site.pool.condor_config} if site.pool.condor_config not in _POOLS else {}
    for name, folder in paths.items():
        try:
            check_path(Path(folder), name)
        except DescriptionError as error:
            problems.append(error.what.rstrip("."))
    positive = {
        "inbox.rescan_seconds": site.inbox.rescan_seconds,
        "scoring.cpus": site.scoring.cpus,
        "scoring.memory_mb": site.scoring.memory_mb,
        "scoring.disk_mb": site.scoring.disk_mb,
        "scoring.max_unpacked_bytes": site.scoring.max_unpacked_bytes,
        "scoring.attempts": site.scoring.attempts,
        "scoring.max_idle_jobs": site.scoring.max_idle_jobs,
        "scoring.memory_limit_mb": site.scoring.memory_limit_mb,
        "scoring.idle_alarm_seconds": site.scoring.idle_alarm_seconds,
        "training.shards": site.training.shards,
        "training.threads": site.training.threads,
        "policy.base_odds": site.policy.base_odds,
        "policy.points_to_double": site.policy.points_to_double,
    }
    problems += [f"{name} must be more than 0" for name, value in positive.items() if not 0 < value < math.inf]
    natural = {
        "inbox.settle_seconds": site.inbox.settle_seconds,
        "inbox.unseen_seconds": site.inbox.unseen_seconds,
        "inbox.truncated_seconds": site.inbox.truncated_seconds,
        "pool.keep_claim_idle_seconds": site.pool.keep_claim_idle_seconds,
        "scoring.chunk_bytes": site.scoring.chunk_bytes,
        "training.seed": site.training.seed,
        "training.max_running": site.training.max_running,
        "training.min_rows_per_second": site.training.min_rows_per_second,
        "training.margin_auc": site.training.margin_auc,
        "training.cost_of_bad": site.training.cost_of_bad,
        "training.cost_of_lost_good": site.training.cost_of_lost_good,
        "policy.base_score": site.policy.base_score,
    }
    problems += [f"{name} must not be negative" for name, value in natural.items() if not 0 <= value < math.inf]
    if not 0 <= site.scoring.max_reject_share <= 1:
        problems.append("scoring.max_reject_share must lie between 0 and 1")
    return [*problems, *find_training_problems(site.training), *find_policy_problems(site.policy)]


def default_state(root: Path) -> Path:
    """Choose the daemon's folder for a new site: in the user's own state folder, one for each shared tree."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    unique = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    return home / "condor-loan-scoring" / "sites" / f"{root.name or 'root'}-{unique}"


def refuse_existing(path: Path) -> None:
    """Raise LoansError when there is a site file already."""
    if os.path.lexists(path):
        raise LoansError(f"{path} exists already and was left alone.", "Name another file with --site.")


def write_site(path: Path, root: Path, state: Path) -> None:
    """Write a commented site file. Raises LoansError when there is one already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.format(root=_quote(root), state=_quote(state)) + TRAINING_TEMPLATE)
    except FileExistsError:
        refuse_existing(path)
    except OSError as error:
        raise LoansError(f"The site file {path} cannot be written: {error.strerror}.") from error


def _quote(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()


_TEMPLATE = """\
# The site file of the loan scoring service. Whatever is commented out shows its default.

# Top folder of the shared tree (NFS): inbox, outbox, models, ...
root = {root}

# The daemon's own folder: journal and HTCondor event logs. On a local disk of the submit node, never on NFS.
state = {state}

[pool]
# "local": the pool that `loans pool up` starts on this machine. "host": the pool that this machine's own HTCondor
# configuration names. Or the path of an HTCondor configuration file.
# condor_config = "local"
# Folder of the local pool (default: in your own state folder).
# home = ""
# The Python that has this product installed, as the execute nodes see it (default: the one that runs now).
# python = ""
# How long a slot stays claimed after a job, so that the next file starts at once.
# keep_claim_idle_seconds = 300

[inbox]
# A file is complete when its size and time stood still for this long.
# settle_seconds = 1.0
# On a network filesystem, another machine may keep what it writes to itself for so long. A file that was renamed into
# its name, or has its .done, does not wait for it; 0 where every file comes that way.
# unseen_seconds = 40.0
# The inbox is listed this often, whatever the watcher says.
# rescan_seconds = 2.0
# A file that ends in the middle of its last record is waited for this long, then refused.
# truncated_seconds = 60.0

[scoring]
# Bytes of input per job; 0: chosen from the file's size and the jobs that the pool can run at a time.
# chunk_bytes = 0
# What one job asks for.
# cpus = 1
# memory_mb = 512
# disk_mb = 128
# A file with a larger share of rejected rows is refused. Records without content do not count.
# max_reject_share = 0.2
# A .csv.gz may unpack to this many bytes.
# max_unpacked_bytes = 68719476736
# Further columns of the input that are echoed behind the predictions, where a file has them.
# echo = []
# How often a chunk is tried before its file fails.
# attempts = 3
# While this many jobs wait for a slot, a further batch waits with the daemon; one of fewer jobs than theirs does not.
# max_idle_jobs = 400
# A job that ran out of memory is tried with twice as much, up to this and to the pool's largest slot.
# memory_limit_mb = 8192
# When nothing of a batch has run for so long, the log says why.
# idle_alarm_seconds = 600.0
# Put an apostrophe before ids and echoed texts that start with = + - @, a tab or a carriage return: spreadsheet
# programs take those for formulas. Such ids are then no longer byte for byte as sent.
# neutralise_formulas = false
# A model version that is compared with the one in production on every file: the receipt tells score shift and swap set.
# challenger = ""

"""
