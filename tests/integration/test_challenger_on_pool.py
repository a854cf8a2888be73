"""A challenger on a real pool: scored by the same jobs, kept beside the batch, and harmless when it is damaged."""

import csv
import io
import json
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from inbox_watcher.batch.batch import State
from local_pool.status import PoolStatus
from scoring.models.registry import MODEL, VERSIONS
from scoring.results.receipt import Receipt, read_receipt
from tests.integration.site_fixtures import LOANS, Daemon, LiveSite, made_site, running
from tests.unit.scoring.linear_model import POLICY, publish_linear
from training.history.generate import generate_loans

RIVAL = "rival"
ROWS = 3_000


@pytest.fixture(scope="module")
def content() -> bytes:
    """Give generated loans."""
    sink = io.BytesIO()
    generate_loans(ROWS, 7, labelled=False, sink=sink)
    return sink.getvalue()


@pytest.fixture(scope="module")
def live(pool: PoolStatus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """Give a site with a champion and a challenger, both made by hand, whose files of 3,000 loans are several jobs."""
    models = tmp_path_factory.mktemp("registry") / "models"
    publish_linear(models, policy=POLICY, slope=0.02)
    publish_linear(models, version=RIVAL, policy=POLICY, slope=0.08, promoted=False)
    with made_site(pool, models, 50_000) as site:
        text = site.file.read_text()
        assert '# challenger = ""' in text
        site.file.write_text(text.replace('# challenger = ""', f'challenger = "{RIVAL}"'))
        yield site


@pytest.fixture(scope="module")
def daemon(live: LiveSite) -> Iterator[Daemon]:
    """Run that site's daemon."""
    with running(live) as started:
        yield started


def published(live: LiveSite, name: str) -> tuple[Receipt, list[dict[str, str]]]:
    """Read receipt and predictions of a file."""
    with (live.layout.outbox / f"{name}.predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return read_receipt(live.layout.outbox / f"{name}.receipt.json"), rows


def verify(live: LiveSite, batch_id: str) -> dict[str, str]:
    """Run `loans verify`; give every check with its problem."""
    command = [str(LOANS), "verify", batch_id, "--json", "--site", str(live.file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return {check["what"]: check["problem"] for check in json.loads(ended.stdout)["checks"]}


def test_a_file_is_compared(live: LiveSite, daemon: Daemon, content: bytes) -> None:
    """Both probabilities of each row outlive the batch, the receipt has shift and swap set; all is verified."""
    batch = daemon.wait_for("compared.csv", content)
    assert (batch.state, batch.scored) == (State.DONE, ROWS)
    assert batch.chunks > 1
    receipt, rows = published(live, "compared")
    assert Counter(row["decision"] for row in rows) == Counter(receipt.decisions)
    assert {row["band"] for row in rows} <= receipt.bands.keys()
    report = receipt.challenger
    assert report is not None
    assert report.summary is not None
    assert (report.model.version, report.chunks, report.problems) == (RIVAL, batch.chunks, ())
    path = live.layout.batch(batch.id).challenger
    with path.open(newline="") as file:
        both = list(csv.DictReader(file))
    assert [(row["row_number"], row["pd"], row["decision"]) for row in both] == [
        (row["row_number"], row["pd"], row["decision"]) for row in rows
    ]
    swaps = Counter((row["decision"], row["challenger_decision"]) for row in both)
    told = report.summary.swaps
    assert swaps == Counter({(mine, theirs): told[mine][theirs] for mine in told for theirs in told[mine]})
    assert sum(count for (mine, theirs), count in swaps.items() if mine != theirs) > 0
    checks = verify(live, batch.id)
    assert checks["challenger"] == ""
    assert not any(checks.values())
    path.write_bytes(path.read_bytes()[:-2])
    assert "challenger.csv" in verify(live, batch.id)["challenger"]


def test_a_small_file_is_compared(live: LiveSite, daemon: Daemon, content: bytes) -> None:
    """A file that shares its job with others is compared as well, and scored alone by `loans score` the same."""
    small = b"".join(content.splitlines(keepends=True)[:21])
    batch = daemon.wait_for("small.csv", small)
    assert batch.group
    receipt, _ = published(live, "small")
    report = receipt.challenger
    assert report is not None
    assert report.summary is not None
    assert report.summary.rows == 20
    alone = live.file.with_name("alone.csv")
    source = live.file.with_name("small.csv")
    source.write_bytes(small)
    command = [str(LOANS), "score", str(source), "-o", str(alone), "--challenger", RIVAL, "--site", str(live.file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Compared with rival: 20 rows" in ended.stderr + ended.stdout
    kept = live.layout.batch(batch.id).challenger.read_bytes()
    assert alone.with_name("alone.challenger.csv").read_bytes() == kept


def test_a_damaged_challenger_harms_no_file(live: LiveSite, daemon: Daemon, content: bytes) -> None:
    """A challenger that is altered under the running daemon is found out by the jobs; the file is published."""
    daemon.wait_for("before.csv", content)
    path = live.layout.models / VERSIONS / RIVAL / MODEL
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    batch = daemon.wait_for("after.csv", content)
    assert (batch.state, batch.scored, batch.attempt) == (State.DONE, ROWS, 1)
    before, after = published(live, "before"), published(live, "after")
    assert after[1] == before[1]
    report = after[0].challenger
    assert report is not None
    assert (report.chunks, report.summary, report.file) == (0, None, None)
    assert "altered" in report.problems[0]
    assert not any(verify(live, batch.id).values())
