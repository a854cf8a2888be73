"""Writers that go on after a pause, with a running daemon: every row comes out, or the file is refused, never less."""

import gzip
import hashlib
import os
from collections.abc import Callable

import msgspec
import pytest

from inbox_watcher.batch.batch import State
from inbox_watcher.explain.audit import check_promise, find_finished, planned_content
from inbox_watcher.inbox import admission
from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site
from scoring.results.verify import verify_result
from tests.unit.inbox_watcher.conftest import loans
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess
from tests.unit.inbox_watcher.running_daemon import Drop, Run
from tests.unit.inbox_watcher.running_daemon import quick as quick  # noqa: PLC0414 - a fixture is found by its name here
from tests.unit.inbox_watcher.running_daemon import run as run  # noqa: PLC0414

ROWS = 100
LINES = loans(ROWS).splitlines(keepends=True)

pytestmark = pytest.mark.usefixtures("pin")


def packed(lines: list[bytes]) -> bytes:
    """Give lines as one gzip member."""
    return gzip.compress(b"".join(lines), mtime=0)


WRITERS = {
    "burst.csv": (b"".join(LINES[:11]), b"".join(LINES[11:])),
    "header first.csv": (LINES[0], b"".join(LINES[1:])),
    "members.csv.gz": (packed(LINES[:11]), packed(LINES[11:])),
}
"""What is written before a pause at a record boundary, and after it, by name."""


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the inbox one on a network filesystem, whose writers on other hosts the daemon cannot see."""
    monkeypatch.setattr(admission, "find_filesystem", lambda _: "nfs4")


@pytest.fixture
def hasty(site: Site) -> Site:
    """Give a site that waits for no write of another host."""
    return msgspec.structs.replace(site, inbox=msgspec.structs.replace(site.inbox, unseen_seconds=0.0))


def is_told_open(caplog: pytest.LogCaptureFixture, name: str) -> Callable[[], bool]:
    """Give a question: whether the log says that a file is open for writing."""
    return lambda: any(
        repr(name) in record.getMessage() and "open for writing" in record.getMessage() for record in caplog.records
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_not_claimed_while_it_is_open(
    run: Run, layout: Layout, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """On a local filesystem, a writer's pause of any length loses no row: the file is claimed when it is closed."""
    daemon = run()
    first, second = WRITERS[name]
    with (layout.inbox / name).open("wb", buffering=0) as writer:
        writer.write(first)
        daemon.wait(is_told_open(caplog, name), "the refusal to claim")
        writer.write(second)
    (batch,) = daemon.wait_until_all_done(1)
    assert (batch.state, batch.scored + batch.rejected) == (State.DONE, ROWS)


@pytest.mark.parametrize("marked", [False, True])
def test_a_file_that_is_renamed_while_it_is_open_waits_too(
    run: Run, layout: Layout, caplog: pytest.LogCaptureFixture, *, marked: bool
) -> None:
    """A rename or a .done file does not make a file complete that its writer still has open."""
    daemon = run()
    name = "renamed.csv"
    with (layout.inbox / ".unfinished").open("wb", buffering=0) as writer:
        writer.write(b"".join(LINES[:11]))
        os.rename(layout.inbox / ".unfinished", layout.inbox / name)
        if marked:
            (layout.inbox / f"{name}.done").touch()
        daemon.wait(is_told_open(caplog, name), "the refusal to claim")
        writer.write(b"".join(LINES[11:]))
    (batch,) = daemon.wait_until_all_done(1)
    assert (batch.state, batch.scored + batch.rejected) == (State.DONE, ROWS)


def append(writer: int) -> None:
    """Write the rest of the rows."""
    os.write(writer, b"".join(LINES[51:]))


def rewrite(writer: int) -> None:
    """Write as many other bytes in place: the same loans in another order."""
    os.pwrite(writer, b"".join([LINES[0], *reversed(LINES[1:51])]), 0)


def truncate(writer: int) -> None:
    """Remove the last records."""
    os.ftruncate(writer, len(b"".join(LINES[:21])))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("change", [append, rewrite, truncate])
