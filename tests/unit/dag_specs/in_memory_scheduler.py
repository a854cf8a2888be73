"""A scheduler without HTCondor, for tests: jobs run, one after the other, when the test says so.

It reads the very descriptions that the product writes and tells events in HTCondor's event log format,
so what is built against it needs no other path.  `tests/integration/test_scheduler.py` holds it to the
same contract as a real pool.
"""

import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dag_specs.errors import DescriptionError, SchedulerError
from dag_specs.jobs import Job, JobId, JobState, Slot
from dag_specs.submit_language import check_identifier, check_number, check_path
from tests.unit.dag_specs.submit_text import DagText, expand, read_dag, read_description, split_words


@dataclass(frozen=True)
class Command:
    """What one job runs."""

    words: tuple[str, ...]
    """Program and arguments."""
    folder: Path
    """Where it starts."""
    environment: Mapping[str, str]
    """All its variables."""
    output: Path
    """Where what it prints goes."""
    error: Path
    """Where what it complains of goes."""
    log: Path
    """HTCondor's event log."""


def run_for_real(command: Command) -> int:
    """Run a job's command and return its exit code (negative: the signal that ended it)."""
    with command.output.open("wb") as output, command.error.open("wb") as error:
        done = subprocess.run(
            command.words,
            cwd=command.folder,
            env=dict(command.environment),
            stdout=output,
            stderr=error,
            check=False,
        )
    return done.returncode


SLOT = Slot(
    name="slot1@memory",
    host="memory",
    cpus=2,
    memory_mb=4096,
    disk_mb=4096,
    free_cpus=2,
    free_memory_mb=4096,
    partitionable=True,
)


