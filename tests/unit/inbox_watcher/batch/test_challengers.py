"""The challenger of a site: pinned with each batch, kept in its folder, and never in the way of its file."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.pinned_models import PinnedModels, check_challenger, pin_challenger
from inbox_watcher.inbox.admission import Admission
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from scoring.chunk.challenger import Challenger
from scoring.models.production import promote
from scoring.models.registry import MODEL, VERSIONS, Pin
from scoring.results.receipt import Receipt, read_receipt
from tests.unit.dag_specs.in_memory_scheduler import Command
from tests.unit.inbox_watcher.batch_steps import NAME, Drop, go_on
from tests.unit.inbox_watcher.conftest import with_scoring
from tests.unit.inbox_watcher.jobs.test_groups import go_on as take_together
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.scoring.linear_model import POLICY, publish_linear

RIVAL = "rival"
SLOPE = 3.0


@pytest.fixture
def rival(layout: Layout, pin: Pin) -> Pin:
    """Publish a challenger of the model in production; neither has a policy but this one."""
    assert pin.version != RIVAL
    return publish_linear(layout.models, version=RIVAL, policy=POLICY, slope=SLOPE, promoted=False)


@pytest.fixture
def challenged(site: Site) -> Site:
    """Give a site that names the challenger."""
    return with_scoring(site, challenger=RIVAL)


@pytest.fixture
def admit(journal: Journal) -> Callable[[Site], Batch]:
    """Give a function that takes the one file in the inbox in, as the daemon does."""

    def admit_one(site: Site) -> Batch:
        (batch,) = Admission(site, journal).admit([NAME], ())
        return batch

    return admit_one


def receipt_of(layout: Layout) -> Receipt:
    """Read the one published receipt."""
    return read_receipt(layout.outbox / "Mai crédits.receipt.json")


def test_a_challenger_is_pinned_checked_and_kept(
    challenged: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, rival: Pin, drop: Drop,
    admit: Callable[[Site], Batch],
) -> None:  # fmt: skip
    """From inbox to outbox: the batch names the challenger from the start, and both probabilities outlive the parts."""
    drop(NAME, rows=120)
    batch = admit(challenged)
    assert batch.challenger == Challenger(RIVAL, rival.manifest_sha256)
    done = go_on(challenged, journal, scheduler)
    assert (done.state, done.scored) == (State.DONE, 120)
    folder = layout.batch(batch.id)
    assert not folder.parts.exists()
    lines = folder.challenger.read_text().splitlines()
    assert lines[0] == "row_number,pd,challenger_pd"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(1, 121))
    report = receipt_of(layout).challenger
    assert report is not None
    assert report.summary is not None
    assert (report.model, report.chunks, report.problems) == (rival, done.chunks, ())
    assert report.summary.rows == 120
    assert "challenger" in json.loads(folder.manifest.read_bytes())


@pytest.mark.usefixtures("rival")
def test_no_challenger_leaves_no_trace(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, drop: Drop, admit: Callable[[Site], Batch]
) -> None:
    """A site that names none has none, whatever the registry holds."""
    drop(NAME)
    batch = admit(site)
    assert batch.challenger is None
    go_on(site, journal, scheduler)
    assert receipt_of(layout).challenger is None
    assert not layout.batch(batch.id).challenger.exists()


def test_a_batch_keeps_the_challenger_that_it_pinned(
    challenged: Site, site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, rival: Pin, drop: Drop,
    admit: Callable[[Site], Batch],
) -> None:  # fmt: skip
    """Neither promoting the challenger nor another site file changes what a batch is compared with."""
    drop(NAME)
    champion = admit(challenged).model
    promote(layout.models, rival, by="test", why="test")
    done = go_on(site, journal, scheduler)
    assert done.model == champion
    report = receipt_of(layout).challenger
    assert report is not None
    assert report.model == rival
    assert report.summary is not None


def damage(layout: Layout) -> None:
    """Alter a byte of the challenger's graph."""
    path = layout.models / VERSIONS / RIVAL / MODEL
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def test_a_damaged_challenger_costs_no_file(
    challenged: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, rival: Pin, drop: Drop,
    admit: Callable[[Site], Batch],
) -> None:  # fmt: skip
    """A challenger that was altered after the claim is left out when the batch is planned; the file is published."""
    drop(NAME, rows=120)
    admit(challenged)
    damage(layout)
    done = go_on(challenged, journal, scheduler)
    assert (done.state, done.scored) == (State.DONE, 120)
    report = receipt_of(layout).challenger
    assert report is not None
    assert (report.model, report.summary) == (rival, None)
    assert "model.onnx was altered" in report.problems[0]


