"""The daemon as a whole on real folders, with a pool in this process: it listens, goes on, and ends when told."""

import hashlib
import logging
import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from inbox_watcher.batch.batch import State
from inbox_watcher.explain.status import find_batch, read_batches
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from scoring.errors import LoansError
from scoring.models.production import promote
from scoring.models.registry import Pin
from scoring.results.receipt import read_receipt
from tests.unit.inbox_watcher.conftest import loans, publish_copy
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.inbox_watcher.running_daemon import Drop, Run
from tests.unit.inbox_watcher.running_daemon import quick as quick  # noqa: PLC0414 - a fixture is found by its name here
from tests.unit.inbox_watcher.running_daemon import run as run  # noqa: PLC0414
from tests.unit.inbox_watcher.running_daemon import with_hints as with_hints  # noqa: PLC0414


def versions_in(predictions: Path) -> set[str]:
    """Name the model versions in a published file."""
    return {line.rpartition(",")[2] for line in predictions.read_text().splitlines()[1:]}


@pytest.mark.usefixtures("pin")
def test_files_that_are_dropped_are_published(run: Run, drop: Drop, layout: Layout) -> None:
    """What was there before the start and what comes later is scored, each under its own name."""
    drop("before.csv", rows=10)
    daemon = run()
    daemon.wait_for_outbox("before.predictions.csv")
    drop("later é.csv", rows=20)
    assert len(daemon.wait_for_outbox("later é.predictions.csv").read_text().splitlines()) == 21
    daemon.wait_until_all_done(2)
    assert not list(layout.inbox.iterdir())
    assert len(list(layout.archive.iterdir())) == 2
    assert not list((Path(daemon.watcher._site.state) / "events").iterdir())


@pytest.mark.usefixtures("pin")
def test_hints_make_the_daemon_quick(run: Run, drop: Drop, with_hints: Site) -> None:
    """A file that is renamed into the inbox is claimed at the watcher's word, long before the next listing is due."""
    daemon = run(on=with_hints)
    drop("first.csv", rows=10)
    daemon.wait_for_outbox("first.predictions.csv")
    daemon.wait_until_all_done(1)
    # The daemon sleeps now; only a hint can wake it.
    drop("second.csv", rows=10)
    daemon.wait_for_outbox("second.predictions.csv")


@pytest.mark.usefixtures("pin")
def test_a_bad_file_costs_only_itself(run: Run, drop: Drop, layout: Layout) -> None:
    """A file without a required column and one whose chunk fails for good end in failed/; the next one is scored."""
    pool = PoolInProcess()
    daemon = run(pool)
    drop("bad.csv", content=b"id,person_age\n1,30\n")
    daemon.wait((layout.failed / "bad.csv").exists, "the refusal")
    assert "person_income" in (layout.failed / "bad.csv.error.txt").read_text()
    pool.failures[0] = 3
    drop("doomed.csv", rows=10)
    daemon.wait((layout.failed / "doomed.csv").exists, "the failure")
    assert "the machine is on fire" in (layout.failed / "doomed.csv.error.txt").read_text()
    drop("good.csv", rows=10)
    daemon.wait_for_outbox("good.predictions.csv")
    states = {batch.output: batch.state for batch in daemon.wait_until_all_done(3)}
    assert states == {"bad": State.FAILED, "doomed": State.FAILED, "good": State.DONE}


@pytest.mark.usefixtures("pin")
def test_the_same_name_twice_makes_two_results(run: Run, drop: Drop, layout: Layout) -> None:
    """A second file under a name is published as its second revision; the first result is not touched."""
    daemon = run()
    drop("loans.csv", rows=10, seed=1)
    first = daemon.wait_for_outbox("loans.predictions.csv")
    daemon.wait_until_all_done(1)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in layout.outbox.iterdir()}
    drop("loans.csv", rows=12, seed=2)
    second = daemon.wait_for_outbox("loans.rev2.predictions.csv")
    daemon.wait_until_all_done(2)
    assert len(second.read_text().splitlines()) == 13
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in layout.outbox.iterdir()}
    assert {name: after[name] for name in before} == before
    assert first.read_text() != second.read_text()
    assert len(list(layout.archive.rglob("loans.csv"))) == 2
    drop("LOANS.CSV.GZ", content=b"no gzip")
    drop("loans.csv.gz", content=b"no gzip")
    daemon.wait_until_all_done(4)
    names = sorted(path.name for path in layout.failed.iterdir() if not path.name.endswith(".error.txt"))
    assert names == ["LOANS.CSV.GZ", "loans.rev3.csv.gz"]


