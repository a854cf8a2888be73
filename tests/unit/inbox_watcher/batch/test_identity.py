"""The same delivery twice, sidecars, and what is no file: from the claim on, on real folders."""

import hashlib
import os
import threading
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.claim import claim_sidecar
from inbox_watcher.batch.identity import Digests, OnItsWayError, read_promised
from inbox_watcher.batch.journal import Journal
from inbox_watcher.explain.audit import find_finished, planned_content
from inbox_watcher.settings.layout import BatchLayout, Layout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from scoring.errors import FileRefusedError, LoansError, StorageError
from scoring.results.receipt import read_receipt
from scoring.results.replay import replay_result
from scoring.results.verify import verify_result
from tests.unit.inbox_watcher.batch_steps import ID, NAME, Drop, OpenBatch, go_on
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess

SECOND = "20261122-150802-aaaaaa"


def test_the_hash_is_kept(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """Journal and receipt hold the SHA-256 of the file as it was dropped."""
    content = drop(NAME)
    open_batch()
    batch = go_on(site, journal, scheduler)
    wanted = hashlib.sha256(content).hexdigest()
    assert batch.input_sha256 == wanted
    assert read_receipt(layout.results(batch.output).receipt).input_sha256 == wanted


def test_a_copy_of_the_receipt_that_is_missing_or_altered_is_named(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """There are two copies; one stands in for the other, and what is wrong names the file."""
    drop(NAME)
    open_batch()
    batch = go_on(site, journal, scheduler)
    kept, published = layout.batch(ID).receipt, layout.results(batch.output).receipt
    content = kept.read_bytes()
    kept.unlink()
    assert find_finished(site, ID).receipt_problem == f"{kept} is missing"
    kept.write_bytes(content)
    published.write_bytes(content + b" ")
    assert find_finished(site, ID).receipt_problem == f"{published} is not the one that {kept} keeps: it was altered"
    published.unlink()
    assert find_finished(site, ID).receipt_problem == f"{published} is missing"
    kept.unlink()
    with pytest.raises(LoansError, match="was not published"):
        find_finished(site, ID)


def test_the_same_delivery_is_not_scored_again(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """The same bytes under the same name are answered with the earlier results, which are not touched."""
    content = drop(NAME)
    open_batch()
    go_on(site, journal, scheduler)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in layout.outbox.iterdir()}
    drop(NAME)
    open_batch(NAME, SECOND, "Mai crédits.rev2")
    again = go_on(site, journal, scheduler)
    assert (again.state, again.output, again.rows, again.scored) == (State.DONE, "Mai crédits", 120, 120)
    assert again.reason == f"The same file was delivered before: batch {ID}."
    assert scheduler.submitted == [1]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in layout.outbox.iterdir()} == before
    assert layout.archived(SECOND, NAME).read_bytes() == content
    assert not journal.has_output("Mai crédits.rev2")
    # Whoever asks for a proof of it, or of the newest delivery of that name, gets that of the results.
    for wanted in (SECOND, NAME, ID):
        finished = find_finished(site, wanted)
        assert (finished.batch.id, finished.receipt.batch, finished.receipt_problem) == (ID, ID, "")
    # Where the journal was lost, the outbox tells; a name that is in neither is told.
    lost = msgspec.structs.replace(site, state=site.state + " that nobody has")
    assert find_finished(lost, NAME).batch.id == ID
    for nobodys in ("other.csv", "x/../" + NAME, "x" * 300 + ".csv"):
        with pytest.raises(LoansError, match="There is no batch"):
            find_finished(lost, nobodys)


@pytest.mark.parametrize("change", ["other bytes", "another name", "results removed"])
def test_any_other_delivery_is_scored(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    change: str,
) -> None:
    """Other bytes, another name, or results that are gone from the outbox: then it is scored."""
    drop(NAME)
    open_batch()
    first = go_on(site, journal, scheduler)
    name = "other.csv" if change == "another name" else NAME
    if change == "results removed":
        layout.results(first.output).receipt.unlink()
    drop(name, seed=2 if change == "other bytes" else 1)
    open_batch(name, SECOND, "second")
    assert go_on(site, journal, scheduler).output == "second"
    assert scheduler.submitted == [1, 2]
    assert layout.results("second").predictions.exists()


def test_of_two_at_a_time_one_is_published(
    site: Site, layout: Layout, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> None:
    """The same delivery twice at a time: the one that is asked first goes ahead, the other awaits its results."""
    pool = PoolInProcess(lazy=True)
    steps = Steps(site, journal, lambda: nullcontext(pool))
    batches = []
    # The later id comes first: what counts is who was planned first.
    for batch_id, output in ((SECOND, "one"), (ID, "two")):
        drop(NAME)
        batches.append(steps.take(open_batch(NAME, batch_id, output)))
    first, second = batches
    first = steps.take(first)
    assert first.state == "planned"
    for _ in range(2):
        with pytest.raises(OnItsWayError, match=f"on its way as batch {SECOND}"):
            steps.take(second)
    fresh = Steps(site, journal, lambda: nullcontext(pool))
    with pytest.raises(OnItsWayError, match=f"on its way as batch {SECOND}"):
        fresh.take(second)
    pool.waits = False
    while first.state is not State.DONE:
        first = steps.take(first)
    second = steps.take(steps.take(second))
    assert (second.state, second.output) == (State.DONE, "one")
    assert sorted(path.name for path in layout.outbox.iterdir()) == [
        "one.predictions.csv", "one.receipt.json", "one.rejects.csv",
    ]  # fmt: skip


def test_two_that_are_planned_together_do_not_wait_for_each_other(
    site: Site, layout: Layout, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> None:
    """Four workers that meet four twins: one goes ahead, three wait, and all come to an end."""
    pool = PoolInProcess()
    steps = Steps(site, journal, lambda: nullcontext(pool))
    batches = []
    for number in range(4):
        drop(NAME)
        batches.append(steps.take(open_batch(NAME, f"20261122-150801-00000{number}", f"out{number}")))
    start = threading.Barrier(4)
    ended: list[Batch] = []

    def work(batch: Batch) -> None:
        start.wait()
        while batch.state is not State.DONE:
            try:
                batch = steps.take(batch)
            except StorageError:
                continue
        ended.append(batch)

    threads = [threading.Thread(target=work, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(ended) == 4
    assert len({batch.output for batch in ended}) == 1
    assert len(list(layout.outbox.iterdir())) == 3
    assert pool.submitted == [1]


def test_twins_of_a_failure_are_scored(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A delivery that failed answers nothing: the same file is judged anew."""
    scheduler.failures[0] = 3
    drop(NAME)
    open_batch()
    assert go_on(site, journal, scheduler).state is State.FAILED
    drop(NAME)
    open_batch(NAME, SECOND, "second")
    assert go_on(site, journal, scheduler).state is State.DONE
    assert layout.results("second").predictions.exists()


@pytest.mark.parametrize("form", ["{}", "{}\n", "{}  Mai crédits.csv\n", "{} *x\r\n", "\n {}"])
@pytest.mark.parametrize("right", [True, False])
def test_a_hash_in_a_sidecar_is_compared(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    form: str,
    *,
    right: bool,
) -> None:
    """A file that is not the promised one is refused with both hashes; the sidecar goes with its file."""
    content = drop(NAME)
    digest = hashlib.sha256(content).hexdigest()
    promised = digest.upper() if right else "0" * 64
    (layout.inbox / f"{NAME}.done").write_text(form.format(promised))
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert not list(layout.inbox.iterdir())
    if right:
        assert batch.state is State.DONE
        return
    assert batch.state is State.FAILED
    for word in ("[checksum_mismatch]", digest, promised):
        assert word in batch.reason
    assert scheduler.submitted == []


@pytest.mark.parametrize("text", [b"", b"done", b"12 rows", b"a" * 63, b"a" * 65, b"\xff\xfe"])
def test_a_sidecar_without_a_hash_promises_nothing(tmp_path: Path, text: bytes) -> None:
    """What is no SHA-256 is not compared."""
    folder = BatchLayout(tmp_path)
    assert not read_promised(folder.sidecar)
    folder.sidecar.write_bytes(text)
    assert not read_promised(folder.sidecar)


def test_a_sidecar_of_an_earlier_file_is_left(tmp_path: Path) -> None:
    """A sidecar that is older than the file is not taken for its own; one in place already is not replaced."""
    (tmp_path / "a.csv.done").write_text("old")
    os.utime(tmp_path / "a.csv.done")
    while (tmp_path / "a.csv.done").stat().st_ctime_ns >= _touched(tmp_path / "a.csv"):
        pass
    target = tmp_path / "input.done"
    claim_sidecar(tmp_path, "a.csv", target)
    assert not target.exists()
    (tmp_path / "a.csv.done").write_text("new")
    claim_sidecar(tmp_path, "a.csv", target)
    assert target.read_text() == "new"
    (tmp_path / "a.csv.done").write_text("of the next file")
    claim_sidecar(tmp_path, "a.csv", target)
    assert target.read_text() == "new"
    claim_sidecar(tmp_path, "x" * 255, tmp_path / "none")


def _touched(path: Path) -> int:
    path.write_bytes(b"id\n1\n")
    return path.stat().st_ctime_ns


@pytest.mark.parametrize("kind", ["link", "pipe", "second name"])
def test_what_was_put_in_place_of_the_file_is_refused(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    tmp_path: Path,
    kind: str,
) -> None:
    """A link or a pipe that took the file's place between listing and claim is not opened: it is set aside."""
    secret, dropped = tmp_path / "secret", layout.inbox / NAME
    secret.write_bytes(b"secret")
    if kind == "link":
        dropped.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(dropped)
    else:
        os.link(secret, dropped)
    open_batch()
    batch = go_on(site, journal, scheduler)
    assert batch.state is State.FAILED
    assert "[not_a_plain_file]" in batch.reason
    assert secret.read_bytes() == b"secret"
    assert os.path.lexists(layout.failed / NAME)


def test_trouble_while_hashing_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that fails is told, and done again the next time; a hash that nobody wants is given up."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    digests = Digests()
    with monkeypatch.context() as patch:
        patch.setattr("inbox_watcher.batch.identity.open_plain", lambda _: (tmp_path / "a").open("wb"))
        with pytest.raises(OSError, match="read"):
            digests.result("a", path)
    path.write_bytes(b"abc")
    assert digests.result("a", path) == hashlib.sha256(b"abc").hexdigest()
    digests.forget("a")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        digests.result("a", path)
    path.symlink_to("/dev/null")
    with pytest.raises(FileRefusedError):
        digests.start("a", path)


@pytest.mark.parametrize("name", [b"Kr\xe9dit.csv", b"new\nline.csv", b"$(Process).csv"])
def test_an_archived_file_of_any_name_can_be_proved_and_scored_again(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    name: bytes,
) -> None:
    """What an auditor asks works for each file that was scored, whatever bytes it is called."""
    drop(name, rows=30)
    open_batch(os.fsdecode(name))
    assert go_on(site, journal, scheduler).state is State.DONE
    finished = find_finished(site, ID)
    with planned_content(finished, site) as content:
        checks = verify_result(content, finished.receipt, finished.results, layout.models)
        again = replay_result(content, finished.receipt, finished.results, layout.models, threads=1)
    assert not [check for check in checks if check.problem]
    assert again.identical
