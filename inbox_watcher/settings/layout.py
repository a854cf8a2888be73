"""Every name on the shared tree and in the daemon's own folder, in one place; nothing here touches the disk."""

import os
from dataclasses import dataclass
from pathlib import Path

from scoring.results.receipt import Published

SUFFIXES = (".csv", ".csv.gz")
"""What may be dropped into the inbox (compared without regard to case)."""

SIDECAR = ".done"
"""NAME.done says that NAME is complete, and may hold its sha256."""

GROUP_PREFIX = "group-"
"""How the id of a group of small files begins; a batch's begins with a digit."""

_LONGEST_KIND = ".predictions.csv"

LONGEST_NAME = 255
"""Bytes that a file name may have on the filesystems that matter."""


@dataclass(frozen=True)
class Layout:
    """The shared tree under ROOT."""

    root: Path
    """Its top folder, absolute."""

    @property
    def inbox(self) -> Path:
        """Where people drop files."""
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        """Where results are published."""
        return self.root / "outbox"

    @property
    def failed(self) -> Path:
        """Where files that could not be scored go, each with the reason."""
        return self.root / "failed"

    @property
    def archive(self) -> Path:
        """Where the inputs of finished batches go."""
        return self.root / "archive"

    @property
    def batches(self) -> Path:
        """Folder of all batches."""
        return self.root / "batches"

    @property
    def history(self) -> Path:
        """Labelled loans for training."""
        return self.root / "history"

    @property
    def models(self) -> Path:
        """The model registry."""
        return self.root / "models"

    @property
    def training(self) -> Path:
        """Folder of all training runs."""
        return self.root / "training"

    @property
    def contract(self) -> Path:
        """The data contract that training reads, unless the site file names another."""
        return self.root / "contract.toml"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder of the tree, parents first."""
        return (
            self.root,
            self.inbox,
            self.outbox,
            self.failed,
            self.archive,
            self.batches,
            self.history,
            self.models,
            self.models / "versions",
            self.training,
        )

    @property
    def owner(self) -> Path:
        """Which daemon, on which host, serves this tree."""
        return self.root / ".watch-owner.json"

    def batch(self, batch_id: str) -> "BatchLayout":
        """Name the files of one batch."""
        return BatchLayout(self.batches / batch_id)

    def group(self, group_id: str) -> "GroupLayout":
        """Name the files of one group of small files."""
        return GroupLayout(self.batches / group_id)

    def failed_places(self, output: str, name: str, batch_id: str) -> "tuple[FailedLayout, ...]":
        """Name what may be put into failed/ of one batch: as the file is called, else with a name of its own."""
        kept = (failed_name(output, name, batch_id), failed_name(output, name, batch_id, alone=True))
        return tuple(FailedLayout(self.failed, each) for each in kept)

    def archived(self, batch_id: str, name: str) -> Path:
        """Name the input of a finished batch."""
        return self.archive / batch_id / name

    def result(self, output: str, kind: str) -> Path:
        """Name a published file: kind is `predictions.csv`, `rejects.csv` or `receipt.json`."""
        return self.outbox / f"{output}.{kind}"

    def results(self, output: str) -> Published:
        """Name everything that is published of one delivery."""
        names = (self.result(output, kind) for kind in ("predictions.csv", "rejects.csv", "receipt.json"))
        return Published(*names)


@dataclass(frozen=True)
class FailedLayout:
    """What stands in failed/ of one batch."""

    folder: Path
    """failed/."""
    name: str
    """What the file is called there."""

    @property
    def input(self) -> Path:
        """The file as it was dropped."""
        return self.folder / self.name

    @property
    def error(self) -> Path:
        """Why it failed."""
        return self.folder / shorten(self.name, ".error.txt")

    @property
    def results(self) -> Published:
        """Its rejects, and results that were withdrawn from the outbox."""
        stem = output_stem(self.name)
        names = (shorten(stem, suffix) for suffix in (".predictions.csv", ".rejects.csv", ".receipt.json"))
        return Published(*(self.folder / name for name in names))

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        results = self.results
        return (self.input, self.error, results.predictions, results.rejects, results.receipt)


@dataclass(frozen=True)
class BatchLayout:
    """The folder of one batch."""

    root: Path
    """batches/BATCH_ID."""

    @property
    def input(self) -> Path:
        """The claimed file as it was dropped; its own name is kept in the journal only."""
        return self.root / "input"

    @property
    def sidecar(self) -> Path:
        """The sidecar that came with the file, if any."""
        return self.root / "input.done"

    @property
    def manifest(self) -> Path:
        """Which file the batch is, under which name it is published; for whoever asks without the journal."""
        return self.root / "manifest.json"

    @property
    def receipt(self) -> Path:
        """A second copy of the published receipt."""
        return self.root / "receipt.json"

    @property
    def challenger(self) -> Path:
        """Each row's probability by the champion and by the challenger, where there was one."""
        return self.root / "challenger.csv"

    @property
    def contents(self) -> tuple[Path, ...]:
        """What `scoring.results.content` may have made of the claimed file."""
        return (self.root / "unpacked.csv", self.root / "unwrapped.csv")

    @property
    def plan(self) -> Path:
        """What the jobs are to do."""
        return self.root / "plan.json"

    @property
    def parts(self) -> Path:
        """What the jobs left."""
        return self.root / "parts"

    @property
    def logs(self) -> Path:
        """What the jobs printed."""
        return self.root / "logs"


