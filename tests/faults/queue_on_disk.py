"""A pool for kill tests: a job queue in one SQLite file that outlives the daemon, and a runner for its jobs.

The daemon's side, `QueueOnDisk`, is a Scheduler. `python -m tests.faults.queue_on_disk QUEUE` is the runner: it scores
chunk after chunk in one process, which failpoints may end; whoever started it calls `bury` then, and starts another.
"""

import io
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from dag_specs.errors import SchedulerError
from dag_specs.jobs import Job, JobId, JobState, Slot
from tests.unit.dag_specs.in_memory_scheduler import SLOT
from tests.unit.dag_specs.submit_text import expand, read_description, split_words

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    cluster INTEGER, proc INTEGER, batch TEXT, chunk INTEGER, state TEXT, exit_code INTEGER, exit_signal INTEGER,
    starts INTEGER DEFAULT 0, words TEXT, error TEXT, log TEXT, PRIMARY KEY (cluster, proc)
);
"""


def armed_file(queue: Path) -> Path:
    """Name the file that holds the runner's failpoints."""
    return queue.with_suffix(".failpoints")


@contextmanager
def opened(queue: Path) -> Iterator[sqlite3.Connection]:
    """Open the queue for one transaction."""
    database = sqlite3.connect(queue, timeout=30, isolation_level=None)
    try:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA synchronous=OFF")
        database.executescript(_SCHEMA)
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")
    finally:
        database.close()


def _tell(log: str, cluster: int, proc: int, number: int, text: str) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    # A log that the daemon has dropped is not made again.
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "a") as file:
        file.write(f"{number:03d} ({cluster:03d}.{proc:03d}.000) {when} {text}\n...\n")


