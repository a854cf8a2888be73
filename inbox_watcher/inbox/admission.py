"""From files in the inbox to new batches: list, wait until they are complete, name, journal, pin the model."""

import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.claim import new_batch_id
from inbox_watcher.batch.journal import Journal
from inbox_watcher.batch.pinned_models import pin_challenger, pin_champion, remove_notice, write_notice
from inbox_watcher.inbox.arrivals import Arrivals, Sighting, is_as_listed, is_wanted, list_inbox
from inbox_watcher.inbox.late_evidence import LateEvidence, find_recent
from inbox_watcher.inbox.open_files import is_open_for_writing
from inbox_watcher.inbox.packed_looks import PackedLooks
from inbox_watcher.settings.layout import LONGEST_NAME, SIDECAR, Layout, StateLayout, output_stem, revision, show_name
from inbox_watcher.settings.mounts import NETWORK_FILESYSTEMS, find_filesystem, is_network_filesystem
from inbox_watcher.settings.site_file import Site
from scoring.atomic import stands
from scoring.chunk.challenger import Challenger
from scoring.csv.truncation import is_cut
from scoring.errors import FileRefusedError, ModelError, StorageError
from scoring.models.production import find_production
from scoring.models.registry import Pin, now, read_manifest
from scoring.plain_file import open_plain

if TYPE_CHECKING:
    from scoring.contract import Contract

_LOG = logging.getLogger("loans.watch")

_EMPTY_SECONDS = 5.0
"""How long an empty file on a local filesystem must stand still before it is refused (seconds)."""

_ORPHAN_SECONDS = 86_400.0
"""How long a sidecar may stand in the inbox without its file (seconds)."""


