"""Who besides its owner may change the registry, by owners and modes: such a person can forge a version."""

import grp
import os
import pwd
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scoring.models.production import PRODUCTION
from scoring.models.promotion_log import LOG
from scoring.models.registry import VERSIONS

_SHOWN = 3
"""Paths named in a sentence, at most."""


@dataclass(frozen=True)
class Exposure:
    """What others may change."""

    damage: tuple[str, ...] = ()
    """What anybody may change: to be stopped before anything is trusted."""
    notes: tuple[str, ...] = ()
    """What a group or another account may change, which a site may have wanted."""


def find_exposure(models: Path) -> Exposure:
    """Look at the registry's folders, versions, pointer and log. Raises OSError as the storage does.

    Below a folder that only its owner may enter nothing is exposed. A group that has its owner's name and no other
    member is the owner's own.
    """
    by_anybody: list[Path] = []
    by_group: dict[int, list[Path]] = defaultdict(list)
    by_owner: dict[int, list[Path]] = defaultdict(list)
    top = models.lstat()
    for path in _walk(models):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue  # a version that is just being published changes its name
        if facts.st_uid not in (top.st_uid, 0):
            by_owner[facts.st_uid].append(path)
        if facts.st_mode & stat.S_IWOTH:
            by_anybody.append(path)
        if facts.st_mode & stat.S_IWGRP and not _is_private(facts.st_gid, facts.st_uid):
            by_group[facts.st_gid].append(path)
    notes = [
        *(f"members of group {_name_group(gid)} may change {_list(paths)}" for gid, paths in by_group.items()),
        *(f"{_list(paths)} belong to {_name_account(uid)}, the registry does not" for uid, paths in by_owner.items()),
    ]
    return Exposure((f"anybody may change {_list(by_anybody)}",) if by_anybody else (), tuple(notes))


def _walk(models: Path) -> Iterator[Path]:
    yield models
    if not models.lstat().st_mode & (stat.S_IXGRP | stat.S_IXOTH):
        return
    for name in (PRODUCTION, LOG):
        if os.path.lexists(models / name):
            yield models / name
    versions = models / VERSIONS
    for folder, _, files in os.walk(versions):
        yield Path(folder)
        yield from (Path(folder) / name for name in sorted(files))


def _is_private(gid: int, uid: int) -> bool:
    try:
        group, account = grp.getgrgid(gid), pwd.getpwuid(uid)
    except KeyError:
        return False
    return group.gr_name == account.pw_name and account.pw_gid == gid and set(group.gr_mem) <= {account.pw_name}


def _name_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _name_account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"account {uid}"


def _list(paths: list[Path]) -> str:
    shown = ", ".join(map(str, paths[:_SHOWN]))
    return shown if len(paths) <= _SHOWN else f"{shown} and {len(paths) - _SHOWN} more"
