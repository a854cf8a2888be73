"""From files in the inbox to batches: packed files that are cut, sidecars of nobody, a file that is sent twice."""

import errno
import gzip
import logging
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.pinned_models import read_notice
from inbox_watcher.explain.observation import explain_file
from inbox_watcher.inbox import admission
from inbox_watcher.inbox.admission import Admission
from inbox_watcher.inbox.arrivals import APART, list_inbox
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import Inbox, Site
from inbox_watcher.steps import Steps
from scoring.models.production import promote
from scoring.models.registry import Pin
from tests.unit.inbox_watcher.conftest import forge_pointer, loans, publish_copy
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.inbox_watcher.waiting import wait_for

Drop = Callable[..., bytes]

pytestmark = pytest.mark.usefixtures("pin")


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time (seconds) that the inbox is listed at, for the test to wind."""
    now = [1000.0]
    monkeypatch.setattr("inbox_watcher.inbox.admission.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def admit(site: Site, journal: Journal, moment: list[float]) -> Callable[..., list[Batch]]:
    """Give a function that lets time pass and lists the inbox, as often as it takes to have looked at every file."""
    patient = msgspec.structs.replace(site, inbox=Inbox(settle_seconds=1, truncated_seconds=60))
    desk = Admission(patient, journal)

    def admit(seconds: float) -> list[Batch]:
        moment[0] += seconds
        batches = desk.admit((), ())
        wait_for(lambda: all(look.done() for _, look in desk._packed._looks.values()), "the look")
        moment[0] += APART
        return batches + desk.admit((), ())

    return admit


def test_a_packed_file_that_is_cut_is_waited_for(
    admit: Callable[..., list[Batch]], drop: Drop, layout: Layout, site: Site, journal: Journal
) -> None:
    """A .csv.gz whose stream has not ended is not claimed for as long as a cut CSV; then it is refused as truncated."""
    packed = gzip.compress(loans(20))
    drop("slow.csv.gz", content=packed[:-5])
    drop("whole.csv.gz", content=packed)
    drop("damaged.csv.gz", content=b"no gzip")
    assert admit(0) == []
    assert {batch.name for batch in admit(2)} == {b"whole.csv.gz", b"damaged.csv.gz"}
    for name in ("whole", "damaged"):
        (layout.inbox / f"{name}.csv.gz").unlink()
    assert admit(50) == []
    with (layout.inbox / "slow.csv.gz").open("ab") as file:
        file.write(packed[-5:-2])
    assert admit(0) == admit(2) == admit(50) == []
    (batch,) = admit(10)
    steps = Steps(site, journal, lambda: nullcontext(PoolInProcess()))
    while batch.state is not State.FAILED:
        batch = steps.take(batch)
    assert "ends too early" in batch.reason
    assert "[truncated]" in batch.reason


def test_a_packed_file_whose_end_comes_is_taken(admit: Callable[..., list[Batch]], drop: Drop, layout: Layout) -> None:
    """As soon as its stream ends it counts as complete, as any other file."""
    packed = gzip.compress(loans(20))
    drop("slow.csv.gz", content=packed[:100])
    assert admit(0) == admit(2) == []
    with (layout.inbox / "slow.csv.gz").open("ab") as file:
        file.write(packed[100:])
    assert admit(0) == []
    assert [batch.name for batch in admit(2)] == [b"slow.csv.gz"]


def test_a_sidecar_of_nobody_is_told_and_goes_after_a_day(
    admit: Callable[..., list[Batch]],
    layout: Layout,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A .done without a file is told once, stays while its file may come, and does not stay for ever."""
    sidecar = layout.inbox / "never.csv.done"
    sidecar.write_text("")
    caplog.set_level(logging.INFO)
    for _ in range(3):
        admit(60)
    assert sidecar.exists()
    assert caplog.text.count("belongs to no file; it is removed after a day") == 1
    monkeypatch.setattr(admission, "_ORPHAN_SECONDS", -1.0)
    admit(60)
    assert not sidecar.exists()
    assert caplog.text.count("was removed from the inbox") == 1


