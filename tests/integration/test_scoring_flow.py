"""From a dropped CSV to predictions on a real pool, by the real daemon and the model that was trained there."""

import csv
import io
import json
import pickle
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from dag_specs.jobs import JobState
from dag_specs.scheduler import connect
from inbox_watcher.batch.batch import State
from inbox_watcher.settings.layout import StateLayout
from local_pool.status import PoolStatus
from scoring.contract import REFERENCE, Type, load_contract
from scoring.results.receipt import read_receipt
from tests.integration.site_fixtures import (
    LOANS,
    Daemon,
    LiveSite,
    compressed,
    made_site,
    running,
    without_label,
)
from tests.integration.site_fixtures import daemon as daemon  # noqa: PLC0414 - a fixture is found by its name here
from tests.integration.site_fixtures import live as live  # noqa: PLC0414
from tests.integration.trained import TrainedSite
from tests.integration.trained import trained as trained  # noqa: PLC0414

if TYPE_CHECKING:
    from training.learners.learnt import Learnt

ROWS = 10_000
NAME = "Mai crédits.csv"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def content(trained: TrainedSite) -> bytes:
    """Give 10,000 of the real loans without their labels."""
    return without_label(trained.history, ROWS)


def read_features(content: bytes) -> NDArray[np.float32]:
    """Read loans as the pipeline takes them, by nothing but Python's own csv module and the contract's words."""
    columns = load_contract(REFERENCE).features
    rows = []
    for loan in csv.DictReader(io.StringIO(content.decode())):
        row = []
        for column in columns:
            text = loan[column.name]
            if not text:
                row.append(float("nan"))
            elif column.type is Type.CATEGORY:
                row.append(float(column.categories.index(text)))
            else:
                row.append(float(text))
        rows.append(row)
    return np.array(rows, np.float32)


def sklearn_says(trained: TrainedSite, content: bytes) -> NDArray[np.float64]:
    """Ask what was fitted in that very training run, calibration included."""
    fitted = trained.result.folder / "candidates" / trained.result.candidate / "fitted.pickle"
    learnt: Learnt = pickle.loads(fitted.read_bytes())  # noqa: S301 - written by this very test run
    return learnt.predict(read_features(content))