@pytest.mark.parametrize(
    ("version", "words"), [("missing", "cannot be read"), ("../evil", "not the name"), ("", "")], ids=str
)
def test_a_challenger_that_is_not_there_says_so(layout: Layout, pin: Pin, version: str, words: str) -> None:
    """A name that no version has gives a reason instead of a pin, and no error."""
    challenger = pin_challenger(layout.models, version, pin)
    if not version:
        assert challenger is None
    else:
        assert challenger is not None
        assert words in challenger.problem
        assert check_challenger(PinnedModels(layout.models), challenger) == challenger


def test_a_version_is_not_its_own_challenger(layout: Layout, pin: Pin) -> None:
    """Once the challenger is in production there is nothing to compare with."""
    challenger = pin_challenger(layout.models, pin.version, pin)
    assert challenger is not None
    assert "in production" in challenger.problem


def test_storage_trouble_is_a_reason_too(layout: Layout, rival: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A challenger whose files cannot be read right now is left out: no file waits for it."""

    def stale(path: Path) -> str:
        raise OSError(116, "Stale file handle", str(path))

    monkeypatch.setattr("scoring.models.registry.sha256_of", stale)
    checked = check_challenger(PinnedModels(layout.models), Challenger(RIVAL, rival.manifest_sha256))
    assert checked is not None
    assert checked.problem.startswith("Stale file handle")


@pytest.mark.usefixtures("pin")
def test_the_log_says_once_that_files_go_without(
    site: Site, journal: Journal, drop: Drop, caplog: pytest.LogCaptureFixture
) -> None:
    """A challenger that is not there is told once in the log, however many files come."""
    admission = Admission(with_scoring(site, challenger="missing"), journal)
    for number in range(3):
        drop(f"{number}.csv")
        admission.admit([f"{number}.csv"], [b"%d.csv" % before for before in range(number)])
    assert len(journal.open_batches()) == 3
    assert sum("without the challenger missing" in record.message for record in caplog.records) == 1


class DiesOnce(PoolInProcess):
    """A pool whose first job is killed as soon as it starts."""

    def _score(self, command: Command) -> int:
        self.killed = not self.runs
        return super()._score(command)


@pytest.mark.usefixtures("rival")
def test_files_whose_shared_job_was_killed_go_on_without(
    challenged: Site, layout: Layout, journal: Journal, drop: Drop
) -> None:
    """When the job of several small files ends without a word, none of them is tried with the challenger again."""
    names = ["0.csv", "1.csv", "2.csv"]
    for number, name in enumerate(names):
        drop(name, rows=5, seed=number)
    assert len(Admission(challenged, journal).admit(names, ())) == 3
    take_together(challenged, journal, DiesOnce())
    assert {(batch.state, batch.attempt) for batch in journal.latest(9)} == {(State.DONE, 2)}
    for name in names:
        report = read_receipt(layout.outbox / f"{name[:-4]}.receipt.json").challenger
        assert report is not None
        assert "ended without a word" in report.problems[0]


def test_older_batches_still_read(pin: Pin) -> None:
    """A batch that was journaled before there were challengers has none."""
    written = msgspec.to_builtins(Batch("1", b"a.csv", State.CLAIMED, "", "", "a", pin))
    del written["challenger"]
    assert msgspec.convert(written, Batch).challenger is None
