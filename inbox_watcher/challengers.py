"""The challenger that a site names: pinned when a batch is claimed, checked when it is planned, never in its way."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from inbox_watcher.batch import Batch
from inbox_watcher.layout import Layout
from inbox_watcher.pinned_models import PinnedModels
from scoring.challenger import Challenger
from scoring.errors import LoansError
from scoring.part import name_part
from scoring.registry import Pin, read_manifest


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
