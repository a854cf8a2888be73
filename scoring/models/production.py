"""Which version is in production: one pointer that a rename replaces, and a log of who put what there, when and why.

    models/production         the version in production
    models/promotions.jsonl   two lines for each promotion and rollback, only ever appended

A promotion appends its intent to the log, renames the new pointer into place, and appends its entry. The pointer holds
all that its entry says. So the log explains a pointer that equals its last entry, or the intent after that: then a
crash came between rename and entry, and whoever promotes next appends the entry first. No crash leaves any other
pointer: somebody wrote it by other means, and nothing is scored with it (docs/decisions/0018).

History is a pile: a promotion lays a version on top, a rollback takes the top off. So each further rollback goes one
step further back, and a promotion starts anew from there.
"""

import getpass
import os
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import EllipsisType

import msgspec

from scoring.atomic import refresh_folder, write_bytes
from scoring.errors import ModelError, StorageError
from scoring.models.promotion_log import (
    LOG,
    LONGEST_LINE,
    Action,
    LogEntry,
    LogLines,
    append_line,
    find_breaks,
    find_earlier,
    locked_log,
    read_lines,
)
from scoring.models.registry import Pin, audit_version, find_damage, now, read_manifest

FORMAT = 1
PRODUCTION = "production"
UNEXPLAINED = "unexplained_promotion"
"""The code of UnexplainedPromotionError."""


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `models/production`."""

    format: int
    """Version of this very format."""
    pin: Pin
    """The version in production."""
    promoted: str
    """When (UTC, ISO 8601)."""
    by: str
    """Who: account and host."""
    why: str
    """For what reason, in words."""
    action: Action = Action.PROMOTE
    """How."""
    replaced: Pin | None = None
    """What was in production before; None when nothing was, or it could not be read."""

    @property
    def entry(self) -> LogEntry:
        """Its line in the log."""
        return LogEntry(self.format, self.promoted, self.by, self.action, self.why, self.replaced, self.pin)


class UnexplainedPromotionError(ModelError):
    """The pointer names a version that no logged promotion put into production."""

    def __init__(self, models: Path, pin: Pin) -> None:
        """Name the pointer and the version."""
        super().__init__(
            f"No logged promotion put version {pin.version} into production, yet {models / PRODUCTION} names it.",
            "Nothing is scored with it. Find out who wrote that file, check the version (`loans models show "
            f"{pin.version}`), then run `loans models promote VERSION` with the one that is right.",
            UNEXPLAINED,
        )


# Built here, at import: msgspec crashes when several threads are the first to decode one type.
_DECODER = msgspec.json.Decoder(Promotion)


class ProductionMovedError(ModelError):
    """Somebody else put a version into production in the meantime."""


def promote(models: Path, pin: Pin, *, by: str, why: str, expected: Pin | EllipsisType | None = ...) -> Promotion:
    """Put a version into production by one rename, and log it; give the new pointer.

    With `expected`, only if that version (None: none) is in production now, else ProductionMovedError is raised. A
    pointer that the log does not explain is replaced, and the log says so; with `expected` it is refused. Raises
    ModelError when the version is missing, altered or not acceptable, StorageError when the log cannot be written.
    """
    check_sound(models, pin)
    with locked_log(models) as log:
        try:
            current = _settle(models, log)
        except UnexplainedPromotionError as error:
            if not isinstance(expected, EllipsisType):
                raise
            why = f"{why} ({error.what})"
            current = _last(read_lines(log))
        if not isinstance(expected, EllipsisType) and current != expected:
            raise ProductionMovedError(
                f"Version {pin.version} is not promoted: {_name(current)} is in production now, not {_name(expected)}.",
                "`loans models log` shows who put it there; promote again if that is right.",
            )
        return _put(models, log, _promotion(pin, by, why, Action.PROMOTE, current))


def roll_back(models: Path, *, by: str, why: str) -> Promotion:
    """Put back what was in production before the present version, by one rename, and log it; give the new pointer.

    Raises ModelError when nothing was, when it is damaged, or when the log does not explain the present one;
    StorageError when the log cannot be written.
    """
    with locked_log(models) as log:
        current = _settle(models, log)
        earlier = find_earlier(read_lines(log).entries)
        if current is None or not earlier:
            raise ModelError(
                "There is nothing to go back to: no other version was in production before.",
                "`loans models list` shows the versions; `loans models promote VERSION` puts one into production.",
            )
        _refuse_damaged(models, earlier, current)
        return _put(models, log, _promotion(earlier[0], by, why, Action.ROLLBACK, current))


def find_production(models: Path) -> Promotion | None:
    """Return what is in production, None when nothing is.

    Raises UnexplainedPromotionError when no logged promotion put it there, ModelError when the pointer cannot be read,
    StorageError when the log cannot be read.
    """
    promotion, lines = _read_both(models)
    if promotion is not None and not _explains(lines, promotion):
        raise UnexplainedPromotionError(models, promotion.pin)
    return promotion


def read_promotion(models: Path) -> Promotion | None:
    """Tell which version is in production; None when none was ever promoted. Raises ModelError when unreadable."""
    path = models / PRODUCTION
    try:
        promotion = _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} does not tell which model is in production: {error}.",
            "`loans models promote VERSION` writes it again.",
        ) from error
    if promotion.format != FORMAT:
        raise ModelError(f"{path} has format {promotion.format}; this version reads {FORMAT}.")
    return promotion


def name_missing(pin: Pin) -> str:
    """Say that the version in production is not in the registry."""
    return f"version {pin.version}, which is in production, is not there"


def read_log(models: Path) -> LogLines:
    """Read who put what into production, when and why, oldest first, and what is wrong with the log.

    What a crash leaves (a last line that was cut, an entry that is still to be written, an intent that came to nothing)
    is noted and does no harm; a pointer that the log does not explain is damage. Raises StorageError when the log
    cannot be read.
    """
    try:
        promotion, lines = _read_both(models)
    except ModelError as error:
        lines = _read_lines(models)
        damage = (*lines.damage, error.what, *find_breaks(lines.entries))
        return replace(lines, damage=damage)
    entries, damage, notes, pending = lines.entries, lines.damage, lines.notes, lines.pending
    if promotion is not None and not _explains(lines, promotion):
        unexplained = UnexplainedPromotionError(models, promotion.pin)
        damage = (*damage, f"{unexplained.what} [{unexplained.code}]")
    elif promotion is not None and pending == promotion.entry:
        entries, pending = (*entries, pending), None
        missing = f"{LOG}: the entry for {promotion.pin.version}, in production since {promotion.promoted}, is missing"
        notes = (*notes, f"{missing}; the next promotion or rollback writes it")
    if pending is not None:
        notes = (*notes, f"{LOG}: the {pending.action} of {pending.to.version} at {pending.when} did not happen")
    return LogLines(entries, pending, (*damage, *find_breaks(entries)), notes)


def _read_lines(models: Path) -> LogLines:
    path = models / LOG
    try:
        with path.open("rb") as log:
            return read_lines(log.fileno())
    except FileNotFoundError:
        return LogLines(())
    except OSError as error:
        raise StorageError(f"The log {path} cannot be read: {error.strerror}.") from error


def _read_both(models: Path) -> tuple[Promotion | None, LogLines]:
    """Read pointer and log so that they belong together, whoever promotes meanwhile and on whichever machine.

    Where they do not agree, both are read again until the pointer stays what it was.
    """
    promotion = read_promotion(models)
    while True:
        lines = _read_lines(models)
        if promotion is None or _explains(lines, promotion):
            return promotion, lines
        with suppress(OSError):
            refresh_folder(models)  # an NFS client may remember the pointer of a minute ago
        again = read_promotion(models)
        if again == promotion:
            return promotion, lines
        promotion = again


def _explains(lines: LogLines, promotion: Promotion) -> bool:
    return promotion.entry in (*lines.entries[-1:], lines.pending)


def check_sound(models: Path, pin: Pin) -> None:
    """Check a version from its manifest to its graph. Raises ModelError when it is missing, altered or unacceptable."""
    manifest, _ = read_manifest(models, pin.version, pin.manifest_sha256)
    damage = find_damage(models, manifest)
    if damage:
        raise ModelError(
            f"Version {pin.version} is not promoted, it is damaged: {'; '.join(damage)}.",
            "Restore the version's folder from a backup, or take another version: `loans models list` shows them.",
        )
    audit_version(models, manifest)


def name_account() -> str:
    """Tell who acts: account and host, `anna@submit1`."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # a job may run under a number that no account has
        account = f"uid {os.getuid()}"
    return f"{account}@{socket.gethostname()}"


