"""What is due next, for ten thousand batches as for one: nothing here looks at every batch."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.jobs.grouping import LARGEST, Waiting, choose_groups, may_share

_ENDINGS = (State.FAILING, State.MERGING, State.PUBLISHED)

_RECHECK = 0.5
"""How often it is asked whether a batch of many jobs may be submitted (seconds)."""


class TaskKind(StrEnum):
    """What is done with the batches of a task."""

    STEP = "step"
    """The next step of one batch."""
    LOOK = "look"
    """A look at the jobs of one batch."""
    SUBMIT_GROUP = "submit group"
    """Several small files become one job."""
    FOLLOW_GROUP = "follow group"
    """A look at the job of a group."""


@dataclass(frozen=True)
class Task:
    """Something to do, with one batch or with the batches of a group."""

    kind: TaskKind
    """What."""
    batches: tuple[Batch, ...]
    """With which batches; no other task has them meanwhile."""

    @property
    def name(self) -> str:
        """By which id it is told: of its batch, or of its group where it is a group's."""
        return self.batches[0].submitted_as if self.kind is TaskKind.FOLLOW_GROUP else self.batches[0].id

    @property
    def in_line(self) -> bool:
        """Whether it counts as a step at work, of which there are only so many at a time."""
        return self.kind in (TaskKind.STEP, TaskKind.SUBMIT_GROUP)


class Agenda:
    """Holds every open batch. What is taken is out of everybody's hands until it is put back."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        """Start with the batches of an earlier life."""
        self._open: set[str] = set()
        self._claiming: dict[str, bytes] = {}
        self._lines: dict[State, deque[Batch]] = {state: deque() for state in State if state not in FINAL}
        self._small: dict[str, tuple[Batch, Waiting]] = {}
        self._singles: dict[str, tuple[float, Batch]] = {}
        self._groups: dict[str, dict[str, Batch]] = {}
        self._looked: dict[str, float] = {}
        # Groups that a look has, and the first file of each that is being submitted: jobs that are out, or will be.
        self._away: set[str] = set()
        self._submitting: set[str] = set()
        self._later: list[tuple[float, str, Batch]] = []
        for batch in batches:
            self.put(batch, 0.0)

    def __len__(self) -> int:
        """Count the open batches."""
        return len(self._open)

    @property
    def open_ids(self) -> list[str]:
        """The ids of the batches that are not finished."""
        return sorted(self._open)

    def names_being_claimed(self) -> list[bytes]:
        """Name the files that may still stand in the inbox though they are batches."""
        return list(self._claiming.values())

    def put(self, batch: Batch, now: float, pause: float = 0.0) -> None:
        """Take in a new batch, or one that a task is done with; nothing is done with it for `pause`.

        `now` is monotonic time (seconds).
        """
        self._submitting.discard(batch.id)
        self._away.discard(batch.group)
        if batch.state is State.CLAIMING:
            self._claiming[batch.id] = batch.name
        else:
            self._claiming.pop(batch.id, None)
        if batch.state in FINAL:
            self._open.discard(batch.id)
            return
        self._open.add(batch.id)
        if pause:
            self.put_later(batch, now + pause)
        elif batch.state is State.RUNNING and batch.group:
            self._groups.setdefault(batch.group, {})[batch.id] = batch
        elif batch.state is State.RUNNING:
            self._singles[batch.id] = (now, batch)
        elif batch.state is State.PLANNED and may_share(batch):
            self._small[batch.id] = (batch, Waiting(batch.id, now, batch.tries if batch.suspect else 0))
        else:
            self._lines[batch.state].append(batch)

    def put_later(self, batch: Batch, when: float) -> None:
        """Take back a batch that nothing is to be done with before `when` (monotonic, seconds)."""
        self._open.add(batch.id)
        self._submitting.discard(batch.id)
        heapq.heappush(self._later, (when, batch.id, batch))

    def wake(self, now: float) -> None:
        """Let go on what was to wait until now."""
        while self._later and self._later[0][0] <= now:
            self.put(heapq.heappop(self._later)[2], now)

    def take_looks(self, now: float, period: float) -> list[Task]:
        """Take the jobs that were not looked at for `period` (seconds)."""
        looks = []
        for batch_id, (since, batch) in list(self._singles.items()):
            if now - since >= period:
                del self._singles[batch_id]
                looks.append(Task(TaskKind.LOOK, (batch,)))
        for group, batches in list(self._groups.items()):
            if now - self._looked.get(group, -period) >= period:
                del self._groups[group]
                self._looked[group] = now
                self._away.add(group)
                looks.append(Task(TaskKind.FOLLOW_GROUP, tuple(batches.values())))
        self._looked = {
            group: self._looked[group] for group in self._away | self._groups.keys() if group in self._looked
        }
        return looks

    def take_groups(self, places: int, attempts: int, now: float) -> list[Task]:
        """Take the small files that are to share jobs now."""
        if not self._small:
            return []
        waiting = [item for _, item in self._small.values()]
        outstanding = len(self._away | self._groups.keys()) + len(self._submitting)
        chosen = choose_groups(waiting, outstanding, places, attempts, now)
        tasks = []
        for ids in chosen:
            self._submitting.add(ids[0])
            tasks.append(Task(TaskKind.SUBMIT_GROUP, tuple(self._small.pop(batch_id)[0] for batch_id in ids)))
        return tasks

    def take_step(self, may_submit: Callable[[Batch], bool], now: float) -> Task | None:
        """Take the batch whose step is due first, if any.

        Files are claimed before all else, so that they are safe and their senders see it. Then files are planned until
        enough wait for a job, so that the pool has work while others are ended.
        """
        planning = (State.CLAIMED,) if len(self._small) < LARGEST else ()
        for state in (State.CLAIMING, State.PLANNED, *planning, *_ENDINGS, State.CLAIMED):
            line = self._lines[state]
            while line:
                batch = line.popleft()
                if state is not State.PLANNED or may_submit(batch):
                    return Task(TaskKind.STEP, (batch,))
                self.put_later(batch, now + _RECHECK)
        return None
