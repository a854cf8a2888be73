"""A file that is dropped while a retrain occupies every slot gets the next slot that a training node leaves."""

import io
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from dag_specs.events import EventKind, EventLog
from dag_specs.jobs import JobState
from dag_specs.scheduler import connect
from inbox_watcher.batch.batch import State
from inbox_watcher.settings.layout import StateLayout
from local_pool.status import PoolStatus
from tests.integration.gated_jobs import GatedSite, gated_site
from tests.integration.site_fixtures import running
from training.history.generate import generate_loans

ROWS = 1_000
SEARCH = """\
candidates = ["logistic", "tree"]
folds = 2
grid = {tree = {min_samples_leaf = [25, 60]}}
"""
FITS = 6


def make_loans(rows: int, *, labelled: bool) -> bytes:
    """Make a CSV of generated loans."""
    sink = io.BytesIO()
    generate_loans(rows, 5, labelled=labelled, sink=sink)
    return sink.getvalue()


def starts_of_nodes(gated: GatedSite) -> dict[str, float]:
    """Give the fits that the pool was given, and when each began to run (seconds since 1970; 0: it waits)."""
    (log,) = StateLayout(Path(gated.live.site.state)).training.glob("*.nodes.log")
    names: dict[int, str] = {}
    starts: dict[str, float] = {}
    for event in EventLog(log).read().events:
        if event.kind is EventKind.SUBMITTED and event.node.startswith("fit-"):
            names[event.cluster] = event.node
            starts.setdefault(event.node, 0.0)
        elif event.kind is EventKind.EXECUTING and event.cluster in names:
            starts[names[event.cluster]] = event.time
    return starts


@pytest.mark.parametrize(
    ("share", "at_a_time"), [(0.0, 2), (0.6, 1)], ids=["as large as the fits", "larger than half of the pool"]
)
def test_a_waiting_file_gets_the_next_slot(
    pool: PoolStatus, tmp_path_factory: pytest.TempPathFactory, share: float, at_a_time: int
) -> None:
    """With the pool full of fits and more in the queue, a file is published as soon as one fit has ended.

    Each fit is held up until it is let go, so nothing but the end of that one fit can have made room. Scoring jobs ask
    for the usual memory, or for more than one of the pool's two cores has: no fit may leave a slot that is too small.
    """
    folder = tmp_path_factory.mktemp("before training")
    settings = {"memory_mb": max(512, int(share * pool.memory_mb))}
    with (
        gated_site(pool, folder, "fit-*", training=SEARCH, scoring=settings) as gated,
        running(gated.live) as daemon,
        ExitStack() as stack,
    ):
        (gated.live.layout.history / "loans.csv").write_bytes(make_loans(3_000, labelled=True))
        stack.enter_context(gated.retraining())
        daemon.wait(lambda: len(gated.began) >= at_a_time and len(starts_of_nodes(gated)) == FITS, "a full pool")

        gated.live.drop("may.csv", make_loans(ROWS, labelled=False))

        def is_queued() -> bool:
            batch = gated.live.batch_of("may.csv")
            return batch is not None and batch.state is State.RUNNING

        daemon.wait(is_queued, "the submission of the file")
        occupants = gated.began
        gated.let_go(min(occupants))
        let_go = time.monotonic()
        daemon.wait(lambda: gated.began > occupants or gated.live.is_finished("may.csv"), "the next job")
        batch = gated.live.batch_of("may.csv")
        assert batch is not None
        (job,) = connect(str(pool.condor_config)).job_states(batch.clusters)
        assert job.state is JobState.COMPLETED, f"{gated.began - occupants} went before the file"
        daemon.wait(lambda: gated.live.is_finished("may.csv"), "the publication")
        print(f"published {time.monotonic() - let_go:.1f} s after a fit was let go")

        batch = gated.live.batch_of("may.csv")
        assert batch is not None
        assert (batch.state, batch.scored) == (State.DONE, ROWS)
        # Of all nodes that waited when the file came, none began before its job had ended.
        assert len(occupants) == at_a_time
        starts = starts_of_nodes(gated)
        assert all(not start or start >= int(job.since) for node, start in starts.items() if node not in occupants)
