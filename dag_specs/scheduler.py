"""HTCondor's own bindings behind the seam of `dag_specs.jobs`: the one place that imports `htcondor2`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dag_specs.errors import DescriptionError, SchedulerError
from dag_specs.job_ads import CLUSTER_ATTRIBUTES, JOB_ATTRIBUTES, SLOT_ATTRIBUTES, job_from_ad, slots_from_ads
from dag_specs.jobs import Job, JobId, Scheduler, Slot
from dag_specs.scoring_cluster import BATCH
from dag_specs.submit_language import check_identifier, check_number, check_path, join_environment, quote_string
from dag_specs.training_dag import RUN

Answer = TypeVar("Answer")

HOST = "host"
"""The value of `condor_config` that leaves HTCondor's configuration to the machine."""

_REACH_IT = (
    "Check that the pool runs (`loans pool status`; for an existing pool `condor_status`) and that this account "
    "may submit to it (`condor_ping WRITE`)."
)


def connect(condor_config: str | None) -> Scheduler:
    """Connect to the pool of a configuration file, or with None or `host` to the one that this machine is set up for.

    Sets `CONDOR_CONFIG` of this process: HTCondor knows one configuration per process, and child processes
    (DAGMan among them) shall find the same pool.  Raises SchedulerError when the file is missing, the
    bindings cannot be loaded, or no scheduler answers to this account.
    """
    if condor_config is not None and condor_config != HOST:
        if not Path(condor_config).is_file():
            raise SchedulerError(
                f"HTCondor's configuration file {condor_config} does not exist.",
                "Start the pool with `loans pool up`, or correct `condor_config` in the site file.",
            )
        os.environ["CONDOR_CONFIG"] = condor_config
    bindings = _load_bindings()
    with _in_words("no HTCondor scheduler was found", bindings):
        schedd = bindings.Schedd()
    scheduler = HtcondorScheduler(bindings, schedd)
    scheduler.ping()
    return scheduler


def _load_bindings() -> Any:
    try:
        import htcondor2
    except ImportError as error:
        raise SchedulerError(
            f"HTCondor's Python bindings cannot be loaded: {error}.", "Install the product's dependencies: make setup"
        ) from error
    # The bindings may have been imported before with another configuration.
    htcondor2.reload_config()
    return htcondor2


@contextmanager
def _in_words(what: str, bindings: Any) -> Iterator[None]:
    """Turn what the bindings raise into a sentence that begins with `what`."""
    try:
        yield
    except (bindings.HTCondorException, RuntimeError, OSError, ValueError, KeyError) as error:
        # They tell a stack of causes, one per line or separated by bars; the first says most.
        cause = " ".join(str(error).split()) or type(error).__name__
        raise SchedulerError(f"{what[0].upper()}{what[1:]}: {cause.rstrip('.')}.", _REACH_IT) from error


