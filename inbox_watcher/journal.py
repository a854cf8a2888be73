"""The daemon's memory: every batch in its latest state, in a crash-safe SQLite database on a local disk."""

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from inbox_watcher.batch import FINAL, Batch
from scoring.errors import StorageError
from scoring.failpoints import reach

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


class Journal:
    """Batches by id. What `record` has returned from survives kill -9 and, with the disk's word, a power cut."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the journal, or make it. Raises StorageError when it cannot be opened."""
        self._lock = threading.Lock()
        self._read_only = read_only
        try:
            if read_only:
                self._database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
                self._database.execute("PRAGMA query_only=ON")
            else:
                self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StorageError(
                f"The journal {path} cannot be opened: {error}.",
                "Check `state` in the site file; it must be a folder of yours on a local disk.",
            ) from error

    def record(self, batch: Batch) -> Batch:
        """Write a batch's state, durably, and give the batch back. Raises StorageError when the disk refuses."""
        row = (batch.id, batch.state in FINAL, batch.output, batch.name, msgspec.json.encode(batch))
        reach("journal.{}.before", batch.state)
        with self._lock:
            try:
                self._database.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.Error as error:
                raise StorageError(f"The journal cannot be written: {error}.", "Check the disk of `state`.") from error
        reach("journal.{}.after", batch.state)
        return batch

    def open_batches(self) -> list[Batch]:
        """Give the batches that are not finished, oldest first."""
        return self._decode("SELECT record FROM batches WHERE final = 0 ORDER BY id")

    def latest(self, count: int) -> list[Batch]:
        """Give the `count` newest batches, newest first."""
        return self._decode("SELECT record FROM batches ORDER BY id DESC LIMIT ?", (count,))

    def find(self, batch_id: str) -> Batch | None:
        """Give a batch by its id."""
        return next(iter(self._decode("SELECT record FROM batches WHERE id = ?", (batch_id,))), None)

    def find_by_name(self, name: bytes) -> Batch | None:
        """Give the newest batch of a file's name (bytes, as it was dropped)."""
        query = "SELECT record FROM batches WHERE name = ? ORDER BY id DESC LIMIT 1"
        return next(iter(self._decode(query, (name,))), None)

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
        with self._lock:
            try:
                rows = self._database.execute(query, tuple(values)).fetchall()
            except sqlite3.Error as error:
                if self._read_only and not self._is_made():
                    return []  # the daemon makes it at this very moment
                raise StorageError(f"The journal cannot be read: {error}.") from error
        return [msgspec.json.decode(record, type=Batch) for (record,) in rows]
