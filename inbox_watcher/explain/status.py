"""What the daemon is doing, read from its journal alone: it answers while storage or pool hang."""

from pathlib import Path

from inbox_watcher.batch.batch import Batch
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.pinned_models import read_notice
from inbox_watcher.explain.observation import is_locked
from inbox_watcher.settings.layout import StateLayout
from inbox_watcher.settings.site_file import Site
from scoring.errors import LoansError


def read_batches(site: Site, count: int) -> list[Batch]:
    """Give the open batches and the newest finished ones, `count` at most of these, newest first."""
    state = StateLayout(Path(site.state))
    if not state.journal.exists():
        return []
    journal = Journal(state.journal, read_only=True)
    try:
        found = {batch.id: batch for batch in [*journal.latest(count), *journal.open_batches()]}
    finally:
        journal.close()
    return sorted(found.values(), key=lambda batch: batch.id, reverse=True)


def read_waiting(site: Site) -> str:
    """Say why files that are complete wait in the inbox, as the daemon that runs last said; empty where none does."""
    state = StateLayout(Path(site.state))
    notice = read_notice(state.notice)
    if notice is None or is_locked(state.lock) is False:
        return ""
    return f"Since {notice.since}: {notice.text}"


def seek_batch(site: Site, wanted: str) -> Batch | None:
    """Find a batch by its id, or the newest one by the name of its file; None when there is none."""
    state = StateLayout(Path(site.state))
    if not state.journal.exists():
        return None
    journal = Journal(state.journal, read_only=True)
    try:
        return journal.find(wanted) or journal.find_by_name(wanted.encode(errors="surrogateescape"))
    finally:
        journal.close()


def find_batch(site: Site, wanted: str) -> Batch:
    """Find a batch as `seek_batch`. Raises LoansError when there is none."""
    found = seek_batch(site, wanted)
    if found is None:
        raise no_batch(wanted)
    return found


def no_batch(wanted: str) -> LoansError:
    """Make the words for a batch that is not there."""
    return LoansError(f"There is no batch {wanted!r}.", "`loans status` lists the batches.")