@pytest.mark.usefixtures("unseen")
def test_a_write_between_plan_and_publication_fails_the_file_once(
    run: Run, hasty: Site, layout: Layout, change: Callable[[int], None], *, large: bool
) -> None:
    """Where a writer cannot be seen, its writes after the claim are: nothing is published, and nothing is retried."""
    if not large:
        hasty = msgspec.structs.replace(hasty, scoring=msgspec.structs.replace(hasty.scoring, chunk_bytes=10**6))
    pool = PoolInProcess(lazy=True)
    daemon = run(pool, on=hasty)
    name = "slow.csv"
    writer = os.open(layout.inbox / name, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(writer, b"".join(LINES[:51]))
        daemon.wait(lambda: bool(pool.submitted), "the submission")
        change(writer)
    finally:
        os.close(writer)
    pool.waits = False
    pool.run_all()
    (batch,) = daemon.wait_until_all_done(1)
    assert batch.state is State.FAILED
    assert "[written_after_claim]" in batch.reason
    assert len(pool.submitted) == 1
    assert list(layout.outbox.iterdir()) == []
    assert sorted(path.name for path in layout.failed.iterdir()) == [name, f"{name}.error.txt"]


@pytest.mark.parametrize("name", ["burst.csv", "members.csv.gz"])
@pytest.mark.usefixtures("unseen")
def test_rows_that_come_while_a_file_is_scored_are_noticed(run: Run, hasty: Site, layout: Layout, name: str) -> None:
    """A second burst and a second gzip member refuse the file that they belong to."""
    pool = PoolInProcess(lazy=True)
    daemon = run(pool, on=hasty)
    first, second = WRITERS[name]
    with (layout.inbox / name).open("wb", buffering=0) as writer:
        writer.write(first)
        daemon.wait(lambda: bool(pool.submitted), "the submission")
        writer.write(second)
    pool.waits = False
    pool.run_all()
    (batch,) = daemon.wait_until_all_done(1)
    assert batch.state is State.FAILED
    assert "[written_after_claim]" in batch.reason
    assert list(layout.outbox.iterdir()) == []


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("when", ["while it is scored", "after it was published"])
def test_a_hash_that_comes_late_is_compared(
    run: Run, drop: Drop, site: Site, layout: Layout, when: str, *, right: bool
) -> None:
    """A .done may come at any time: a wrong hash ends in failed/ with the results, and `verify` reports it for ever."""
    pool = PoolInProcess(lazy=when == "while it is scored")
    daemon = run(pool)
    content = drop("june.csv", rows=ROWS)
    if pool.waits:
        daemon.wait(lambda: bool(pool.submitted), "the submission")
    else:
        daemon.wait_until_all_done(1)
    digest = hashlib.sha256(content).hexdigest()
    (layout.inbox / ".digest").write_text(digest if right else "7" * 64)
    os.rename(layout.inbox / ".digest", layout.inbox / "june.csv.done")
    pool.waits = False
    pool.run_all()
    daemon.wait(lambda: not list(layout.inbox.iterdir()), "the comparison")
    (batch,) = daemon.wait_until_all_done(1)
    assert layout.batch(batch.id).sidecar.exists()
    if right:
        assert batch.state is State.DONE
        finished = find_finished(site, "june.csv")
        assert finished.receipt_problem == ""
    else:
        assert batch.state is State.FAILED
        assert "[checksum_mismatch]" in batch.reason
        assert list(layout.outbox.iterdir()) == []
        published = when == "after it was published"
        kinds = ["", ".error.txt"]
        assert {f"june.csv{kind}" for kind in kinds} <= {path.name for path in layout.failed.iterdir()}
        assert (layout.failed / "june.predictions.csv").exists() is published
        if not published:
            return
        finished = find_finished(site, "june.csv")
        assert finished.receipt_problem != ""
        assert (layout.failed / "june.csv").read_bytes() == content
    with planned_content(finished, site) as planned:
        checks = verify_result(planned, finished.receipt, finished.results, layout.models)
    assert [check.what for check in checks if check.problem] == []
    promise = check_promise(finished, site)
    assert promise is not None
    assert (promise.problem == "") is right
