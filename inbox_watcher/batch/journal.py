"""The daemon's memory: every batch in its latest state, in a crash-safe SQLite database on a local disk."""

import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inbox_watcher.batch.batch import FINAL, Batch
from scoring.errors import StorageError
from scoring.failpoints import reach

# Built here, at import: msgspec crashes when several threads are the first to decode one type.
_DECODER = msgspec.json.Decoder(Batch)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY,
    final INTEGER NOT NULL,
    output TEXT NOT NULL,
    name BLOB NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_batches ON batches (id) WHERE final = 0;
CREATE INDEX IF NOT EXISTS batch_outputs ON batches (output);
CREATE INDEX IF NOT EXISTS batch_names ON batches (name);
"""


@dataclass
class _Entry:
    """What one thread wants written."""

    rows: list[tuple[object, ...]]
    done: bool = False
    error: sqlite3.Error | None = None


def _row(batch: Batch) -> tuple[object, ...]:
    return (batch.id, batch.state in FINAL, batch.output, batch.name, msgspec.json.encode(batch))


class Journal:
    """Batches by id. What `record` has returned from survives kill -9 and, with the disk's word, a power cut."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the journal, or make it. Raises StorageError when it cannot be opened."""
        self._lock = threading.Lock()
        self._entries: deque[_Entry] = deque()
        self._read_only = read_only
        self._path = path
        try:
            if read_only:
                self._database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
                self._database.execute("PRAGMA query_only=ON")
            else:
                self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._database.executescript(_SCHEMA)
            self._file = None if read_only else _identify(path)
        except sqlite3.Error as error:
            raise StorageError(
                f"The journal {path} cannot be opened: {error}.",
                _WAY_OUT
                if _is_damage(error)
                else "Check `state` in the site file; it must be a folder of yours on a local disk.",
            ) from error

    def record(self, batch: Batch) -> Batch:
        """Write a batch's state, durably, and give the batch back. Raises StorageError when the disk refuses."""
        return self.record_many([batch])[0]

    def record_many(self, batches: Sequence[Batch]) -> list[Batch]:
        """Write the states of several batches, all or none, and give the batches back.

        Whatever threads bring while one waits for the disk is written together, with one wait. Raises StorageError
        when the disk refuses.
        """
        for batch in batches:
            reach("journal.{}.before", batch.state)
        entry = _Entry([_row(batch) for batch in batches])
        self._entries.append(entry)
        with self._lock:
            if not entry.done:
                together = [self._entries.popleft() for _ in range(len(self._entries))]
                self._write(together)
        if entry.error is not None:
            error = entry.error
            raise StorageError(
                f"The journal {self._path} cannot be written: {error}.", "Check the disk of `state`."
            ) from error
        for batch in batches:
            reach("journal.{}.after", batch.state)
        return list(batches)

    def _write(self, entries: "list[_Entry]") -> None:
        """Write what several threads brought (the lock is held)."""
        try:
            if not self.is_in_place():
                # SQLite would go on writing to the file that nobody finds any more.
                raise sqlite3.OperationalError("it was removed while the daemon ran")
            self._database.execute("BEGIN IMMEDIATE")
            rows = (row for entry in entries for row in entry.rows)
            self._database.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            for entry in entries:
                entry.error = error
        finally:
            for entry in entries:
                entry.done = True

    def is_in_place(self) -> bool:
        """Tell whether the file that was opened still stands under its name, as far as the disk says."""
        try:
            return self._file is None or _identify(self._path) == self._file
        except OSError:
            return True

    def ids(self) -> set[str]:
        """Give the ids of all batches. Raises StorageError when the journal cannot be read."""
        return {str(batch_id) for (batch_id,) in self._fetch("SELECT id FROM batches")}

    def open_batches(self) -> list[Batch]:
        """Give the batches that are not finished, oldest first."""
        return self._decode("SELECT record FROM batches WHERE final = 0 ORDER BY id")

    def latest(self, count: int) -> list[Batch]:
        """Give the `count` newest batches, newest first."""
        return self._decode("SELECT record FROM batches ORDER BY id DESC LIMIT ?", (count,))

    def find(self, batch_id: str) -> Batch | None:
        """Give a batch by its id."""
        if not batch_id.isascii():
            return None  # a file's name that is no text could not even be asked for
        return next(iter(self._decode("SELECT record FROM batches WHERE id = ?", (batch_id,))), None)

    def find_by_name(self, name: bytes) -> Batch | None:
        """Give the newest batch of a file's name (bytes, as it was dropped)."""
        query = "SELECT record FROM batches WHERE name = ? ORDER BY id DESC LIMIT 1"
        return next(iter(self._decode(query, (name,))), None)

    def batches_of(self, name: bytes) -> list[Batch]:
        """Give every batch of a file's name (bytes, as it was dropped), oldest first."""
        return self._decode("SELECT record FROM batches WHERE name = ? ORDER BY id", (name,))

    def has_output(self, output: str) -> bool:
        """Tell whether any batch publishes, or published, under this NAME."""
        return bool(self._decode("SELECT record FROM batches WHERE output = ? LIMIT 1", (output,)))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _is_made(self) -> bool:
        """Tell whether the tables are there (the lock is held)."""
        found = self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone()
        return found is not None

    def _decode(self, query: str, values: Iterable[object] = ()) -> list[Batch]:
        try:
            return [_DECODER.decode(record) for (record,) in self._fetch(query, values)]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
            raise StorageError(
                f"The journal {self._path} holds an entry that this version does not understand: {error}.",
                "Was it written by a newer version of this product? Then use that one. Otherwise: " + _WAY_OUT,
            ) from error

    def _fetch(self, query: str, values: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                # Asked before, not after a failure: the daemon may make the tables between the two.
                if self._read_only and not self._is_made():
                    return []
                return self._database.execute(query, tuple(values)).fetchall()
            except sqlite3.Error as error:
                way_out = _WAY_OUT if _is_damage(error) else "Check the disk of `state`."
                raise StorageError(f"The journal {self._path} cannot be read: {error}.", way_out) from error


_WAY_OUT = (
    "Move the file away, with those that begin like it: at its next start the daemon makes a new one and goes on with "
    "every unfinished file that it finds in ROOT/batches."
)


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file itself is what cannot be read, not the disk or its permissions."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _identify(path: Path) -> tuple[int, int] | None:
    """Tell which file stands under a name: device and inode; None where none does. Raises OSError."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino
