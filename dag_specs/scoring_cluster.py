"""The submit description of a batch: one cluster, one job (proc) per chunk.  Pure text.

Jobs share the file system with the submit node, so nothing is transferred.  Only ids, numbers and
paths that the operator configured get into the text; the name of the file that was dropped never does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dag_specs.errors import DescriptionError
from dag_specs.job_priority import scoring_priority
from dag_specs.submit_language import (
    check_host,
    check_identifier,
    check_number,
    check_path,
    job_environment,
    join_lines,
    quote_arguments,
    quote_environment,
    quote_string,
)

BATCH = "LoansBatch"
"""The job's ClassAd attribute that holds the batch id: by it a cluster is found again after a crash."""
CHUNK = "LoansChunk"
"""The job's ClassAd attribute that holds the chunk number."""
MAX_MATERIALIZE = 1000
"""Jobs of one cluster that are in the queue at a time, on a pool that runs at most half as many."""
MAX_IDLE = 200
"""Of a larger cluster, jobs that wait for a slot at a time, on a pool that runs at most as many."""

_KIB_PER_MB = 1024


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much of a large cluster HTCondor holds in its queue."""

    max_materialize: int
    """Jobs of the cluster that are in the queue at a time; a cluster of no more jobs is not limited."""
    max_idle: int
    """Of a larger one, jobs that wait for a slot at a time."""


def queue_limits(places: int) -> QueueLimits:
    """Return the limits for a pool that runs `places` jobs at a time: with every slot busy, as many jobs wait."""
    return QueueLimits(max(MAX_MATERIALIZE, 2 * places), max(MAX_IDLE, places))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCluster:
    """What the jobs of one batch need."""

    batch_id: str
    """Id of the batch, or of the group of small files: letters, digits, `.`, `_`, `-`."""
    python: Path
    """The interpreter as every execute node sees it."""
    plan_path: Path
    """The batch's chunk plan on the shared storage; of a group of small files the list of their chunks."""
    listed: bool = False
    """Whether `plan_path` is such a list; the group's one job is its chunk 0."""
    chunks: tuple[int, ...]
    """Numbers of the chunks to score, each once; a retry names the missing ones only."""
    event_log: Path
    """HTCondor's event log of the cluster, on the submit node's local disk."""
    job_log_folder: Path
    """Folder on the shared storage for what jobs print: CHUNK.out and CHUNK.err; it must exist."""
    cpus: int = 1
    """Cores for each job, and threads that it takes."""
    memory_mb: int
    """Memory for each job (MB).  Of one size where it can be: a claim that is kept is taken over only by a job that
    fits into it, and keeps others from the slot until it is given back."""
    disk_mb: int = 128
    """Scratch disk for each job (MB), of one size for the same reason; results go to the shared storage."""
    keep_claim_idle_seconds: int = 300
    """How long a slot stays ours after its last job, so that the next batch starts without negotiation (seconds)."""
    job_lease_seconds: int = 120
    """How long a job outlives a lost connection to the submit node; also how long a dead node's job seems to run."""
    avoid_hosts: tuple[str, ...] = ()
    """Machines (HTCondor's `Machine`) that the jobs are kept away from: chunks failed there before."""
    max_materialize: int = MAX_MATERIALIZE
    """Jobs of the cluster that are in the queue at a time; more chunks than these become jobs as others end."""
    max_idle: int = MAX_IDLE
    """Of a cluster with more than `max_materialize` chunks, jobs that wait for a slot at a time."""


def describe_chunks(cluster: ChunkCluster) -> str:
    """Return the submit description without its queue statement; `queue_items` are what it is queued with.

    The job of chunk N runs `python -I -m scoring.chunk.job --plan PLAN --chunk N`, the job of a group
    `python -I -m scoring.chunk.job --list LIST`; it prints to N.out and N.err.  A job that ends, with whatever exit
    code, leaves the queue: its part tells whether it is done.
    Raises DescriptionError when a value cannot be told to HTCondor.
    """
    batch_id = check_identifier(cluster.batch_id, "batch id")
    plan = check_path(cluster.plan_path, "chunk plan")
    # -I: neither the job's folder nor PYTHON* variables nor the account's own packages have a say.
    what = ["--list", plan] if cluster.listed else ["--plan", plan, "--chunk"]
    arguments = quote_arguments(["-I", "-m", "scoring.chunk.job", *what])
    pairs: list[tuple[str, str | int]] = [
        ("universe", "vanilla"),
        ("executable", check_path(cluster.python, "Python interpreter")),
        # The chunk number, an integer from the queue items, follows inside the quotes.
        ("arguments", arguments if cluster.listed else f'{arguments[:-1]} $(chunk)"'),
        ("transfer_executable", "false"),
        ("should_transfer_files", "NO"),
        ("getenv", "false"),
        ("environment", quote_environment(job_environment(str(check_number(cluster.cpus, "number of CPUs", 1))))),
        ("initialdir", check_path(cluster.job_log_folder, "folder of the job logs")),
        ("output", "$(chunk).out"),
        ("error", "$(chunk).err"),
        ("log", check_path(cluster.event_log, "event log")),
        ("request_cpus", cluster.cpus),
        ("request_memory", check_number(cluster.memory_mb, "memory (MB)", 1)),
        ("request_disk", check_number(cluster.disk_mb, "disk (MB)", 1) * _KIB_PER_MB),
        ("keep_claim_idle", check_number(cluster.keep_claim_idle_seconds, "time to keep a claim (s)")),
        ("job_lease_duration", check_number(cluster.job_lease_seconds, "job lease (s)", 60)),
        ("priority", scoring_priority(len(cluster.chunks))),
        ("leave_in_queue", "false"),
        ("notification", "never"),
        ("batch_name", batch_id),
        (f"My.{BATCH}", quote_string(batch_id, "batch id")),
        (f"My.{CHUNK}", "$(chunk)"),
    ]
    if cluster.avoid_hosts:
        hosts = [quote_string(check_host(host), "machine to avoid") for host in cluster.avoid_hosts]
        pairs.append(("requirements", " && ".join(f"(TARGET.Machine =!= {host})" for host in hosts)))
    if len(cluster.chunks) > check_number(cluster.max_materialize, "limit of jobs in the queue", 1):
        pairs += [
            ("max_materialize", cluster.max_materialize),
            ("max_idle", check_number(cluster.max_idle, "limit of idle jobs", 1)),
        ]
    return join_lines(pairs)


def queue_items(cluster: ChunkCluster) -> tuple[Mapping[str, str], ...]:
    """Return the items that the description is queued with, one job each.

    Raises DescriptionError when a chunk is named twice, is not a number from 0 up, or there is none.
    """
    if not cluster.chunks:
        raise DescriptionError(f"The batch {cluster.batch_id} has no chunk to submit.")
    if len(set(cluster.chunks)) != len(cluster.chunks):
        raise DescriptionError(f"A chunk of the batch {cluster.batch_id} is named twice.")
    return tuple({"chunk": str(check_number(chunk, "chunk number"))} for chunk in cluster.chunks)
