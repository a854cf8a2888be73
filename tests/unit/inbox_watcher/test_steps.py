"""Each step of a batch on real folders, and what becomes of a file that cannot be scored."""

import gzip
import os
from contextlib import nullcontext

import msgspec
import pytest

from dag_specs.jobs import Scheduler
from inbox_watcher.batch.batch import State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout, output_stem
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from scoring.models.registry import Pin
from scoring.results.receipt import read_receipt
from tests.unit.inbox_watcher.batch_steps import ID, NAME, Drop, OpenBatch, go_on
from tests.unit.inbox_watcher.conftest import loans, with_scoring
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess


def test_a_file_becomes_predictions(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A dropped file ends as predictions in order, rejects and a receipt that adds up; the input is archived."""
    content = drop(NAME, rows=120)
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert (batch.state, batch.rows, batch.scored, batch.rejected) == (State.DONE, 120, 120, 0)
    assert batch.chunks == batch.chunks_done >= 4
    lines = (layout.outbox / "Mai crédits.predictions.csv").read_text().splitlines()
    assert lines[0] == "id,row_number,pd,model_version"
    ids = [line.split(b",")[0].decode() for line in content.splitlines()[1:]]
    assert [line.split(",")[:2] for line in lines[1:]] == [[one, str(row)] for row, one in enumerate(ids, start=1)]
    receipt = read_receipt(layout.outbox / "Mai crédits.receipt.json")
    assert (receipt.name, receipt.batch, len(receipt.parts)) == (NAME, ID, batch.chunks)
    assert receipt.rows_in == receipt.scored + receipt.rejected == sum(part.rows_in for part in receipt.parts) == 120
    assert (layout.archive / ID / NAME).read_bytes() == content
    assert not list(layout.inbox.iterdir())
    assert not (layout.batch(ID).parts).exists()
    assert scheduler.submitted == [1]


def test_the_name_of_a_file_reaches_no_submit_description(
    site: Site, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """What HTCondor is told holds the batch's id and numbers; the dropped name stays with the daemon."""
    name = "evil $(Process)\nexecutable = x ; \"rm\" '-rf' .csv"
    drop(name)
    open_batch(name)
    assert go_on(site, journal, scheduler).state is State.DONE
    text = scheduler.descriptions[0]
    assert ID in text
    assert "evil" not in text
    assert "rm" not in text.replace("form", "").replace("permission", "")


def test_a_compressed_file_is_scored_like_its_content(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """NAME.csv.gz gives the bytes that NAME.csv gives, and is archived as it was sent."""
    content = drop("plain.csv")
    packed = drop("packed.csv.gz", content=gzip.compress(content))
    open_batch("plain.csv", "20261122-150801-000001")
    open_batch("packed.csv.gz", "20261122-150801-000002")
    go_on(site, journal, scheduler)
    plain = (layout.outbox / "plain.predictions.csv").read_bytes()
    assert (layout.outbox / "packed.predictions.csv").read_bytes() == plain
    assert (layout.archive / "20261122-150801-000002" / "packed.csv.gz").read_bytes() == packed
    assert not [path for path in layout.batch("20261122-150801-000002").contents if path.exists()]


def test_a_header_alone_publishes_no_rows(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A file without loans is a good file: a header, no rows, and no job for it."""
    drop(NAME, rows=0)
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert (batch.state, batch.rows, batch.chunks) == (State.DONE, 0, 0)
    assert (layout.outbox / "Mai crédits.predictions.csv").read_text() == "id,row_number,pd,model_version\n"
    assert read_receipt(layout.outbox / "Mai crédits.receipt.json").rows_in == 0
    assert scheduler.submitted == []


def test_a_file_that_was_taken_back_ends_quietly(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch
) -> None:
    """A file that its sender took back before it was claimed leaves nothing but a line in the journal."""
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert batch.state is State.DONE
    assert "taken out of the inbox" in batch.reason
    assert not list(layout.batches.iterdir())
    assert not list(layout.failed.iterdir())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,person_age\n1,30\n", "person_income"),
        (b"", "empty_file"),
        (gzip.compress(b"id\n1\n", mtime=0), "gzip_content"),
        ("id,person_income\n".encode("utf-16"), "not_utf8"),
    ],
)
def test_a_file_that_cannot_be_scored_is_set_aside_with_the_reason(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    content: bytes,
    words: str,
) -> None:
    """A bad file ends in failed/ as it was sent, beside a text that names it, the reason and the way out."""
    drop(NAME, content=content)
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert batch.state is State.FAILED
    assert (layout.failed / NAME).read_bytes() == content
    text = (layout.failed / f"{NAME}.error.txt").read_text()
    assert text.startswith(f"{NAME} was not scored.\n")
    assert words in text
    assert ID in text
    assert len(text.splitlines()) >= 4
    assert "Traceback" not in text
    assert words in batch.reason
    assert not list(layout.outbox.iterdir())
    assert scheduler.submitted == []


@pytest.mark.parametrize("kind", ["", ".error.txt", "rejects"])
def test_nobody_elses_file_in_failed_is_replaced(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop, kind: str
) -> None:
    """What a person, or a daemon whose journal is gone, left in failed/ stays; ours gets another name."""
    content = drop(NAME, content=loans(20).replace(b",", b",x"))
    taken = layout.failed / ("Mai crédits.rejects.csv" if kind == "rejects" else f"{NAME}{kind}")
    taken.write_text("mine")
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert batch.state is State.FAILED
    assert taken.read_text() == "mine"
    assert (layout.failed / f"Mai crédits.{ID}.csv").read_bytes() == content
    assert ID in (layout.failed / f"Mai crédits.{ID}.csv.error.txt").read_text()
    assert len(list(layout.failed.iterdir())) == 3


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "é" * 125 + ".csv", "a" * 244 + ".csv.gz"])
def test_long_name_dropped_twice(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    name: str,
) -> None:
    """A name too long for its results is refused with the reason, each time that it is dropped; nothing gets stuck."""
    stem = output_stem(name)
    for number, output in enumerate((stem, f"{stem}.rev2")):
        content = loans(3, seed=number)
        drop(name, content=content if name.endswith(".csv") else (content := gzip.compress(content)))
        open_batch(name, f"20261122-150801-00000{number}", output)
        batch = go_on(site, journal, scheduler)
        assert batch.state is State.FAILED
        assert "name" in batch.reason
        assert content in [path.read_bytes() for path in layout.failed.iterdir()]
    assert len([path for path in layout.failed.iterdir() if path.name.endswith(".error.txt")]) == 2
    assert len(list(layout.failed.iterdir())) == 4


def test_a_file_with_too_many_rejects_is_refused(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A file of which more rows are rejected than the site allows is set aside; a few bad rows cost only themselves."""
    lines = loans(40).splitlines(keepends=True)

    def spoilt(count: int) -> bytes:
        return lines[0] + b"".join(b"broken\n" if row < count else line for row, line in enumerate(lines[1:]))

    strict = with_scoring(site, max_reject_share=0.2)
    drop("few.csv", content=spoilt(4))
    open_batch("few.csv", "20261122-150801-000001")
    few = go_on(strict, journal, scheduler)
    assert (few.state, few.scored, few.rejected) == (State.DONE, 36, 4)
    rejects = (layout.outbox / "few.rejects.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in rejects] == ["row_number", "1", "2", "3", "4"]
    drop("many.csv", content=spoilt(30))
    open_batch("many.csv", "20261122-150801-000002")
    many = go_on(strict, journal, scheduler)
    assert many.state is State.FAILED
    assert "reject" in many.reason
    assert sorted(os.listdir(layout.failed)) == ["many.csv", "many.csv.error.txt", "many.rejects.csv"]
    rejects = (layout.failed / "many.rejects.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in rejects] == ["row_number", *map(str, range(1, 31))]
    assert not (layout.outbox / "many.predictions.csv").exists()


def test_a_refused_file_may_hold_huge_fields(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A file that is refused for its rejects is refused in words, however long the rejected records are."""
    lines = loans(20).splitlines(keepends=True)
    drop(NAME, content=lines[0] + b"".join(b"9" * 200_000 + b"," + line for line in lines[1:]))
    open_batch()
    assert go_on(site, journal, scheduler).state is State.FAILED
    assert "reject" in (layout.failed / f"{NAME}.error.txt").read_text()
    assert (layout.failed / "Mai crédits.rejects.csv").read_bytes().count(b"\n") == 21


def test_an_altered_model_is_refused(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop, pin: Pin
) -> None:
    """A bit that flipped in the pinned model fails the file with the reason; nothing is scored with it."""
    model = layout.models / "versions" / pin.version / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    drop(NAME)
    open_batch()
    assert go_on(site, journal, scheduler).state is State.FAILED
    assert "altered" in (layout.failed / f"{NAME}.error.txt").read_text()
    assert not list(layout.outbox.iterdir())


def test_planning_does_not_need_the_pool(
    site: Site, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """Without a pool, whatever the reason, a file is still checked and planned: a bad one fails at once."""
    from scoring.errors import LoansError

    def no_pool() -> nullcontext[Scheduler]:
        raise LoansError("The pool on this machine is not up.", "Start it with `loans pool up`.")

    drop(NAME)
    batch = open_batch()
    steps = Steps(with_scoring(site, chunk_bytes=0), journal, no_pool)
    while batch.state is not State.PLANNED:
        batch = steps.take(batch)
    with pytest.raises(LoansError):
        steps.take(batch)
    batch = msgspec.structs.replace(batch)
    assert go_on(site, journal, scheduler).state is State.DONE