def _refuse_damaged(models: Path, earlier: list[Pin], current: Pin) -> None:
    """Raise ModelError when the version to go back to is damaged, and name the next older other one that is not."""
    try:
        check_sound(models, earlier[0])
    except ModelError as error:
        for pin in earlier[1:]:
            if pin == current:
                continue
            try:
                check_sound(models, pin)
            except ModelError:
                continue
            way_out = f"The next older sound one is {pin.version}: `loans models promote {pin.version}`."
            break
        else:
            way_out = "No older version that was in production is sound; `loans models list` shows all."
        raise ModelError(f"There is no going back to {earlier[0].version}: {error.what}", way_out) from error


def _promotion(pin: Pin, by: str, why: str, action: Action, replaced: Pin | None) -> Promotion:
    """Make the pointer, with a reason that is text and short enough for its line in the log."""
    reason = why.encode(errors="replace").decode()
    promotion = Promotion(FORMAT, pin, now(), by, reason, action, replaced)
    while (over := len(promotion.entry.announced.encode()) - LONGEST_LINE) > 0 and len(reason) > 1:
        # A character takes at most 6 bytes, so that no round takes away too much by far.
        reason = reason[: -(over // 6 + 1)]
        promotion = msgspec.structs.replace(promotion, why=reason + "…")
    return promotion


def _put(models: Path, log: int, promotion: Promotion) -> Promotion:
    """Announce, move the pointer, log: in this order, so that the log explains the pointer at any moment."""
    encoded = msgspec.json.format(msgspec.json.encode(promotion), indent=1) + b"\n"
    _append(models, log, promotion.entry.announced)
    write_bytes(models / PRODUCTION, encoded, "promote.pointer")
    try:
        append_line(log, promotion.entry)
    except OSError as error:
        raise StorageError(
            f"Version {promotion.pin.version} is in production, but {models / LOG} cannot be written: "
            f"{error.strerror}.",
            "Nothing is lost: the next promotion or rollback writes the missing line.",
        ) from error
    return promotion


def _append(models: Path, log: int, entry: LogEntry) -> None:
    """Append a line before anything else is done. Raises StorageError when the log cannot be written."""
    try:
        append_line(log, entry)
    except OSError as error:
        raise StorageError(f"{models / LOG} cannot be written: {error.strerror}. Nothing was changed.") from error


def _settle(models: Path, log: int) -> Pin | None:
    """Append the entry that a crash left out, and tell what is in production.

    A pointer that does not read is about to be replaced; what the log says last stands in for it. Raises
    UnexplainedPromotionError when the log does not explain the pointer.
    """
    lines = read_lines(log)
    try:
        promotion = read_promotion(models)
    except ModelError:
        return _last(lines)
    if promotion is None:
        return None
    if not _explains(lines, promotion):
        raise UnexplainedPromotionError(models, promotion.pin)
    if not lines.entries or lines.entries[-1] != promotion.entry:
        _append(models, log, promotion.entry)
    return promotion.pin


def _last(lines: LogLines) -> Pin | None:
    return lines.entries[-1].to if lines.entries else None


def _name(pin: Pin | None) -> str:
    return pin.version if pin else "nothing"
