"""What the daemon does for a batch in each of its states. Every step can be cut off anywhere and done again."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from dag_specs.jobs import Scheduler
from inbox_watcher.batch import Batch, State
from inbox_watcher.config import Site
from inbox_watcher.identity import Digests
from inbox_watcher.intake import Intake
from inbox_watcher.journal import Journal
from inbox_watcher.publishing import Publishing
from inbox_watcher.running import Running
from inbox_watcher.workplace import Workplace
from scoring.errors import FileRefusedError, ModelError, ProofError


class Steps:
    """Does the next thing for a batch. One instance serves all batches; a batch is in one step at a time."""

    def __init__(
        self,
        site: Site,
        journal: Journal,
        scheduler: Callable[[], AbstractContextManager[Scheduler]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Work for `site`; `scheduler` lends the pool, or raises SchedulerError while it cannot be reached."""
        self._place = Workplace(site, journal, scheduler, clock)
        digests = Digests()
        intake, publishing = Intake(self._place, digests), Publishing(self._place, digests)
        self._running = Running(self._place)
        self._acts: dict[State, Callable[[Batch], Batch]] = {
            State.CLAIMING: intake.claim,
            State.CLAIMED: intake.plan,
            State.PLANNED: self._running.submit,
            State.RUNNING: self._running.follow,
            State.MERGING: publishing.publish,
            State.PUBLISHED: publishing.archive,
            State.FAILING: publishing.set_aside,
        }

    def take(self, batch: Batch) -> Batch:
        """Do the next thing for a batch and give it as it stands then, journaled.

        Raises OSError, SchedulerError or StorageError for trouble that may pass: the same step is due again.
        """
        try:
            return self._acts[batch.state](batch)
        except FileRefusedError as error:
            where = f" (line {error.line})" if error.line else ""
            return self._fail(batch, f"{error.what}{where} [{error.code}]\n{error.way_out}")
        except (ModelError, ProofError) as error:
            return self._fail(batch, error.explain())

    def _fail(self, batch: Batch, reason: str) -> Batch:
        if batch.state is State.RUNNING:
            self._running.withdraw(batch, "the batch failed")
        words = reason.strip().encode(errors="backslashreplace").decode()
        return self._place.record(batch, State.FAILING, reason=words)
