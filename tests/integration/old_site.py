"""The site that an earlier release left, unpacked, and the pool that still holds the jobs that release submitted."""

import json
import os
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dag_specs.jobs import Job
from inbox_watcher.batch.batch import Batch
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import Site, load_site
from tests.unit.dag_specs.in_memory_scheduler import Command, run_for_real
from tests.unit.dag_specs.submit_text import read_description
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess

ARCHIVE = Path(__file__).parents[1] / "data" / "site-before-rooms" / "site.tar.gz"

NEXT_CLUSTER = 10_000
"""Clusters of this release have higher numbers than all clusters in the archive."""


@dataclass(frozen=True)
class OldSite:
    """The unpacked site."""

    folder: Path
    """Holds the site file, the shared tree and the daemon's own folder."""

    @property
    def file(self) -> Path:
        """The site file, as the old release wrote it."""
        return self.folder / "loans.toml"

    @property
    def site(self) -> Site:
        """What this release reads in the site file."""
        return load_site(self.file)

    @property
    def layout(self) -> Layout:
        """The shared tree."""
        return Layout(self.folder / "shared")

    @property
    def state(self) -> StateLayout:
        """The daemon's own folder."""
        return StateLayout(self.folder / "state")

    @property
    def queue(self) -> list[dict[str, Any]]:
        """The clusters in the queue: number, submit description, items, and the processes that are idle."""
        clusters: list[dict[str, Any]] = json.loads((self.folder / "queue.json").read_bytes())
        return clusters

    def batches(self) -> dict[str, Batch]:
        """Return every batch in the journal by its id, oldest first."""
        with closing(Journal(self.state.journal, read_only=True)) as journal:
            return {batch.id: batch for batch in reversed(journal.latest(1000))}

    def files(self, *folders: Path) -> dict[str, bytes]:
        """Return the files below some folders of the shared tree, hidden ones too, by their path in the tree."""
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.layout.root).as_posix(): path.read_bytes() for path in paths}


def unpack(folder: Path, python: Path, condor_config: Path) -> OldSite:
    """Unpack the archive into `folder`, with the paths, the interpreter and the pool of this machine in its texts."""
    values = {
        b"@SITE@": os.fsencode(folder),
        b"@PYTHON@": os.fsencode(python),
        b"@CONDOR_CONFIG@": os.fsencode(condor_config),
    }
    with tarfile.open(ARCHIVE) as archive:
        # Python has filters from 3.11.4 on; before that the attribute does nothing.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)  # noqa: S202 - an archive of this repository
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".sqlite":
            content = path.read_bytes()
            if (replaced := _replace(content, values)) != content:
                facts = path.stat()
                path.write_bytes(replaced)
                os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    old = OldSite(folder)
    _adapt_journal(old, values)
    return old


def _replace(content: bytes, values: Mapping[bytes, bytes]) -> bytes:
    for placeholder, value in values.items():
        content = content.replace(placeholder, value)
    return content


def _adapt_journal(old: OldSite, values: Mapping[bytes, bytes]) -> None:
    """Replace what unpacking changes in the records: paths, and the inode and times of the claimed files."""
    with closing(sqlite3.connect(old.state.journal, isolation_level=None)) as database:
        for batch_id, record in database.execute("SELECT id, record FROM batches").fetchall():
            entry = json.loads(_replace(record, values))
            if entry.get("claimed"):
                places = (old.layout.batch(batch_id).input, *(old.layout.archive / batch_id).glob("*"))
                for path in filter(Path.exists, places):
                    facts = path.stat()
                    times = {"modified": facts.st_mtime_ns, "changed": facts.st_ctime_ns}
                    entry["claimed"] |= {"inode": facts.st_ino, **times}
            database.execute("UPDATE batches SET record = ? WHERE id = ?", (json.dumps(entry).encode(), batch_id))


class OldPool(PoolInProcess):
    """A pool whose queue holds the jobs of the old release; these run as processes, with the commands they came with.

    Jobs that this release submits run in this process.
    """

    def __init__(self, old: OldSite) -> None:
        """Hold the jobs that are in the site's queue."""
        super().__init__()
        self._loading = True
        self._old_commands: list[Command] = []
        for cluster in old.queue:
            self._clusters = cluster["cluster"] - 1
            self._queue(read_description(cluster["description"]), cluster["items"])
        for job in self.all_jobs():
            (idle,) = (one["idle"] for one in old.queue if one["cluster"] == job.id.cluster)
            if job.id.proc not in idle:
                del self._jobs[job.id]
        self._old_commands = [self._commands[job.id] for job in self.all_jobs()]
        self._clusters = NEXT_CLUSTER
        self._loading = False

    @property
    def old_jobs(self) -> tuple[Job, ...]:
        """The jobs of the old release, as they are now."""
        return tuple(job for job in self.all_jobs() if job.id.cluster < NEXT_CLUSTER)

    def _score(self, command: Command) -> int:
        return run_for_real(command) if command in self._old_commands else super()._score(command)

    def _tell(self, *event: Any, **more: Any) -> None:
        if not self._loading:  # the event logs have these already
            super()._tell(*event, **more)
