"""What every step of the daemon works with."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from dag_specs.jobs import Scheduler
from inbox_watcher.batch.batch import Batch, State, advance
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import Site
from scoring.errors import FileRefusedError
from scoring.models.registry import now


@dataclass(frozen=True)
class Workplace:
    """The site's folders, the journal, the pool and a clock."""

    site: Site
    """The site file."""
    journal: Journal
    """Where every state is written before the act that leads out of it."""
    scheduler: Callable[[], AbstractContextManager[Scheduler]]
    """Lends the pool, or raises SchedulerError while it cannot be reached."""
    clock: Callable[[], float] = time.monotonic
    """Monotonic time (seconds)."""

    @property
    def layout(self) -> Layout:
        """The shared tree."""
        return Layout(Path(self.site.root))

    @property
    def state(self) -> StateLayout:
        """The daemon's own folder."""
        return StateLayout(Path(self.site.state))

    def record(self, batch: Batch, state: State, **changes: object) -> Batch:
        """Journal a batch in its next state and give it. Raises StorageError when the disk refuses."""
        return self.journal.record(advance(batch, state, now(), **changes))


def fail(batch: Batch, reason: str) -> Batch:
    """Give a batch that cannot be scored, with the reason in words."""
    words = reason.strip().encode(errors="backslashreplace").decode()
    return advance(batch, State.FAILING, now(), reason=words)


def attempts_used_up(batch: Batch, words: str) -> FileRefusedError:
    """Make the refusal of a file whose chunk failed in every attempt; `words` say how in the last one."""
    return FileRefusedError(
        "attempts_used_up",
        f"The file could not be scored in {batch.tries} attempts: {words.rstrip('.')}.",
        "When the cause is mended, drop the file again.",
    )


def describe_refusal(error: FileRefusedError) -> str:
    """Say why a file is refused, and the way out."""
    where = f" (line {error.line})" if error.line else ""
    return f"{error.what}{where} [{error.code}]\n{error.way_out}"
