"""kill -9 while published results are withdrawn: they end in failed/ as a whole, with the reason, and nowhere twice."""

import pytest

from inbox_watcher.batch.batch import State
from scoring.failpoints import WITHDRAWAL_POINTS
from tests.faults.bench import Bench
from tests.unit.inbox_watcher.conftest import loans

POINTS = (
    "journal.failing.before",
    "journal.failing.after",
    "failing.error.rename.after",
    *WITHDRAWAL_POINTS,
    "failing.rename.before",
    "failing.rename.after",
    "journal.failed.before",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_results_are_withdrawn_changes_nothing(bench: Bench, point: str) -> None:
    """A late hash contradicts published results; killed there, the daemon withdraws them when it starts again."""
    content = loans(40, seed=1)
    bench.drop({"june.csv": content})
    bench.start()
    bench.wait(bench.finished, "the publication")
    bench.end()
    published = {path.name: path.read_bytes() for path in bench.layout.outbox.glob("june.*")}
    assert len(published) == 3
    (bench.layout.inbox / ".digest").write_text("7" * 64)
    (bench.layout.inbox / ".digest").rename(bench.layout.inbox / "june.csv.done")
    bench.start(f"{point}=kill")
    bench.wait(bench.died, f"a kill at {point}")
    bench.start()
    bench.wait(lambda: bench.batches()[0].state is State.FAILED, "the withdrawal")
    bench.finish()
    (batch,) = bench.batches()
    assert "[checksum_mismatch]" in batch.reason
    assert list(bench.layout.outbox.glob("june.*")) == []
    assert list(bench.layout.archive.rglob("*.csv")) == []
    found = {path.name: path.read_bytes() for path in bench.layout.failed.iterdir()}
    reason = found.pop("june.csv.error.txt")
    assert b"[checksum_mismatch]" in reason
    assert found == {"june.csv": content, **published}