@pytest.mark.usefixtures("pin")
def test_ids_that_meet_mix_no_files(run: Run, drop: Drop, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many files of one second two draw the same digits: each is still a batch of its own, with its own loans."""
    digits = random.Random(1)
    monkeypatch.setattr(
        "inbox_watcher.batch.claim.secrets", SimpleNamespace(token_hex=lambda _: f"{digits.randrange(16):06x}")
    )
    daemon = run()
    sent = {}
    for number in range(30):
        sent[f"{number:02d}"] = drop(f"{number:02d}.csv", rows=2 + number % 5, seed=number)
        if number % 10 == 9:
            daemon.wait_for_outbox(f"{number - 5:02d}.predictions.csv")
    daemon.wait_until_all_done(len(sent))
    published = {path.name for path in layout.outbox.iterdir()}
    assert published >= {f"{name}.{kind}" for name in sent for kind in ("predictions.csv", "receipt.json")}
    for name, content in sent.items():
        receipt = read_receipt(layout.result(name, "receipt.json"))
        assert receipt.input_sha256 == hashlib.sha256(content).hexdigest()
        assert layout.archived(receipt.batch, f"{name}.csv").read_bytes() == content


@pytest.mark.usefixtures("pin")
def test_a_result_of_an_earlier_life_is_kept(run: Run, drop: Drop, layout: Layout) -> None:
    """Predictions that stand in the outbox though the journal knows nothing of them are not written over."""
    (layout.outbox / "loans.predictions.csv").write_text("precious")
    daemon = run()
    drop("loans.csv", rows=10)
    daemon.wait_for_outbox("loans.rev2.predictions.csv")
    assert (layout.outbox / "loans.predictions.csv").read_text() == "precious"


def test_a_promotion_does_not_touch_a_running_batch(run: Run, drop: Drop, layout: Layout, pin: Pin) -> None:
    """A batch is scored to its end by the version that it was claimed with; the next one by the new version."""
    pool = PoolInProcess(lazy=True)
    daemon = run(pool)
    drop("old.csv", rows=120)
    daemon.wait(lambda: bool(pool.submitted), "the submission")
    other = publish_copy(layout.models, pin, "20260202-000000-other")
    promote(layout.models, other, by="test", why="test")
    pool.waits = False
    pool.run_all()
    old = daemon.wait_for_outbox("old.predictions.csv")
    drop("new.csv", rows=120)
    new = daemon.wait_for_outbox("new.predictions.csv")
    assert versions_in(old) == {pin.version}
    assert versions_in(new) == {other.version}
    assert read_receipt(layout.outbox / "old.receipt.json").model == pin
    assert read_receipt(layout.outbox / "new.receipt.json").model == other


@pytest.mark.usefixtures("pin")
def test_a_restart_goes_on_with_what_runs(run: Run, drop: Drop) -> None:
    """A daemon that is stopped while jobs run, and started again, publishes from those very jobs."""
    pool = PoolInProcess(lazy=True)
    first = run(pool)
    drop("loans.csv", rows=120)
    first.wait(lambda: any(batch.state is State.RUNNING for batch in first.journal.open_batches()), "the jobs")
    first.stop()
    pool.run_all()
    second = run(pool)
    predictions = second.wait_for_outbox("loans.predictions.csv")
    (batch,) = second.wait_until_all_done(1)
    assert len(predictions.read_text().splitlines()) == 121
    assert (batch.state, batch.attempt, pool.submitted) == (State.DONE, 1, [1])


@pytest.mark.usefixtures("pin")
def test_a_name_that_is_not_utf8_costs_at_most_itself(run: Run, drop: Drop, layout: Layout) -> None:
    """A file whose name is Latin-1 is scored or refused under some readable name, and the daemon goes on."""
    daemon = run()
    drop(b"Kr\xe9dit.csv", rows=10)
    daemon.wait(lambda: not list(layout.inbox.iterdir()), "the claim")
    (batch,) = daemon.wait_until_all_done(1)
    assert batch.name == b"Kr\xe9dit.csv"
    assert batch.state in (State.DONE, State.FAILED)
    drop("good.csv", rows=10)
    daemon.wait_for_outbox("good.predictions.csv")


@pytest.mark.usefixtures("pin")
def test_a_name_is_only_data(run: Run, drop: Drop, layout: Layout) -> None:
    """Whatever a file is called, it is scored under that very name, and HTCondor never hears of it."""
    stems = ["a\nb", "$(Process)", "$ENV(HOME)", ";rm -rf ", "-rf", '"quoted"', "it's", " blanks ", "..x", "%s{}"]
    pool = PoolInProcess()
    daemon = run(pool)
    for stem in stems:
        drop(f"{stem}.csv", rows=5)
    for stem in stems:
        if not stem.startswith("."):
            daemon.wait_for_outbox(f"{stem}.predictions.csv")
    wanted = {f"{stem}.csv" for stem in stems if not stem.startswith(".")}
    daemon.wait_until_all_done(len(wanted))
    assert {path.name for path in layout.archive.rglob("*.csv")} == wanted
    assert [path.name for path in layout.inbox.iterdir()] == ["..x.csv"]
    assert not [stem for stem in stems for text in pool.descriptions if stem in text]


@pytest.mark.usefixtures("pin")
def test_what_is_no_csv_is_left_alone(run: Run, drop: Drop, layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    """Pipes, links, folders and other files stay in the inbox, are never opened, and are told of once, not for ever."""
    outside = layout.root / "outside.csv"
    outside.write_bytes(loans(3))
    (layout.inbox / "link.csv").symlink_to(outside)
    os.mkfifo(layout.inbox / "pipe.csv")
    (layout.inbox / "folder.csv").mkdir()
    (layout.inbox / "notes.txt").write_text("hello")
    (layout.inbox / "half.csv.part").write_text("id")
    daemon = run()
    for number in range(3):
        drop(f"good {number}.csv", rows=3)
        daemon.wait_for_outbox(f"good {number}.predictions.csv")
    daemon.wait_until_all_done(3)
    left = {"link.csv", "pipe.csv", "folder.csv", "notes.txt", "half.csv.part"}
    assert {path.name for path in layout.inbox.iterdir()} == left
    told = [record.getMessage() for record in caplog.records if "left alone" in record.getMessage()]
    assert len(told) == len(set(told))
    for name in ("link.csv", "pipe.csv", "notes.txt"):
        assert [line for line in told if name in line]


@pytest.mark.usefixtures("pin")
def test_nothing_of_a_loan_is_logged(run: Run, drop: Drop, caplog: pytest.LogCaptureFixture, layout: Layout) -> None:
    """Neither the log nor the journal nor what jobs print holds a cell of a loan, good or broken."""
    caplog.set_level(logging.DEBUG)
    token = b"SECRET" + b"4711" * 4
    lines = loans(30).splitlines(keepends=True)
    content = lines[0] + b"".join(token + b"%d" % row + line[line.index(b",") :] for row, line in enumerate(lines[1:]))
    drop("loans.csv", content=content + token + b",broken\n" + token + b'"\n')
    daemon = run()
    daemon.wait_for_outbox("loans.predictions.csv")
    daemon.wait_until_all_done(1)
    assert token.decode() not in caplog.text
    state = Path(daemon.watcher._site.state)
    kept = [path for path in [*state.rglob("*"), *layout.batches.rglob("logs/*")] if path.is_file()]
    assert kept
    assert not [path for path in kept if token in path.read_bytes()]


@pytest.mark.usefixtures("pin")
def test_status_tells_what_the_daemon_does(run: Run, drop: Drop, site: Site) -> None:
    """While the daemon runs, another process's look at the journal shows its batches, newest first."""
    assert read_batches(site, 5) == []
    daemon = run()
    for number in range(3):
        drop(f"{number}.csv", rows=3)
        daemon.wait_for_outbox(f"{number}.predictions.csv")
    daemon.wait_until_all_done(3)
    found = read_batches(site, 2)
    assert len(found) == 2
    assert [batch.id for batch in found] == sorted((batch.id for batch in found), reverse=True)
    wanted = find_batch(site, "1.csv")
    assert find_batch(site, wanted.id) == wanted
    assert wanted.scored == 3
    with pytest.raises(LoansError, match="There is no batch 'nothing'"):
        find_batch(site, "nothing")


@pytest.mark.usefixtures("pin")
def test_a_twin_on_its_way_is_no_trouble(run: Run, drop: Drop, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is sent again while it is being scored waits for the results, and nothing is said to be wrong."""
    caplog.set_level(logging.INFO)
    pool = PoolInProcess(lazy=True)
    daemon = run(pool)
    drop("loans.csv", rows=10)
    daemon.wait(lambda: bool(pool.submitted), "the submission")
    drop("loans.csv", rows=10)
    daemon.wait(lambda: "on its way as batch" in caplog.text, "a word on the twin")
    pool.waits = False
    pool.run_all()
    daemon.wait_until_all_done(2)
    assert pool.submitted == [1]
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
