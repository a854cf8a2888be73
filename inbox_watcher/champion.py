"""The version that new batches are pinned to, and what the daemon tells others while there is none to use."""

from contextlib import suppress
from pathlib import Path

import msgspec

from scoring.atomic import write_bytes
from scoring.errors import ModelError
from scoring.production import find_production, name_missing
from scoring.registry import VERSIONS, Pin, now

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