class QueueOnDisk:
    """What the daemon sees of the pool."""

    def __init__(self, queue: Path) -> None:
        """Use the queue in this file."""
        self._queue = queue

    def submit_cluster(self, description: str, items: Sequence[Mapping[str, str]]) -> int:
        """Submit a cluster: see `Scheduler`."""
        commands = read_description(description)
        with opened(self._queue) as database:
            (number,) = database.execute("SELECT coalesce(max(cluster), 0) + 1 FROM jobs").fetchone()
            for proc, item in enumerate(items):
                said = {name: expand(value, item) for name, value in commands.items()}
                words = split_words(said["arguments"])
                row = (
                    *(number, proc, said["my.loansbatch"].strip('"'), int(said["my.loanschunk"]), JobState.IDLE),
                    json.dumps(words[words.index("scoring.chunk.job") + 1 :]),
                    *(str(Path(said["initialdir"]) / said["error"]), said["log"]),
                )
                query = "INSERT INTO jobs (cluster, proc, batch, chunk, state, words, error, log)"
                database.execute(f"{query} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
                _tell(said["log"], number, proc, 0, "Job submitted from host: <127.0.0.1:1>")
        return int(number)

    def find_clusters(self, batch_id: str, *, left_since: float | None = None) -> tuple[int, ...]:
        """Find a batch's clusters: see `Scheduler`."""
        return tuple(sorted({job.id.cluster for job in self.find_jobs(batch_id, left_since=left_since)}))

    def find_jobs(self, batch_id: str, *, left_since: float | None = None) -> tuple[Job, ...]:
        """Find a batch's jobs: see `Scheduler`."""
        return tuple(job for job in self._all(left_since) if job.batch_id == batch_id)

    def job_states(self, clusters: Iterable[int], *, left_since: float | None = None) -> tuple[Job, ...]:
        """Find the jobs of clusters: see `Scheduler`."""
        wanted = set(clusters)
        return tuple(job for job in self._all(left_since) if job.id.cluster in wanted)

    def hold(self, jobs: Sequence[JobId], reason: str) -> int:
        """Hold nothing: no job here is ever held."""
        raise SchedulerError(f"{len(jobs)} job(s) cannot be held here: {reason}")

    def release(self, jobs: Sequence[JobId], reason: str) -> int:
        """Release nothing: no job here is ever held."""
        raise SchedulerError(f"{len(jobs)} job(s) cannot be released here: {reason}")

    def edit_memory(self, jobs: Sequence[JobId], memory_mb: int) -> int:
        """Edit nothing: no job here ever lacks memory."""
        raise SchedulerError(f"{len(jobs)} job(s) cannot be given {memory_mb} MB here.")

    def remove(self, jobs: Sequence[JobId], reason: str) -> int:
        """Remove jobs that have not started: see `Scheduler`."""
        count = 0
        with opened(self._queue) as database:
            for job in jobs:
                query = "SELECT * FROM jobs WHERE cluster = ? AND state = ? AND (? IS NULL OR proc = ?)"
                for row in database.execute(query, (job.cluster, JobState.IDLE, job.proc, job.proc)).fetchall():
                    where = (JobState.REMOVED, row["cluster"], row["proc"])
                    database.execute("UPDATE jobs SET state = ? WHERE cluster = ? AND proc = ?", where)
                    _tell(row["log"], row["cluster"], row["proc"], 9, f"Job was aborted.\n\t{reason}")
                    count += 1
        return count

    def submit_dag(self, dag_file: Path, settings: Mapping[str, str], event_log: Path, run_id: str) -> int:
        """Run no DAG: nothing here trains."""
        raise SchedulerError(f"{dag_file} of {run_id} is not run here ({len(settings)} settings, {event_log}).")

    def find_dag(self, run_id: str) -> int | None:
        """There are no training runs here: see `Scheduler`."""
        raise SchedulerError(f"{run_id} is not run here.")

    def is_queued(self, cluster: int) -> bool:
        """Tell whether a cluster is in the queue: see `Scheduler`."""
        return any(job.in_queue for job in self.job_states([cluster]))

    def slots(self) -> tuple[Slot, ...]:
        """List the slots: see `Scheduler`."""
        return (SLOT,)

    def _all(self, _left_since: float | None) -> list[Job]:
        with opened(self._queue) as database:
            rows = database.execute("SELECT * FROM jobs ORDER BY cluster, proc").fetchall()
        return [
            Job(
                id=JobId(row["cluster"], row["proc"]),
                state=JobState(row["state"]),
                in_queue=row["state"] in (JobState.IDLE, JobState.RUNNING),
                batch_id=row["batch"],
                chunk=row["chunk"],
                starts=row["starts"],
                since=0.0,
                host=SLOT.name,
                exit_code=row["exit_code"],
                exit_signal=row["exit_signal"],
                hold_code=None,
                hold_subcode=None,
                reason="",
                memory_mb=512,
            )
            for row in rows
        ]


def bury(queue: Path, number: int) -> int:
    """Note of the job that ran when its runner was ended by a signal how it ended; give the number of such jobs."""
    with opened(queue) as database:
        rows = database.execute("SELECT * FROM jobs WHERE state = ?", (JobState.RUNNING,)).fetchall()
        for row in rows:
            _end(database, row, None, number)
    return len(rows)


def _end(database: sqlite3.Connection, row: sqlite3.Row, code: int | None, number: int | None) -> None:
    database.execute(
        "UPDATE jobs SET state = ?, exit_code = ?, exit_signal = ? WHERE cluster = ? AND proc = ?",
        (JobState.COMPLETED, code, number, row["cluster"], row["proc"]),
    )
    ending = (
        f"(0) Abnormal termination (signal {number})" if number else f"(1) Normal termination (return value {code})"
    )
    _tell(row["log"], row["cluster"], row["proc"], 5, f"Job terminated.\n\t{ending}")


def run_jobs(queue: Path, *options: str) -> None:
    """Run idle jobs, oldest first, each with the program's `options`, while the process that started this one lives."""
    from scoring import failpoints
    from scoring.chunk import job as score_chunk

    home = os.getppid()
    orders = ""
    while os.getppid() == home:
        wanted = armed_file(queue).read_text()
        if wanted != orders:
            failpoints.arm(wanted)
            orders = wanted
        with opened(queue) as database:
            query = "SELECT * FROM jobs WHERE state = ? ORDER BY cluster, proc LIMIT 1"
            row = database.execute(query, (JobState.IDLE,)).fetchone()
            if row is not None:
                started = "UPDATE jobs SET state = ?, starts = starts + 1 WHERE cluster = ? AND proc = ?"
                database.execute(started, (JobState.RUNNING, row["cluster"], row["proc"]))
                _tell(row["log"], row["cluster"], row["proc"], 1, "Job executing on host: <127.0.0.1:1?alias=disk>")
        if row is None:
            time.sleep(0.01)
            continue
        said = io.StringIO()
        with redirect_stderr(said):
            code = score_chunk.main([*json.loads(row["words"]), *options])
        if said.getvalue():
            try:
                Path(row["error"]).write_text(said.getvalue())
            except OSError as error:
                print(error, file=sys.stderr)
        with opened(queue) as database:
            _end(database, row, code, None)


if __name__ == "__main__":
    run_jobs(Path(sys.argv[1]), *sys.argv[2:])