class InMemoryScheduler:
    """Holds queue and history in memory; `advance` runs what is idle."""

    def __init__(
        self, run: Callable[[Command], int] = run_for_real, slots: tuple[Slot, ...] = (SLOT,), *, lazy: bool = False
    ) -> None:
        """Jobs are run by `run`, which returns an exit code; unless `lazy`, one is run whenever the queue is asked."""
        self.down = False
        """While True, every method raises SchedulerError, as a pool that is down."""
        self.descriptions: list[str] = []
        """Every description that was submitted."""
        self.run = run
        """Runs a job; a test may put another one in its place."""
        self._slots, self._lazy = slots, lazy
        self._clusters = 0
        self._jobs: dict[JobId, Job] = {}
        self._commands: dict[JobId, Command] = {}
        self._dags: dict[int, _Dag] = {}

    # What the product calls.

    def submit_cluster(self, description: str, items: Sequence[Mapping[str, str]]) -> int:
        """Submit a cluster: see `Scheduler`."""
        self._reach()
        if not items:
            raise DescriptionError("A cluster needs at least one job.")
        for item in items:
            for value in item.values():
                check_identifier(value, "queue item")
        self.descriptions.append(description)
        return self._queue(read_description(description), items)

    def find_clusters(self, batch_id: str, *, left_since: float | None = None) -> tuple[int, ...]:
        """Find a batch's clusters: see `Scheduler`."""
        return tuple(sorted({job.id.cluster for job in self.find_jobs(batch_id, left_since=left_since)}))

    def find_jobs(self, batch_id: str, *, left_since: float | None = None) -> tuple[Job, ...]:
        """Find a batch's jobs: see `Scheduler`."""
        check_identifier(batch_id, "batch id")
        return tuple(job for job in self._known(left_since) if job.batch_id == batch_id)

    def job_states(self, clusters: Iterable[int], *, left_since: float | None = None) -> tuple[Job, ...]:
        """Find the jobs of clusters: see `Scheduler`."""
        wanted = set(clusters)
        return tuple(job for job in self._known(left_since) if job.id.cluster in wanted)

    def hold(self, jobs: Sequence[JobId], reason: str) -> int:
        """Hold jobs: see `Scheduler`."""
        return sum(self._hold(job, reason, 1, 0) for job in self._named(jobs) if job.state is not JobState.HELD)

    def release(self, jobs: Sequence[JobId], reason: str) -> int:
        """Release jobs: see `Scheduler`."""
        held = [job for job in self._named(jobs) if job.state is JobState.HELD]
        for job in held:
            self._set(replace(job, state=JobState.IDLE, hold_code=None, hold_subcode=None, reason=""))
            self._tell(job.id, 13, "Job was released.", f"\t{reason}")
        return len(held)

    def remove(self, jobs: Sequence[JobId], reason: str) -> int:
        """Remove jobs: see `Scheduler`."""
        gone = self._named(jobs)
        for job in gone:
            self._set(replace(job, state=JobState.REMOVED, in_queue=False, reason=reason))
            self._tell(job.id, 9, "Job was aborted.", f"\t{reason}")
            if dag := self._dags.pop(job.id.cluster, None):
                self.remove([node for node in dag.running if self._jobs[node].in_queue], reason)
        return len(gone)

    def edit_memory(self, jobs: Sequence[JobId], memory_mb: int) -> int:
        """Change the memory that jobs ask for: see `Scheduler`."""
        check_number(memory_mb, "memory (MB)", 1)
        named = self._named(jobs)
        for job in named:
            self._jobs[job.id] = replace(job, memory_mb=memory_mb)
        return len(named)

    def submit_dag(self, dag_file: Path, settings: Mapping[str, str], event_log: Path, run_id: str) -> int:
        """Submit a DAG: see `Scheduler`."""
        self._reach()
        check_path(dag_file, "DAG file")
        check_identifier(run_id, "run id")
        words = ("condor_dagman", str(dag_file))
        cluster = self._add(Command(words, dag_file.parent, {}, dag_file, dag_file, event_log), "", None, 0)
        self._dags[cluster] = _Dag(read_dag(dag_file.read_text()), Path(settings["DAGMAN_DEFAULT_NODE_LOG"]), run_id)
        return cluster

    def find_dag(self, run_id: str) -> int | None:
        """Find DAGMan's job of a run: see `Scheduler`."""
        self._reach()
        return max((cluster for cluster, dag in self._dags.items() if dag.run_id == run_id), default=None)

    def is_queued(self, cluster: int) -> bool:
        """Tell whether a cluster is in the queue: see `Scheduler`."""
        return any(job.in_queue for job in self.job_states([cluster]))

    def slots(self) -> tuple[Slot, ...]:
        """List the slots: see `Scheduler`."""
        self._reach()
        return self._slots

    # What a test makes happen.

    def advance(self) -> None:
        """Run one idle job to its end; a DAG's nodes are submitted as they get ready."""
        for cluster, dag in list(self._dags.items()):
            self._advance_dag(cluster, dag)
        idle = [job for job in self._jobs.values() if job.state is JobState.IDLE and job.id.cluster not in self._dags]
        if idle:
            self._start(idle[0])

    def advance_one(self, job: JobId) -> None:
        """Run one idle job to its end."""
        self._start(self._jobs[job])

    def all_jobs(self) -> tuple[Job, ...]:
        """Return every job there ever was."""
        return tuple(self._jobs.values())

    def hold_by_system(self, job: JobId, code: int, subcode: int, reason: str) -> None:
        """Hold a job as HTCondor does for trouble of its own; one that runs stops."""
        self._hold(self._jobs[job], reason, code, subcode)

    # How it works.

    def _reach(self) -> None:
        if self.down:
            raise SchedulerError("The scheduler is down.", "Wait.")

    def _known(self, left_since: float | None) -> list[Job]:
        self._reach()
        if not self._lazy:
            self.advance()
        return [job for job in self._jobs.values() if job.in_queue or left_since is None or job.since >= left_since]

    def _named(self, jobs: Sequence[JobId]) -> list[Job]:
        self._reach()
        return [
            job for job in self._jobs.values() if job.in_queue and (job.id in jobs or JobId(job.id.cluster) in jobs)
        ]

    def _queue(self, commands: Mapping[str, str], items: Sequence[Mapping[str, str]], node: str = "") -> int:
        first = self._clusters + 1
        for proc, item in enumerate(items):
            said = {name: expand(value, item) for name, value in commands.items()}
            folder = Path(said["initialdir"])
            environment = dict(word.split("=", 1) for word in split_words(said["environment"]))
            command = Command(
                words=(said["executable"], *split_words(said["arguments"])),
                folder=folder,
                environment=environment,
                output=folder / said["output"],
                error=folder / said["error"],
                log=Path(said["log"]),
            )
            chunk = int(said["my.loanschunk"]) if "my.loanschunk" in said else None
            batch = said.get("my.loansbatch", '""').strip('"')
            self._add(command, batch, chunk, int(said["request_memory"]), cluster=first, proc=proc, node=node)
        return first

    def _add(
        self,
        command: Command,
        batch: str,
        chunk: int | None,
        memory: int,
        *,
        cluster: int | None = None,
        proc: int = 0,
        node: str = "",
    ) -> int:
        number = cluster or self._clusters + 1
        self._clusters = max(self._clusters, number)
        job = Job(
            id=JobId(number, proc),
            state=JobState.IDLE,
            in_queue=True,
            batch_id=batch,
            chunk=chunk,
            starts=0,
            since=time.time(),
            host="",
            exit_code=None,
            exit_signal=None,
            hold_code=None,
            hold_subcode=None,
            reason="",
            memory_mb=memory,
        )
        self._jobs[job.id] = job
        self._commands[job.id] = command
        note = f"\n    DAG Node: {node}" if node else ""
        self._tell(job.id, 0, f"Job submitted from host: <127.0.0.1:1>{note}")
        return number

    def _set(self, job: Job) -> None:
        self._jobs[job.id] = replace(job, since=time.time())

    def _hold(self, job: Job, reason: str, code: int, subcode: int) -> bool:
        self._set(replace(job, state=JobState.HELD, reason=reason, hold_code=code, hold_subcode=subcode))
        self._tell(job.id, 12, "Job was held.", f"\t{reason}\n\tCode {code} Subcode {subcode}")
        return True

    def _start(self, job: Job) -> None:
        self._tell(job.id, 1, "Job executing on host: <127.0.0.1:1?alias=memory>", f"\tSlotName: {SLOT.name}")
        running = replace(job, state=JobState.RUNNING, starts=job.starts + 1, host=SLOT.name)
        self._set(running)
        code = self.run(self._commands[job.id])
        if self._jobs[job.id].state is not JobState.RUNNING:
            return  # held or removed meanwhile
        ended = replace(running, state=JobState.COMPLETED, in_queue=False)
        self._set(replace(ended, exit_signal=-code) if code < 0 else replace(ended, exit_code=code))
        self._tell_end(job.id, code)

    def _advance_dag(self, cluster: int, dag: "_Dag") -> None:
        for name in dag.ended(self._jobs):
            if dag.may_try_again(name):
                dag.states[name] = None
        ready = dag.ready()
        for name in ready:
            commands = read_description(Path(dag.text.submit_files[name]).read_text())
            said = commands | {"log": str(dag.log)}
            number = self._queue(said, [dag.text.macros[name]], node=name)
            dag.submit(name, JobId(number, 0))
        if not ready and not any(self._jobs[node].in_queue for node in dag.running):
            del self._dags[cluster]
            code = 0 if all(state == 0 for state in dag.states.values()) else 1
            self._set(replace(self._jobs[JobId(cluster, 0)], state=JobState.COMPLETED, in_queue=False, exit_code=code))
            self._tell_end(JobId(cluster, 0), code)

    def _tell_end(self, job: JobId, code: int) -> None:
        how = (
            f"(0) Abnormal termination (signal {-code})"
            if code < 0
            else f"(1) Normal termination (return value {code})"
        )
        self._tell(job, 5, "Job terminated.", f"\t{how}")

    def _tell(self, job: JobId, number: int, text: str, body: str = "") -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        header = f"{number:03d} ({job.cluster:03d}.{job.proc or 0:03d}.000) {now} {text}\n"
        with self._commands[job].log.open("a") as log:
            log.write(header + (f"{body}\n" if body else "") + "...\n")


