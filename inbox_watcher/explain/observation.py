"""Finds out what `diagnosis` explains; every look has a time limit, since pool and storage may hang."""

import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dag_specs.events import EventLog, JobEvent, LogCondition
from dag_specs.jobs import Job, Slot
from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.batch.pinned_models import pin_champion
from inbox_watcher.explain.diagnosis import Facts, Sentence, explain, explain_inbox
from inbox_watcher.inbox.arrivals import is_left_alone, is_wanted
from inbox_watcher.settings.layout import Layout, StateLayout
from inbox_watcher.settings.site_file import Site
from scoring.chunk.part import name_part
from scoring.errors import LoansError, ModelError

PATIENCE = 5.0
"""How long one look at pool or storage may take (seconds)."""

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class PoolView:
    """What the pool tells."""

    jobs: tuple[Job, ...] = ()
    """Jobs of the clusters that were asked for."""
    slots: tuple[Slot, ...] = ()
    """The pool's slots."""
    trouble: str = ""
    """Why it tells nothing."""


LookAtPool = Callable[[tuple[int, ...]], PoolView]
"""Asks the pool about clusters, within a time limit of its own; never raises."""


def explain_batch(site: Site, batch: Batch, look_at_pool: LookAtPool) -> list[Sentence]:
    """Say what is so with a batch."""
    return explain(observe(site, batch, look_at_pool))


def observe(site: Site, batch: Batch, look_at_pool: LookAtPool) -> Facts:
    """Gather what can be found out within a few seconds."""
    state = StateLayout(Path(site.state))
    chunks = batch.retried or tuple(range(batch.chunks))
    open_still = batch.state not in FINAL
    view = PoolView()
    parts: frozenset[int] | None = None
    events: tuple[JobEvent, ...] = ()
    trouble, log_is_there = "", True
    if open_still and batch.state in {State.PLANNED, State.RUNNING}:
        parts, trouble = _within(lambda: _list_parts(site, batch))
        view = look_at_pool(batch.clusters[-1:])
    if batch.state is State.RUNNING and batch.clusters:
        events, log_is_there = _read_events(state.event_log(batch.submitted_as), batch.clusters[-1])
    return Facts(
        batch=batch,
        now=time.time(),
        daemon_runs=is_locked(state.lock) if open_still else None,
        jobs=view.jobs,
        slots=view.slots,
        pool_trouble=view.trouble,
        events=events,
        chunk_of=dict(enumerate(chunks)),
        log_is_there=log_is_there,
        parts_there=parts,
        storage_trouble=trouble,
        cpus=site.scoring.cpus,
        disk_mb=site.scoring.disk_mb,
    )


def explain_file(site: Site, name: str) -> list[Sentence]:
    """Say why a file of the inbox has no batch yet."""
    layout = Layout(Path(site.root))
    objection, trouble = _within(lambda: _why_left_alone(layout.inbox, Path(name).name))
    there = None if trouble else objection is not None
    no_model, model_trouble = _within(lambda: _why_no_model(layout.models)) if there else (None, "")
    return explain_inbox(
        name,
        there=there,
        left_alone=objection or "",
        model=no_model or ("", ""),
        daemon_runs=is_locked(StateLayout(Path(site.state)).lock),
        trouble=trouble or model_trouble,
    )


def _why_left_alone(inbox: Path, name: str) -> str | None:
    """Say why the daemon leaves a file of the inbox alone, empty where it does not; None: there is no such file."""
    # An inbox that is not there is trouble with the storage, not the absence of a file.
    if name in ("", "..") or name not in os.listdir(inbox):
        return None
    facts = os.lstat(inbox / name)
    if is_left_alone(name):
        return "its name begins with a dot, or says that it is not complete yet"
    if not is_wanted(name):
        return "its name ends neither with .csv nor with .csv.gz"
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        return "it is no plain file with one name, but a link, a second name, a folder, a pipe or a device"
    return ""


def _why_no_model(models: Path) -> tuple[str, str]:
    """Say why no version can score, and what to do; empty where one can."""
    try:
        pin_champion(models)
    except LoansError as error:
        code = f" [{error.code}]" if isinstance(error, ModelError) and error.code else ""
        return f"{error.what.rstrip('.')}{code}", error.way_out
    return "", ""


def _list_parts(site: Site, batch: Batch) -> frozenset[int]:
    folder = Layout(Path(site.root)).batch(batch.id).parts
    names = set(os.listdir(folder))
    return frozenset(chunk for chunk in range(batch.chunks) if name_part(folder, chunk).outcome.name in names)


def _read_events(path: Path, cluster: int) -> tuple[tuple[JobEvent, ...], bool]:
    log = EventLog(path)
    events: list[JobEvent] = []
    while True:
        reading = log.read()
        events += [event for event in reading.events if event.cluster == cluster]
        if not reading.more:
            return tuple(events), reading.condition is LogCondition.INTACT


def _within(look: Callable[[], _Found], seconds: float = PATIENCE) -> tuple[_Found | None, str]:
    """Run a look at the storage where it can be left behind; give what it found, or why not."""
    found: list[_Found] = []
    failed: list[str] = []

    def run() -> None:
        try:
            found.append(look())
        except OSError as error:
            failed.append(f"{error.strerror or error}")

    thread = threading.Thread(target=run, daemon=True, name="look")
    thread.start()
    thread.join(seconds)
    if found:
        return found[0], ""
    return None, failed[0] if failed else f"no answer within {seconds:.0f} seconds"


def is_locked(path: Path, table: Path = Path("/proc/locks")) -> bool | None:
    """Tell whether some process holds a file's flock, without touching the lock; None: not to be told here."""
    try:
        inode = path.stat().st_ino
    except OSError:
        return False
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return None
    # proc(5): "1: FLOCK  ADVISORY  WRITE 4711 fd:00:INODE 0 EOF"; those that wait have an arrow.
    words = [line.split() for line in lines if "->" not in line]
    return any("FLOCK" in word and word[-3].rpartition(":")[2] == str(inode) for word in words if len(word) > 3)