class HtcondorScheduler:
    """A real pool, through `htcondor2`."""

    def __init__(self, bindings: Any, schedd: Any) -> None:
        """Keep the loaded module and its client of the schedd."""
        self._bindings = bindings
        self._schedd = schedd

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        """Ask the schedd; where it does not answer, once more where it is now: started again, it listens elsewhere."""
        try:
            return question(self._schedd)
        except (self._bindings.HTCondorException, RuntimeError, OSError):
            self._schedd = self._bindings.Schedd()
            return question(self._schedd)

    def ping(self) -> None:
        """Ask the schedd for nothing.  Raises SchedulerError when it does not answer to this account."""
        with _in_words("the HTCondor scheduler does not answer", self._bindings):
            self._schedd.query("false", ["ClusterId"])

    def submit_cluster(self, description: str, items: Sequence[Mapping[str, str]]) -> int:
        """Submit a cluster: see `Scheduler`."""
        if not items:
            raise DescriptionError("A cluster needs at least one job.")
        for item in items:
            if any(not value or not set(value) <= _ITEM_CHARACTERS for value in item.values()):
                raise DescriptionError(f"The queue item {dict(item)!r} cannot be told to HTCondor.")
        with _in_words("HTCondor did not take the jobs", self._bindings):
            submit = self._bindings.Submit(description)
            return int(self._schedd.submit(submit, itemdata=iter([dict(item) for item in items])).cluster())

    def find_clusters(self, batch_id: str, *, left_since: float | None = None) -> tuple[int, ...]:
        """Find a batch's clusters: see `Scheduler`."""
        constraint = _of_batch(batch_id)
        with _in_words("HTCondor's queue cannot be read", self._bindings):
            # A cluster whose jobs are yet to materialize has only an ad of its own.
            with_clusters = self._bindings.QueryOpt.IncludeClusterAd
            queued = self._schedd.query(constraint, CLUSTER_ATTRIBUTES, opts=with_clusters)
        left = self._history(constraint, CLUSTER_ATTRIBUTES, left_since)
        return tuple(sorted({int(ad["ClusterId"]) for ad in [*queued, *left]}))

    def find_jobs(self, batch_id: str, *, left_since: float | None = None) -> tuple[Job, ...]:
        """Find a batch's jobs: see `Scheduler`."""
        return self._jobs(_of_batch(batch_id), left_since)

    def job_states(self, clusters: Iterable[int], *, left_since: float | None = None) -> tuple[Job, ...]:
        """Find the jobs of clusters: see `Scheduler`."""
        constraint = " || ".join(f"ClusterId == {int(cluster)}" for cluster in clusters)
        return self._jobs(constraint, left_since) if constraint else ()

    def _jobs(self, constraint: str, left_since: float | None) -> tuple[Job, ...]:
        with _in_words("HTCondor's queue cannot be read", self._bindings):
            queued = self._schedd.query(constraint, JOB_ATTRIBUTES)
        # The queue first: a job that leaves it in between is then seen twice, never not at all.
        left = self._history(constraint, JOB_ATTRIBUTES, left_since)
        jobs = [job_from_ad(ad, in_queue=True) for ad in queued] + [job_from_ad(ad, in_queue=False) for ad in left]
        latest = {(job.id.cluster, job.id.proc or 0): job for job in jobs}
        return tuple(latest[key] for key in sorted(latest))

    def _history(self, constraint: str, attributes: list[str], left_since: float | None) -> list[Any]:
        # Records come latest first, and the search ends at the first one that fits `since`.
        since = None if left_since is None else f"EnteredCurrentStatus < {int(left_since)}"
        with _in_words("HTCondor's job history cannot be read", self._bindings):
            return list(self._schedd.history(constraint, attributes, -1, since))

    def hold(self, jobs: Sequence[JobId], reason: str) -> int:
        """Hold jobs: see `Scheduler`."""
        return self._act("Hold", jobs, reason)

    def release(self, jobs: Sequence[JobId], reason: str) -> int:
        """Release jobs: see `Scheduler`."""
        return self._act("Release", jobs, reason)

    def remove(self, jobs: Sequence[JobId], reason: str) -> int:
        """Remove jobs: see `Scheduler`."""
        return self._act("Remove", jobs, reason)

    def _act(self, action: str, jobs: Sequence[JobId], reason: str) -> int:
        if not jobs:
            return 0
        with _in_words(f"HTCondor refused to {action.lower()} jobs", self._bindings):
            constraint = " || ".join(map(_constraint_of, jobs))
            # The bindings (25.14) drop a reason that is not in a pair; its second half is a code of our own.
            told = (" ".join(reason.split()), _NO_CODE)
            # Done twice, an action changes nothing the second time.
            done = self._ask(lambda schedd: schedd.act(self._bindings.JobAction[action], constraint, told))
        if denied := int(done["TotalPermissionDenied"]):
            raise SchedulerError(
                f"HTCondor refused to {action.lower()} {denied} jobs: they belong to another account.",
                "Run the command as the account that submitted them.",
            )
        return int(done["TotalSuccess"])

    def edit_memory(self, jobs: Sequence[JobId], memory_mb: int) -> int:
        """Change the memory that jobs ask for: see `Scheduler`."""
        if not jobs:
            return 0
        value = str(check_number(memory_mb, "memory (MB)", 1))
        with _in_words("HTCondor refused to change what jobs ask for", self._bindings):
            constraint = " || ".join(map(_constraint_of, jobs))
            # Editing by constraint raises where nothing fits it; a job that left in between is no error.
            if not self._schedd.query(constraint, ["ClusterId"]):
                return 0
            return int(self._schedd.edit(constraint, "RequestMemory", value))

    def submit_dag(self, dag_file: Path, settings: Mapping[str, str], event_log: Path, run_id: str) -> int:
        """Submit a DAG: see `Scheduler`."""
        dag, log = check_path(dag_file, "DAG file"), check_path(event_log, "event log")
        # DAGMan cannot be given a configuration file whose path has a blank in it; it can be given variables.
        run = quote_string(check_identifier(run_id, "run id"), "run id")
        variables = join_environment({f"_CONDOR_{name}": value for name, value in settings.items()})
        programs = self._setting("BIN")
        with _in_words("HTCondor did not take the training DAG", self._bindings):
            options = {"DagmanPath": str(Path(programs) / "condor_dagman"), "SuppressNotification": True}
            submit = self._bindings.Submit.from_dag(dag, options)
            environment = submit["environment"].strip()
            if not (environment.startswith('"') and environment.endswith('"')):
                raise ValueError(f"the bindings describe DAGMan's environment in an unknown way: {environment}")
            submit["environment"] = f'{environment[:-1]} {variables}"'
            # The bindings put it beside the DAG, on the shared storage, where event logs lose events.
            submit["log"] = log
            submit[f"My.{RUN}"] = run
            return int(self._schedd.submit(submit).cluster())

    def find_dag(self, run_id: str) -> int | None:
        """Find DAGMan's job of a run: see `Scheduler`."""
        run = quote_string(check_identifier(run_id, "run id"), "run id")
        with _in_words("HTCondor's queue cannot be read", self._bindings):
            constraint = f"{RUN} =?= {run} && JobUniverse == {_SCHEDULER_UNIVERSE}"
            ads = self._ask(lambda schedd: schedd.query(constraint, CLUSTER_ATTRIBUTES))
        return max((int(ad["ClusterId"]) for ad in ads), default=None)

    def _setting(self, name: str) -> str:
        try:
            return str(self._bindings.param[name])
        except KeyError:
            raise SchedulerError(f"HTCondor's configuration does not say {name}.", _REACH_IT) from None

    def is_queued(self, cluster: int) -> bool:
        """Tell whether a cluster is in the queue: see `Scheduler`."""
        with _in_words("HTCondor's queue cannot be read", self._bindings):
            with_clusters = self._bindings.QueryOpt.IncludeClusterAd
            constraint = f"ClusterId == {int(cluster)}"
            return bool(self._ask(lambda schedd: schedd.query(constraint, CLUSTER_ATTRIBUTES, opts=with_clusters)))

    def slots(self) -> tuple[Slot, ...]:
        """List the pool's slots: see `Scheduler`."""
        with _in_words("HTCondor's collector does not answer", self._bindings):
            ads = self._bindings.Collector().query(self._bindings.AdType.Startd, None, SLOT_ATTRIBUTES)
        return slots_from_ads(ads)


_NO_CODE = 0
# DAGMan runs in it; the nodes of a DAG do not.
_SCHEDULER_UNIVERSE = 7
_ITEM_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-")


def _of_batch(batch_id: str) -> str:
    return f"{BATCH} =?= {quote_string(check_identifier(batch_id, 'batch id'), 'batch id')}"


def _constraint_of(job: JobId) -> str:
    if job.proc is None:
        return f"ClusterId == {int(job.cluster)}"
    return f"(ClusterId == {int(job.cluster)} && ProcId == {int(job.proc)})"
