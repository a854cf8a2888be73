"""A pool whose jobs run in this very process as soon as they are submitted, and can be made to fail."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path

from dag_specs.errors import SchedulerError
from dag_specs.jobs import Job, JobId
from scoring.chunk import job as score_chunk
from scoring.chunk.plan import read_chunk_list
from tests.unit.dag_specs.in_memory_scheduler import Command, InMemoryScheduler


class PoolInProcess(InMemoryScheduler):
    """Runs the real `score_chunk` program on the real files, without starting a process for each job."""

    def __init__(self, *, lazy: bool = False) -> None:
        """With `lazy`, jobs wait until the test calls `run_all`."""
        super().__init__(self._score, lazy=True)
        self.waits = lazy
        self.submitted: list[int] = []
        """Every cluster that the pool took."""
        self.lose_answers = 0
        """How many of the next submissions succeed while the answer is lost on the way back."""
        self.asked = 0
        """How often the queue was asked about jobs."""
        self.failures: Counter[int] = Counter()
        """How often each chunk is still to fail."""
        self.last_words = "Chunk {chunk} failed on memory: the machine is on fire"
        """What a failing job says on stderr."""
        self.killed = False
        """Whether jobs are killed as soon as they start."""
        self.runs: Counter[int] = Counter()
        """How often each chunk was run."""
        self._one = threading.RLock()

    def submit_cluster(self, description: str, items: Sequence[Mapping[str, str]]) -> int:
        """Take a cluster and, unless the pool is lazy, run all its jobs."""
        with self._one:
            number = super().submit_cluster(description, items)
            self.submitted.append(number)
            if self.lose_answers:
                self.lose_answers -= 1
                raise SchedulerError("The answer was lost.", "Wait.")
            if not self.waits:
                self.run_all()
            return number

    def job_states(self, clusters: Iterable[int], *, left_since: float | None = None) -> tuple[Job, ...]:
        """Count the question, and answer it."""
        with self._one:
            self.asked += 1
            return super().job_states(clusters, left_since=left_since)

    def remove(self, jobs: Sequence[JobId], reason: str) -> int:
        """Remove jobs while none runs."""
        with self._one:
            return super().remove(jobs, reason)

    def run_all(self) -> None:
        """Run every idle job to its end."""
        with self._one:
            for _ in range(sum(job.in_queue for job in self.all_jobs())):
                self.advance()

    def _score(self, command: Command) -> int:
        arguments = command.words[command.words.index("scoring.chunk.job") + 1 :]
        listed = arguments[0] == "--list"
        chunk = 0 if listed else int(arguments[arguments.index("--chunk") + 1])
        self.runs[chunk] += 1
        with command.error.open("w") as error:
            if self.killed:
                return -9
            if self.failures[chunk]:
                self.failures[chunk] -= 1
                words = f"a line before\n{self.last_words.format(chunk=chunk)}\n"
                if listed:
                    for item in read_chunk_list(Path(arguments[1])).chunks:
                        Path(item.words).write_text(words)
                else:
                    error.write(words)
                return 1
            with redirect_stderr(error):
                return score_chunk.main([*arguments, "--patience", "0"])