class Admission:
    """Turns files that are complete into batches. It belongs to one thread, which storage may hold up."""

    def __init__(self, site: Site, journal: Journal) -> None:
        """Serve `site`; batches are journaled in `journal` before their files are touched."""
        self._layout = Layout(Path(site.root))
        self._challenger = site.scoring.challenger
        self._journal = journal
        truncated = site.inbox.truncated_seconds
        # Other hosts keep back for half a minute what they write; there an empty file may well be a long one.
        empty = truncated if is_network_filesystem(self._layout.inbox) else min(truncated, _EMPTY_SECONDS)
        shared = find_filesystem(self._layout.inbox) in NETWORK_FILESYSTEMS
        self._arrivals = Arrivals(
            site.inbox.settle_seconds,
            truncated,
            self._looks_cut,
            empty,
            site.inbox.unseen_seconds if shared else 0.0,
            (lambda _: False) if shared else self._is_open,
        )
        self._contract: tuple[Pin, Contract] | None = None
        self._packed = PackedLooks(site.scoring.max_unpacked_bytes)
        self._told = _Told()
        self._late = LateEvidence(self._layout, journal, site.inbox.settle_seconds)
        self._late.watch_archived(find_recent(journal), time.monotonic())
        self._notice = StateLayout(Path(site.state)).notice
        remove_notice(self._notice)

    def watch_archived(self, batches: Iterable[Batch]) -> None:
        """Have the archived inputs of batches that have just ended compared with their plans again, later."""
        self._late.watch_archived(batches, time.monotonic())

    @property
    def waiting(self) -> int:
        """How many files have not settled yet."""
        return self._arrivals.waiting

    def admit(self, moved_in: Iterable[str], claiming: Iterable[bytes]) -> list[Batch]:
        """List the inbox and give a new batch, journaled, for each file that is complete.

        Finished batches that late evidence contradicts are among them, reopened as failing.

        `moved_in` names files that were just renamed into the inbox, `claiming` those of batches that are being
        claimed. Trouble is told once in the log and waited out: the files are seen again at the next listing.
        """
        moment = time.monotonic()
        batches = self._late.recheck_archived(moment)
        try:
            listed = list_inbox(str(self._layout.inbox))
        except OSError as error:
            self._told.tell("inbox", f"the inbox cannot be listed: {error.strerror}")
            return batches
        self._told.settle("inbox")
        listing = listed.deliveries
        self._told.forget_absent(
            {show_name(sighting.name) for sighting in listing}
            | {show_name(f"{name}{SIDECAR}") for name in listed.orphans}
            | {show_name(name) for name in listed.troubles}
        )
        for name, trouble in listed.troubles.items():
            self._told.tell(show_name(name), f"{show_name(name)!r} in the inbox cannot be looked at: {trouble}")
        self._packed.forget_absent({sighting.name for sighting in listing})
        claimed = {os.fsdecode(name) for name in claiming}
        batches += self._file_sidecars([name for name in listed.orphans if name not in claimed], moment)
        wanted = [sighting for sighting in listing if sighting.name not in claimed and self._is_sound(sighting)]
        ready = self._arrivals.take_ready(wanted, moment, moved_in)
        if not wanted:
            self._end_wait()
        if not ready:
            return batches
        pin = self._pin_champion(len(ready))
        if pin is None:
            return batches
        challenger = pin_challenger(self._layout.models, self._challenger, pin)
        if challenger is None or not challenger.problem:
            self._told.settle("challenger")
        else:
            self._told.tell("challenger", f"files go without the challenger {challenger.version}: {challenger.problem}")
        for sighting in ready:
            try:
                batches.append(self._open(sighting.name, pin, challenger))
                self._told.settle("journal")
            except (OSError, StorageError) as error:
                self._told.tell("journal", f"a file cannot be taken in: {error}")
                break
        return batches

    def _pin_champion(self, ready: int) -> Pin | None:
        """Tell which version the files that are ready go with; None, logged and noted, while none can be used."""
        try:
            pin = pin_champion(self._layout.models)
        except (ModelError, StorageError) as error:
            code = error.code if isinstance(error, ModelError) else ""
            message = f"{ready} file(s) wait: {error.what}" + (f" [{code}]" if code else "")
            if self._told.tell("model", message):
                write_notice(self._notice, code, f"{message}\n{error.way_out}".rstrip())
            return None
        self._end_wait()
        return pin

    def _end_wait(self) -> None:
        """Take back what was said of the model: a file goes with it, or none waits any more."""
        if self._told.settle("model"):
            remove_notice(self._notice)

    def _looks_cut(self, sighting: Sighting) -> bool | None:
        """Look at the end of a file in the inbox; None when it is not what was listed, or not read yet.

        An NFS client lists what it remembers of a file, for up to a minute; it asks the server when the file is opened.
        One that cannot be read is told, and looked at again.
        """
        path = self._layout.inbox / sighting.name
        try:
            with open_plain(path) as file:
                if not is_as_listed(os.fstat(file.fileno()), sighting):
                    return None
                if not sighting.name.lower().endswith(".gz"):
                    return self._ends_early(file, path)
            return self._packed.is_cut(path)
        except OSError as error:
            shown = show_name(sighting.name)
            self._told.tell(shown, f"{shown!r} in the inbox cannot be read: {error.strerror}; it waits until it can")
            raise

    def _ends_early(self, file: BinaryIO, path: Path) -> bool | None:
        """Tell whether more is to come, None while the storage does not answer.

        Without a model nothing can be said, and nothing is admitted.
        """
        try:
            promotion = find_production(self._layout.models)
            if promotion is None:
                return False
            if self._contract is None or self._contract[0] != promotion.pin:
                manifest, _ = read_manifest(self._layout.models, promotion.pin.version, promotion.pin.manifest_sha256)
                self._contract = promotion.pin, manifest.contract
        except ModelError:
            return False
        except StorageError:
            return None
        return is_cut(file, path, self._contract[1])

    def _is_open(self, sighting: Sighting) -> bool:
        """Tell whether a process on this host has a file of the inbox open for writing; that is logged once."""
        is_open = is_open_for_writing(self._layout.inbox / sighting.name)
        if is_open:
            shown = show_name(sighting.name)
            self._told.tell(shown, f"{shown!r} in the inbox is still open for writing; it is claimed when it is closed")
        return is_open

    def _file_sidecars(self, names: list[str], moment: float) -> list[Batch]:
        """Deal with sidecars that are alone in the inbox; give the finished batches that they contradict, reopened.

        One that belongs to no batch is told, and removed when it is a day old.
        """
        self._late.forget_absent(names)
        reopened = []
        for name in names:
            sidecar = self._layout.inbox / f"{name}{SIDECAR}"
            shown = show_name(sidecar.name)
            try:
                known, batch = self._late.take_sidecar(name, moment)
                if batch is not None:
                    reopened.append(batch)
                elif known:
                    self._told.settle(shown)
                elif time.time() - sidecar.lstat().st_ctime > _ORPHAN_SECONDS:
                    sidecar.unlink()
                    _LOG.info("%r belonged to no file for a day and was removed from the inbox", shown)
                else:
                    self._told.tell(shown, f"{shown!r} in the inbox belongs to no file; it is removed after a day")
            except (OSError, StorageError, FileRefusedError):
                continue  # it is seen again at the next listing
        return reopened

    def _is_sound(self, sighting: Sighting) -> bool:
        shown = show_name(sighting.name)
        if not sighting.regular:
            self._told.tell(shown, f"{shown!r} in the inbox is no plain file with one name; it is left alone")
            return False
        if not is_wanted(sighting.name):
            self._told.tell(shown, f"{shown!r} in the inbox is neither .csv nor .csv.gz; it is left alone")
            return False
        return True

    def _open(self, name: str, pin: Pin, challenger: Challenger | None) -> Batch:
        when = now()
        batch = Batch(
            id=self._take_id(),
            name=os.fsencode(name),
            state=State.CLAIMING,
            created=when,
            updated=when,
            output=self._choose_output(name),
            model=pin,
            challenger=challenger,
        )
        self._journal.record(batch)
        _LOG.info("%s: a file arrived", batch.id)
        return batch

    def _take_id(self) -> str:
        """Give an id that no batch has: the folder of another one, and the loans in it, would be taken for this one's.

        Nobody else makes batches, so it is free until it is journaled.
        """
        while self._journal.find(batch_id := new_batch_id()) is not None:
            continue
        return batch_id

    def _choose_output(self, name: str) -> str:
        stem = output_stem(name)
        number = 1
        while self._is_taken(revision(stem, number)):
            number += 1
        return revision(stem, number)

    def _is_taken(self, output: str) -> bool:
        """Tell whether a batch has this NAME, or a file stands under it in the outbox, whoever put it there."""
        if self._journal.has_output(output):
            return True
        results = self._layout.results(output)
        paths = (results.predictions, results.rejects, results.receipt)
        return any(len(os.fsencode(path.name)) <= LONGEST_NAME and stands(path) for path in paths)


class _Told:
    """Says a trouble once, and again only when it comes back after it was over."""

    def __init__(self) -> None:
        self._standing: dict[str, str] = {}

    def tell(self, subject: str, message: str) -> bool:
        """Say what is wrong with a subject, unless just that was said last; tell whether it was said."""
        if self._standing.get(subject) == message:
            return False
        self._standing[subject] = message
        _LOG.warning("%s", message)
        return True

    def settle(self, subject: str) -> bool:
        """Take note that nothing is wrong with a subject any more; tell whether anything was."""
        return self._standing.pop(subject, None) is not None

    def forget_absent(self, names: set[str]) -> None:
        """Forget the files of the inbox that are gone."""
        for subject in set(self._standing) - names - {"inbox", "model", "journal", "challenger"}:
            del self._standing[subject]