def test_a_sidecar_that_comes_after_its_file_waits_for_the_batch(
    admit: Callable[..., list[Batch]], drop: Drop, layout: Layout, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """A .done of an open batch stays and is not reported; one of a finished batch is kept in its folder."""
    drop("loans.csv", rows=5)
    admit(0)
    (batch,) = admit(2)
    folder = layout.batch(batch.id)
    folder.root.mkdir()
    os.rename(layout.inbox / "loans.csv", folder.input)
    sidecar = layout.inbox / "loans.csv.done"
    sidecar.write_text("complete")
    assert admit(2) == []
    assert sidecar.exists()
    assert caplog.records == []
    journal.record(msgspec.structs.replace(batch, state=State.DONE, input_sha256="0" * 64))
    assert admit(2) == []
    assert not sidecar.exists()
    assert folder.sidecar.read_text() == "complete"


def test_a_finished_batch_that_a_late_hash_contradicts_is_reopened(
    admit: Callable[..., list[Batch]], drop: Drop, layout: Layout, journal: Journal
) -> None:
    """The listing gives such a batch like a new one, journaled as failing."""
    drop("loans.csv", rows=5)
    admit(0)
    (batch,) = admit(2)
    (layout.inbox / "loans.csv").unlink()
    journal.record(msgspec.structs.replace(batch, state=State.DONE, input_sha256="0" * 64))
    (layout.inbox / "loans.csv.done").write_text("7" * 64)
    assert admit(0) == []
    (reopened,) = admit(2)
    assert (reopened.id, reopened.state) == (batch.id, State.FAILING)
    assert journal.find(batch.id) == reopened


@pytest.mark.parametrize("kind", ["predictions.csv", "rejects.csv", "receipt.json"])
def test_nobody_elses_file_in_the_outbox_is_replaced(
    admit: Callable[..., list[Batch]], drop: Drop, layout: Layout, kind: str
) -> None:
    """Where any of its results would replace a file that a person put there, a delivery becomes a revision."""
    layout.result("june", kind).write_text("mine")
    drop("june.csv", rows=5)
    (batch,) = admit(0) or admit(2)
    assert batch.output == "june.rev2"


@pytest.mark.parametrize(("network", "seconds"), [(False, 5), (True, 60)], ids=["local", "network"])
def test_an_empty_file_is_waited_for_where_it_may_fill(
    site: Site,
    layout: Layout,
    journal: Journal,
    moment: list[float],
    monkeypatch: pytest.MonkeyPatch,
    network: bool,  # noqa: FBT001 (a case)
    seconds: int,
) -> None:
    """Refused soon where its writer's bytes would show at once; on network storage as late as any file that is cut."""
    monkeypatch.setattr(admission, "is_network_filesystem", lambda _: network)
    desk = Admission(msgspec.structs.replace(site, inbox=Inbox(settle_seconds=1, truncated_seconds=60)), journal)
    (layout.inbox / "empty.csv").touch()
    for _ in range(2):
        assert desk.admit((), ()) == []
        moment[0] += seconds - 0.5
    moment[0] -= seconds - 1
    (batch,) = desk.admit((), ())
    assert batch.name == b"empty.csv"


def test_a_file_that_cannot_be_read_is_told_and_waits(
    admit: Callable[..., list[Batch]],
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file that its sender alone may read stays in the inbox; the log names it once, and it goes on when it can."""

    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    (layout.inbox / "secret.csv").write_bytes(loans(5))
    with monkeypatch.context() as patch:
        patch.setattr(admission, "open_plain", refuse)
        assert [admit(2) for _ in range(3)] == [[], [], []]
    told = "'secret.csv' in the inbox cannot be read: Permission denied; it waits until it can"
    assert [record.message for record in caplog.records] == [told]
    (batch,) = admit(2)
    assert batch.name == b"secret.csv"


def test_a_version_in_production_that_is_gone_is_waited_for(
    admit: Callable[..., list[Batch]], drop: Drop, layout: Layout, pin: Pin, caplog: pytest.LogCaptureFixture
) -> None:
    """Files are not failed for it: they wait in the inbox until its folder is back, or another is promoted."""
    home = layout.models / "versions" / pin.version
    home.rename(home.with_name("elsewhere"))
    drop("june.csv", rows=5)
    assert [admit(2), admit(2)] == [[], []]
    told = f"1 file(s) wait: version {pin.version}, which is in production, is not there"
    assert [record.message for record in caplog.records] == [told]
    assert (layout.inbox / "june.csv").exists()
    home.with_name("elsewhere").rename(home)
    assert [batch.name for batch in admit(2)] == [b"june.csv"]


def test_nothing_is_scored_with_a_forged_pointer(
    admit: Callable[..., list[Batch]],
    drop: Drop,
    layout: Layout,
    pin: Pin,
    site: Site,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Files wait until a version is promoted; log, `loans why` and the notice for `loans status` give the code."""
    forge_pointer(layout.models, publish_copy(layout.models, pin, "20270101-000000-forged"))
    drop("june.csv", rows=5)
    assert [admit(2), admit(2)] == [[], []]
    (message,) = [record.message for record in caplog.records]
    assert message.startswith("1 file(s) wait: No logged promotion put version 20270101-000000-forged into production")
    assert message.endswith("[unexplained_promotion]")
    notice = read_notice(StateLayout(Path(site.state)).notice)
    assert notice is not None
    assert notice.code == "unexplained_promotion"
    assert "`loans models promote VERSION`" in notice.text
    assert any("[unexplained_promotion]" in said.text for said in explain_file(site, "june.csv"))
    promote(layout.models, pin, by="test", why="test")
    (batch,) = admit(2)
    assert batch.model == pin
    assert read_notice(StateLayout(Path(site.state)).notice) is None


def test_what_was_listed_is_looked_at_afresh(
    admit: Callable[..., list[Batch]], drop: Drop, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that looks still only because an NFS client lists what it remembers is found to have grown, and waits."""
    drop("slow.csv")
    old = list_inbox(str(layout.inbox))
    with (layout.inbox / "slow.csv").open("ab") as file:
        file.write(loans(3).partition(b"\n")[2])
    with monkeypatch.context() as remembered:
        remembered.setattr(admission, "list_inbox", lambda _: old)
        assert admit(0) == admit(2) == admit(100) == []
    assert admit(0) == []
    assert [batch.name for batch in admit(2)] == [b"slow.csv"]
