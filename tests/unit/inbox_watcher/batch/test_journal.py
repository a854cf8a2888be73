"""The journal: what it has taken down survives whatever ends the process."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import show_name
from scoring.errors import StorageError
from scoring.models.registry import Pin

REPOSITORY = Path(__file__).parents[4]

# Tells each batch and state after the journal has returned, never before.
WRITER = """
import sys
from pathlib import Path
from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    for state in (State.CLAIMING, State.CLAIMED, State.DONE):
        batch = journal.record(
            Batch(f"batch-{number:06d}", b"loans.csv", state, "then", "now", f"loans.rev{number}", reason="x" * 2000)
        )
        print(batch.id, str(batch.state), flush=True)
"""


def make_batch(number: int, state: State = State.CLAIMED, name: bytes = b"loans.csv", output: str = "loans") -> Batch:
    """Make a batch."""
    return Batch(f"20261122-1508{number:02d}-000000", name, state, "then", "now", output, Pin("v1", "0" * 64))


def test_what_was_recorded_survives_sigkill(tmp_path: Path) -> None:
    """A process that is killed while it writes, at any moment, loses nothing that the journal had returned from."""
    path = tmp_path / "journal.sqlite"
    told: dict[str, str] = {}
    for lines in (1, 40, 97):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                batch_id, state = writer.stdout.readline().split()
                told[batch_id] = state
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:  # what it told before the signal came
                batch_id, state = line.split()
                told[batch_id] = state
        assert writer.returncode == -signal.SIGKILL
        journal = Journal(path)
        order = list(State)
        for batch_id, state in told.items():
            found = journal.find(batch_id)
            assert found is not None
            assert order.index(found.state) >= order.index(State(state))
        assert journal.record(make_batch(1)) in journal.open_batches()
        journal.close()
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_open_batches_are_those_that_are_not_finished(tmp_path: Path) -> None:
    """After a restart exactly the unfinished batches are given, oldest first, each in its latest state."""
    journal = Journal(tmp_path / "journal.sqlite")
    for number, state in enumerate(State):
        journal.record(make_batch(number, State.CLAIMING, output=str(number)))
        journal.record(make_batch(number, state, output=str(number)))
    journal.close()
    again = Journal(tmp_path / "journal.sqlite")
    wanted = [state for state in State if state not in (State.DONE, State.FAILED)]
    assert [batch.state for batch in again.open_batches()] == wanted
    assert [batch.id for batch in again.open_batches()] == sorted(batch.id for batch in again.open_batches())
    assert [batch.state for batch in again.latest(3)] == list(reversed(State))[:3]
    again.close()


def test_a_batch_is_found_whole(tmp_path: Path) -> None:
    """Every field of a batch comes back as it was written, and an unknown id gives nothing."""
    journal = Journal(tmp_path / "journal.sqlite")
    batch = msgspec.structs.replace(
        make_batch(1), rows=7, chunks=3, chunks_done=2, attempt=2, clusters=(4, 9), retried=(1,), reason="é\n$(x)"
    )
    journal.record(batch)
    assert journal.find(batch.id) == batch
    assert journal.find("20261122-000000-ffffff") is None
    journal.close()


def test_a_name_finds_its_newest_batch(tmp_path: Path) -> None:
    """Of several deliveries under one name the newest is meant."""
    journal = Journal(tmp_path / "journal.sqlite")
    for number in (1, 3, 2):
        journal.record(make_batch(number, State.DONE, output=f"loans.rev{number}"))
    newest = journal.find_by_name(b"loans.csv")
    assert newest is not None
    assert newest.output == "loans.rev3"
    assert journal.find_by_name(b"Loans.csv") is None
    assert journal.has_output("loans.rev2")
    assert not journal.has_output("loans")
    journal.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(name=st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_any_file_name_can_be_recorded(tmp_path: Path, name: bytes) -> None:
    """Whatever bytes a file system takes for a name, the journal takes them, and what is published under it."""
    journal = Journal(tmp_path / "journal.sqlite")
    batch = make_batch(1, name=name, output=show_name(os.fsdecode(name)))
    try:
        journal.record(batch)
        assert journal.find(batch.id) == batch
        assert journal.find_by_name(name) == batch
        assert journal.has_output(batch.output)
    finally:
        journal.close()


def test_a_reader_sees_what_the_writer_does(tmp_path: Path) -> None:
    """While the daemon has the journal open, another process reads its latest word and cannot change it."""
    path = tmp_path / "journal.sqlite"
    writer = Journal(path)
    writer.record(make_batch(1))
    reader = Journal(path, read_only=True)
    assert [batch.state for batch in reader.latest(5)] == [State.CLAIMED]
    writer.record(make_batch(1, State.PLANNED))
    assert [batch.state for batch in reader.latest(5)] == [State.PLANNED]
    with pytest.raises(StorageError):
        reader.record(make_batch(2))
    writer.record(make_batch(2))
    reader.close()
    writer.close()
    after = Journal(path, read_only=True)
    assert len(after.latest(5)) == 2
    after.close()


def test_a_journal_that_is_being_made_reads_as_an_empty_one(tmp_path: Path) -> None:
    """A reader that looks while the daemon makes the tables, between two of its statements, finds no batch."""
    path = tmp_path / "journal.sqlite"
    sqlite3.connect(path).execute("PRAGMA journal_mode=WAL").close()
    reader = Journal(path, read_only=True)
    made: list[Journal] = []
    reader._database.set_trace_callback(lambda _: None if made else made.append(Journal(path)))
    assert reader.latest(5) == []
    assert made
    reader.close()
    made[0].close()


def test_a_journal_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """A folder that is not there and a file that is no journal end in a sentence with a way out."""
    with pytest.raises(StorageError, match="cannot be opened") as missing:
        Journal(tmp_path / "nowhere" / "journal.sqlite")
    assert "local disk" in missing.value.way_out
    (tmp_path / "journal.sqlite").write_text("this is no database, though it is long enough to be looked at" * 20)
    with pytest.raises(StorageError, match="cannot be opened"):
        Journal(tmp_path / "journal.sqlite")


def test_many_are_written_all_or_none(tmp_path: Path) -> None:
    """Batches that are recorded together are there together; when the disk refuses, none is, and the next may be."""
    journal = Journal(tmp_path / "journal.sqlite")
    batches = [make_batch(number, output=f"loans {number}") for number in range(20)]
    assert journal.record_many(batches) == batches
    assert journal.open_batches() == batches
    assert journal.record_many([]) == []
    journal._database.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError, match="cannot be written"):
        journal.record_many([msgspec.structs.replace(batch, state=State.FAILED) for batch in batches])
    assert journal.open_batches() == batches
    journal._database.execute("PRAGMA query_only=OFF")
    journal.record(msgspec.structs.replace(batches[0], state=State.FAILED))
    assert len(journal.open_batches()) == 19
    journal.close()


def test_threads_write_side_by_side(tmp_path: Path) -> None:
    """What many threads record at the same moment is all there, each entry when its own call has returned."""
    journal = Journal(tmp_path / "journal.sqlite")

    def write(number: int) -> bool:
        return journal.find(journal.record(make_batch(number)).id) is not None

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(write, range(100)))
    assert len(journal.open_batches()) == 100
    journal.close()


def test_what_is_recorded_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of these tests, which leave that out, each entry waits for the disk (SQLite's FULL, in WAL mode)."""
    monkeypatch.undo()
    with closing(Journal(tmp_path / "journal.sqlite")) as journal:
        assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)
        assert journal._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_journal_of_a_newer_version_is_told(tmp_path: Path) -> None:
    """An entry that this version does not understand is no defect: the words name the file and both ways out."""
    path = tmp_path / "journal.sqlite"
    with closing(Journal(path)) as journal:
        journal.record(Batch("b1", b"a.csv", State.CLAIMED, "then", "then", "a"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("""UPDATE batches SET record = '{"id": "b1", "of_tomorrow": 1}'""")
        database.commit()
    for read_only in (False, True):
        with closing(Journal(path, read_only=read_only)) as journal, pytest.raises(StorageError) as told:
            journal.open_batches()
        assert str(path) in told.value.what
        assert "newer version" in told.value.way_out


def test_a_damaged_journal_tells_the_way_out(tmp_path: Path) -> None:
    """A file that is no database, or was cut, is named; the way out is to move it away, which loses no file."""
    path = tmp_path / "journal.sqlite"
    with closing(Journal(path)) as journal:
        journal.record_many([Batch(f"b{n}", b"a.csv", State.CLAIMED, "then", "then", "a") for n in range(100)])
    whole = path.read_bytes()
    for content in (b"no database " * 100, whole[: len(whole) // 2]):
        path.write_bytes(content)
        for read_only in (False, True):
            with pytest.raises(StorageError) as told, closing(Journal(path, read_only=read_only)) as journal:
                journal.latest(1000)
            assert str(path) in told.value.what
            assert "Move the file away" in told.value.way_out


def test_a_journal_that_was_removed_takes_nothing(tmp_path: Path) -> None:
    """What would be written to a file that nobody finds any more is refused, also when another stands in its place."""
    path = tmp_path / "journal.sqlite"
    batch = Batch("b1", b"a.csv", State.CLAIMED, "then", "then", "a")
    with closing(Journal(path)) as journal:
        journal.record(batch)
        assert journal.is_in_place()
        for left in tmp_path.iterdir():
            left.unlink()
        assert not journal.is_in_place()
        with pytest.raises(StorageError, match="was removed while the daemon ran"):
            journal.record(batch)
        with closing(Journal(path)) as other:
            with pytest.raises(StorageError, match="was removed"):
                journal.record(batch)
            assert other.latest(9) == []


def test_a_name_that_is_no_text_is_no_id(tmp_path: Path) -> None:
    """Whatever a person asks for, the journal answers."""
    with closing(Journal(tmp_path / "journal.sqlite")) as journal:
        assert journal.find(os.fsdecode(b"Kr\xe9dit.csv")) is None
