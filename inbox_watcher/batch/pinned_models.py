"""The versions that batches are pinned to: each checked once against its seals before the daemon plans with it."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from inbox_watcher.batch.batch import Batch
from inbox_watcher.settings.layout import Layout
from scoring.atomic import write_bytes
from scoring.chunk.challenger import Challenger
from scoring.chunk.part import name_part
from scoring.errors import LoansError, ModelError
from scoring.models.production import find_production, name_missing
from scoring.models.registry import VERSIONS, Manifest, Pin, find_damage, now, read_manifest


class PinnedModels:
    """Reads pinned versions for one run of the daemon."""

    def __init__(self, models: Path) -> None:
        """Read from the registry `models`."""
        self._models = models
        self._sound: set[Pin] = set()
        self._one = threading.Lock()

    def read(self, pin: Pin) -> Manifest:
        """Give the manifest of a version whose every file is as it was sealed.

        Files are hashed once per version and run of the daemon; the manifest, by which they are known, each time, and
        each job hashes what it opens. Raises ModelError when something was altered, OSError as the storage does.
        """
        manifest, _ = read_manifest(self._models, pin.version, pin.manifest_sha256)
        with self._one:
            if pin not in self._sound:
                if damage := find_damage(self._models, manifest):
                    raise ModelError(
                        f"Model version {pin.version} is damaged: {'; '.join(damage)}.",
                        "Restore the version's folder from a backup, or promote another one; then drop the file again.",
                    )
                self._sound.add(pin)
        return manifest


FORMAT = 1


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why complete files wait in the inbox, for `loans status`, which looks at nothing but the daemon's own folder."""

    format: int
    """Version of this very format."""
    code: str
    """The rule, for programs; empty where there is none."""
    text: str
    """What is wrong and what to do."""
    since: str
    """Since when (UTC, ISO 8601)."""


def pin_champion(models: Path) -> Pin:
    """Return the version that new batches are scored with. Raises ModelError or StorageError when none can be used."""
    promotion = find_production(models)
    if promotion is None:
        raise ModelError(
            "no model is in production",
            "`loans retrain` makes one; `loans models promote VERSION` puts one into production.",
        )
    if not (models / VERSIONS / promotion.pin.version).is_dir():
        raise ModelError(
            name_missing(promotion.pin),
            "Restore its folder from a backup, or put another one into production: `loans models promote VERSION`.",
        )
    return promotion.pin


def write_notice(path: Path, code: str, text: str) -> None:
    """Leave a notice. A disk that refuses it costs the notice alone: the log has the same."""
    with suppress(OSError):
        write_bytes(path, msgspec.json.encode(Notice(FORMAT, code, text, now())))


def remove_notice(path: Path) -> None:
    """Take the notice back."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read_notice(path: Path) -> Notice | None:
    """Read the notice; None when there is none, or it cannot be read."""
    try:
        notice = msgspec.json.decode(path.read_bytes(), type=Notice)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return notice if notice.format == FORMAT else None


def pin_challenger(models: Path, version: str, champion: Pin) -> Challenger | None:
    """Pin the version that the site file names as the challenger; None where it names none.

    One that cannot be pinned says why, and the batch goes without it.
    """
    if not version:
        return None
    if version == champion.version:
        return Challenger(version, champion.manifest_sha256, "It is the version in production itself.")
    try:
        _, pin = read_manifest(models, version)
    except LoansError as error:
        return Challenger(version, problem=error.what)
    return Challenger(version, pin.manifest_sha256)


def leave_out_challengers(layout: Layout, batches: Iterable[Batch]) -> None:
    """Have small files whose shared job ended without a word go on without a challenger, which may have ended it.

    A job leaves word of the chunk that it died at, but not of the others on its list.
    """
    for batch in batches:
        if batch.suspect and batch.challenger is not None:
            with suppress(OSError):
                name_part(layout.batch(batch.id).parts, 0).comparing.touch()


def check_challenger(models: PinnedModels, challenger: Challenger | None) -> Challenger | None:
    """Check a pinned challenger against its seals, as the champion is; one that is damaged says so."""
    if challenger is None or challenger.problem:
        return challenger
    try:
        models.read(challenger.pin)
    except LoansError as error:
        return msgspec.structs.replace(challenger, problem=error.what)
    except OSError as error:
        return msgspec.structs.replace(challenger, problem=f"{error.strerror}: {error.filename}")
    return challenger