class _Dag:
    def __init__(self, text: DagText, log: Path, run_id: str) -> None:
        self.text, self.log, self.run_id = text, log, run_id
        self.states: dict[str, int | None] = {name: 0 if name in text.done else None for name in text.submit_files}
        self.tries = dict.fromkeys(text.submit_files, 0)
        self._running: dict[str, JobId] = {}

    @property
    def running(self) -> list[JobId]:
        return list(self._running.values())

    def submit(self, name: str, job: JobId) -> None:
        self._running[name] = job
        self.tries[name] += 1

    def ended(self, jobs: Mapping[JobId, Job]) -> list[str]:
        over = [name for name, job in self._running.items() if not jobs[job].in_queue]
        for name in over:
            job = jobs[self._running.pop(name)]
            self.states[name] = job.exit_code if job.exit_code is not None else -1
        return over

    def may_try_again(self, name: str) -> bool:
        code = self.states[name]
        futile = code == self.text.futile_exits.get(name, -1000)
        return code != 0 and not futile and self.text.retries.get(name, 0) > self.tries[name] - 1

    def ready(self) -> list[str]:
        could = [
            name
            for name, state in self.states.items()
            if state is None
            and name not in self._running
            and all(self.states[parent] == 0 for parent in self.text.parents[name])
        ]
        return self._throttled(sorted(could, key=lambda name: -self.text.priorities.get(name, 0)))

    def _throttled(self, names: list[str]) -> list[str]:
        running = [self.text.categories.get(name) for name in self._running]
        places = {category: limit - running.count(category) for category, limit in self.text.limits.items()}
        taken: list[str] = []
        for name in names:
            category = self.text.categories.get(name, "")
            places[category] = places.get(category, len(names)) - 1
            if places[category] >= 0:
                taken.append(name)
        return taken