@dataclass(frozen=True)
class GroupLayout:
    """The folder of one group of small files that share a job; it goes when the job has ended."""

    root: Path
    """batches/GROUP_ID."""

    @property
    def chunks(self) -> Path:
        """Which chunks the job is to score."""
        return self.root / "chunks.json"

    @property
    def logs(self) -> Path:
        """What the job printed."""
        return self.root / "logs"


@dataclass(frozen=True)
class StateLayout:
    """The daemon's own folder, on a local disk."""

    root: Path
    """Its top folder, absolute."""

    @property
    def journal(self) -> Path:
        """The journal of all batches (SQLite)."""
        return self.root / "journal.sqlite"

    @property
    def notice(self) -> Path:
        """Why files wait in the inbox although they are complete; not there while none does."""
        return self.root / "notice.json"

    @property
    def lock(self) -> Path:
        """Held by the daemon while it runs."""
        return self.root / "watch.lock"

    @property
    def events(self) -> Path:
        """HTCondor's event logs, one for each batch."""
        return self.root / "events"

    def event_log(self, batch_id: str) -> Path:
        """Name the event log of one batch."""
        return self.events / f"{batch_id}.log"

    @property
    def training(self) -> Path:
        """DAGMan's event logs, one folder for each training run."""
        return self.root / "training"


def show_name(name: str) -> str:
    """Give a file's name as text that can be written anywhere; bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def output_stem(name: str) -> str:
    """Give the NAME of outbox/NAME.predictions.csv for a dropped file's name, as text that can be written anywhere."""
    name = show_name(name)
    for suffix in reversed(SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def revision(stem: str, number: int) -> str:
    """Name the results of the `number`-th delivery (1-based) under one name: NAME, NAME.rev2, NAME.rev3, ..."""
    return stem if number == 1 else f"{stem}.rev{number}"


def failed_name(output: str, name: str, batch_id: str, *, alone: bool = False) -> str:
    """Name a file in failed/: its output name and its own ending, or, where that is too long, cut and made unique.

    With `alone` it is made unique in any case.
    """
    suffix = show_name(name)[len(output_stem(name)) :]
    kept = output + suffix
    if not alone and len(kept.encode()) + len(_LONGEST_KIND) <= LONGEST_NAME:
        return kept
    ending = f"{'.' if alone else '...'}{batch_id}{suffix}"
    return shorten(output, ending + _LONGEST_KIND).removesuffix(_LONGEST_KIND)


def shorten(name: str, suffix: str) -> str:
    """Append a suffix to a name so that it still fits into LONGEST_NAME bytes (cut at a whole character)."""
    room = LONGEST_NAME - len(suffix.encode())
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= room:
        return name + suffix
    return encoded[:room].decode(errors="ignore") + suffix