def read_predictions(path: Path) -> tuple[list[str], list[int], NDArray[np.float64], set[str]]:
    """Read ids, row numbers, probabilities and model versions of a published file."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return (
        [row["id"] for row in rows],
        [int(row["row_number"]) for row in rows],
        np.array([float(row["pd"]) for row in rows]),
        {row["model_version"] for row in rows},
    )


def test_ten_thousand_loans(
    pool: PoolStatus, live: LiveSite, daemon: Daemon, trained: TrainedSite, content: bytes
) -> None:
    """10,000 real loans come out once, in order, as scikit-learn predicts them, from four jobs of one cluster."""
    begun = time.time() - 60
    batch = daemon.wait_for(NAME, content)
    assert (batch.state, batch.rows, batch.scored, batch.rejected) == (State.DONE, ROWS, ROWS, 0)

    ids, numbers, pd, versions = read_predictions(live.layout.outbox / "Mai crédits.predictions.csv")
    assert len(ids) == ROWS
    assert ids == [line.split(b",")[0].decode() for line in content.splitlines()[1:]]
    assert numbers == list(range(1, ROWS + 1))
    assert versions == {trained.result.version}
    difference = np.abs(pd - sklearn_says(trained, content)).max()
    print(f"largest difference to scikit-learn ({trained.result.candidate}): {difference:.2g}")
    assert difference <= TOLERANCE

    assert batch.chunks >= 4
    assert (batch.attempt, len(batch.clusters)) == (1, 1)
    jobs = connect(str(pool.condor_config)).find_jobs(batch.id, left_since=begun)
    assert {job.id.cluster for job in jobs} == set(batch.clusters)
    assert [job.chunk for job in jobs] == list(range(batch.chunks))
    assert {(job.state, job.in_queue, job.exit_code) for job in jobs} == {(JobState.COMPLETED, False, 0)}

    receipt = read_receipt(live.layout.outbox / "Mai crédits.receipt.json")
    assert (receipt.batch, receipt.name, receipt.input.bytes) == (batch.id, NAME, len(content))
    assert (receipt.rows_in, receipt.scored, receipt.rejected) == (ROWS, ROWS, 0)
    assert [part.chunk for part in receipt.parts] == list(range(batch.chunks))
    assert sum(part.rows_in for part in receipt.parts) == ROWS
    assert all(part.rows_in == part.scored + part.rejected for part in receipt.parts)
    first_rows = np.cumsum([1, *(part.rows_in for part in receipt.parts)])[:-1]
    assert [part.first_row for part in receipt.parts] == first_rows.tolist()
    assert receipt.model.version == trained.result.version
    assert not list(live.layout.inbox.iterdir())
    assert (live.layout.archive / batch.id / NAME).read_bytes() == content


def test_a_compressed_file_is_scored_the_same(live: LiveSite, daemon: Daemon, content: bytes) -> None:
    """NAME.csv.gz publishes, byte for byte, what its content publishes."""
    plain = daemon.wait_for("plain.csv", content[: content.index(b"\n", 60_000) + 1])
    packed = daemon.wait_for("packed.csv.gz", compressed(content[: content.index(b"\n", 60_000) + 1]))
    assert plain.rows == packed.rows > 500
    outbox = live.layout.outbox
    assert (outbox / "packed.predictions.csv").read_bytes() == (outbox / "plain.predictions.csv").read_bytes()
    assert read_receipt(outbox / "packed.receipt.json").scored == plain.rows


def test_a_header_alone_publishes_zero_rows(live: LiveSite, daemon: Daemon, content: bytes) -> None:
    """A file without loans is published as predictions without rows."""
    batch = daemon.wait_for("header only.csv", content[: content.index(b"\n") + 1])
    assert (batch.state, batch.rows) == (State.DONE, 0)
    lines = (live.layout.outbox / "header only.predictions.csv").read_text().splitlines()
    assert lines == ["id,row_number,pd,score,band,decision,model_version"]
    assert read_receipt(live.layout.outbox / "header only.receipt.json").rows_in == 0


def test_a_missing_column_fails_its_file_alone(live: LiveSite, daemon: Daemon, content: bytes) -> None:
    """A CSV without a required column ends in failed/ with its name in the reason; the next good file is published."""
    head, _, rest = content.partition(b"\n")
    bad = head.replace(b"loan_int_rate", b"loan_int_rte") + b"\n" + rest[:5000]
    batch = daemon.wait_for("bad.csv", bad)
    assert batch.state is State.FAILED
    assert (live.layout.failed / "bad.csv").read_bytes() == bad
    reason = (live.layout.failed / "bad.csv.error.txt").read_text()
    assert "loan_int_rate" in reason
    assert "Traceback" not in reason
    assert not (live.layout.outbox / "bad.predictions.csv").exists()
    good = daemon.wait_for("good.csv", content[: content.index(b"\n", 5000) + 1])
    assert good.state is State.DONE
    assert (live.layout.outbox / "good.predictions.csv").exists()


def test_a_second_daemon_is_refused(live: LiveSite, daemon: Daemon) -> None:
    """While a daemon serves a site, another one for it ends at once with exit code 1 and a sentence."""
    daemon.wait(lambda: "watching" in daemon.log.read_text(), "the start")
    second = subprocess.run(
        [LOANS, "watch", "--site", live.file], capture_output=True, text=True, timeout=30, check=False
    )
    assert (second.returncode, second.stdout) == (1, "")
    expected = f"Another daemon serves this site already (process {daemon.process.pid})."
    assert second.stderr.splitlines()[0] == expected
    assert daemon.process.poll() is None


def test_status_answers_people_and_programs(live: LiveSite, daemon: Daemon, content: bytes) -> None:
    """`loans status` shows a batch of the daemon by its file's name, as a table and as one JSON document."""
    batch = daemon.wait_for("shown é.csv", content[: content.index(b"\n", 3000) + 1])
    command = [str(LOANS), "status", "shown é.csv", "--site", str(live.file)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert batch.id in shown.stdout
    assert "shown é.csv" in shown.stdout
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=30, check=True)
    (facts,) = json.loads(told.stdout)
    assert (facts["id"], facts["state"], facts["scored"]) == (batch.id, "done", batch.rows)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_ends_in_flight_finishes_later(
    pool: PoolStatus, live: LiveSite, daemon: Daemon, trained: TrainedSite, content: bytes, number: signal.Signals
) -> None:
    """Ended while jobs run, told or killed, the daemon finishes that file once when it starts again, the same bytes."""
    part = content[: content.index(b"\n", 120_000) + 1]
    undisturbed = daemon.wait_for(f"undisturbed {number.name}.csv", part)
    wanted = (live.layout.outbox / f"undisturbed {number.name}.predictions.csv").read_bytes()
    with made_site(pool, trained, 10_000) as other:
        with running(other) as first:
            other.drop(NAME, part)

            def in_flight() -> bool:
                batch = other.batch_of(NAME)
                return batch is not None and batch.state is State.RUNNING and 0 < batch.chunks_done <= batch.chunks // 2

            first.wait(in_flight, "a batch in flight")
            seconds = first.end(number)
            print(f"{number.name}: ended with {first.process.returncode} after {seconds:.2f} s")
            assert first.process.returncode == (0 if number is signal.SIGTERM else -number)
            assert seconds < 10
        before = other.batch_of(NAME)
        assert before is not None
        assert before.state is State.RUNNING
        assert not list(other.layout.outbox.iterdir())
        with running(other) as second:
            second.wait(lambda: other.is_finished(NAME), "the end of the batch")
            second.wait(lambda: not list(StateLayout(Path(other.site.state)).events.iterdir()), "an empty table")
        (after,) = other.batches()
        assert (after.state, after.attempt, after.clusters) == (State.DONE, 1, before.clusters)
        assert after.chunks > undisturbed.chunks
        assert (other.layout.outbox / "Mai crédits.predictions.csv").read_bytes() == wanted
        kinds = ("predictions.csv", "receipt.json", "rejects.csv")
        assert sorted(path.name for path in other.layout.outbox.iterdir()) == [f"Mai crédits.{kind}" for kind in kinds]
        jobs = connect(str(pool.condor_config)).find_jobs(after.id)
        assert sorted(job.chunk for job in jobs if job.chunk is not None) == list(range(after.chunks))
