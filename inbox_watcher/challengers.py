"""The challenger that a site names: pinned when a batch is claimed, checked when it is planned, never in its way."""

from contextlib import suppress
from pathlib import Path

import msgspec

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


def leave_out_challenger(parts: Path) -> None:
    """Have the next try of a small file go without its challenger, which may be what ended the job that it shared.

    A job can tell of itself which chunk it died at, but not of the others on its list.
    """
    with suppress(OSError):
        name_part(parts, 0).comparing.touch()


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
