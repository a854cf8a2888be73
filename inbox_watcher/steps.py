"""What the daemon does for a batch in each of its states. Every step can be cut off anywhere and done again."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from dag_specs.jobs import Scheduler
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.identity import Digests
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.planning import Intake
from inbox_watcher.batch.publishing import Publishing
from inbox_watcher.batch.workplace import Workplace, describe_refusal, fail
from inbox_watcher.jobs.clusters import Clusters
from inbox_watcher.jobs.grouping import fits_queue, may_share
from inbox_watcher.jobs.groups import Groups
from inbox_watcher.jobs.running import Running
from inbox_watcher.settings.site_file import Site
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
        clusters = Clusters(self._place)
        intake, publishing = Intake(self._place, digests, clusters.count_places), Publishing(self._place, digests)
        self._clusters = clusters
        self._running = Running(self._place, clusters)
        self._groups = Groups(self._place, clusters)
        self._acts: dict[State, Callable[[Batch], Batch]] = {
            State.CLAIMING: intake.claim,
            State.CLAIMED: intake.plan,
            State.PLANNED: self._submit,
            State.RUNNING: self._follow,
            State.MERGING: publishing.publish,
            State.PUBLISHED: publishing.archive,
            State.FAILING: publishing.set_aside,
        }

    @property
    def places(self) -> int:
        """Chunk jobs that the pool could run at a time, as far as is known."""
        return self._clusters.places

    def may_submit(self, batch: Batch) -> bool:
        """Tell whether a planned batch may bring more idle jobs to the pool now."""
        return fits_queue(
            batch.chunks, self._running.count_idle_ahead(batch.chunks), self._place.site.scoring.max_idle_jobs
        )

    def find_leftovers(self, open_batches: Iterable[Batch]) -> list[str]:
        """Name the groups of an earlier life that no open batch belongs to. Raises OSError as the local disk does."""
        return self._groups.find_leftovers(open_batches)

    def clear_away(self, groups: Iterable[str] = ()) -> bool:
        """Remove what such groups left behind, and what could not be removed before; tell whether all is gone."""
        return self._groups.clear_away(groups)

    def submit_group(self, batches: Sequence[Batch]) -> list[Batch]:
        """Submit planned small files as one job and give them as they stand then. Raises as `take`."""
        return self._groups.submit(batches)

    def follow_group(self, group: str, batches: Sequence[Batch]) -> list[Batch]:
        """Look at a group's job; give its batches as they stand when it ended, else none. Raises as `take`."""
        return self._groups.follow(group, batches)

    def _submit(self, batch: Batch) -> Batch:
        return self._groups.submit([batch])[0] if may_share(batch) else self._running.submit(batch)

    def _follow(self, batch: Batch) -> Batch:
        if not batch.group:
            return self._running.follow(batch)
        ended = self._groups.follow(batch.group, [batch])
        return ended[0] if ended else batch

    def take(self, batch: Batch) -> Batch:
        """Do the next thing for a batch and give it as it stands then, journaled.

        Raises OSError, SchedulerError or StorageError for trouble that may pass: the same step is due again.
        """
        try:
            return self._acts[batch.state](batch)
        except FileRefusedError as error:
            return self._fail(batch, describe_refusal(error))
        except (ModelError, ProofError) as error:
            return self._fail(batch, error.explain())

    def _fail(self, batch: Batch, reason: str) -> Batch:
        if batch.state is State.RUNNING and not batch.group:
            self._running.give_up(batch)
        return self._place.journal.record(fail(batch, reason))
