"""Who may do what on the shared tree, by owners and modes; tests/faults tries it as real accounts."""

import grp
import os
import stat
from pathlib import Path

import pytest

from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.permissions import find_group, make_folders
from scoring.errors import LoansError

GROUP = 64_100 if os.geteuid() == 0 else os.getgroups()[-1]
"""A group that this account may give folders to."""


def modes(layout: Layout) -> dict[str, tuple[int, int]]:
    """Give (mode, group) of each folder."""
    found = {folder.relative_to(layout.root).as_posix(): folder.stat() for folder in layout.folders}
    return {name: (stat.S_IMODE(facts.st_mode), facts.st_gid) for name, facts in found.items()}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Name a tree that is not there yet."""
    return Layout(tmp_path / "new" / "shared")


def test_without_analysts_the_tree_is_its_owners_alone(layout: Layout) -> None:
    """No folder can be entered by anybody else; the folders above it are as the umask of the caller has them."""
    make_folders(layout)
    assert {mode for mode, _ in modes(layout).values()} == {0o700}


def test_analysts_get_three_folders(layout: Layout) -> None:
    """Analysts pass the top folder, create in the inbox and read outbox and failed, which hand on their group."""
    make_folders(layout, GROUP)
    found = modes(layout)
    shared = {name: found.pop(name) for name in (".", "inbox", "outbox", "failed")}
    assert shared == {
        ".": (0o750, GROUP),
        "inbox": (0o3770, GROUP),
        "outbox": (0o2750, GROUP),
        "failed": (0o2750, GROUP),
    }
    assert {mode for mode, _ in found.values()} == {0o700}
    (layout.outbox / "x").touch()
    assert (layout.outbox / "x").stat().st_gid == GROUP


def test_a_tree_that_was_open_is_closed(layout: Layout) -> None:
    """Folders, results and the daemon's own file of an older tree get their permissions too; nothing is removed."""
    make_folders(layout)
    for folder in layout.folders:
        folder.chmod(0o2770)
    published, owner = layout.outbox / "may.predictions.csv", layout.owner
    for path in (published, owner):
        path.write_text("x")
        path.chmod(0o2660)
    make_folders(layout, GROUP)
    assert {mode for mode, _ in modes(layout).values()} == {0o750, 0o3770, 0o2750, 0o700}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (published, owner)] == [0o640, 0o600]
    assert published.stat().st_gid == GROUP


def test_a_group_is_found_by_name_and_number() -> None:
    """A group may be named, or numbered where it has no name on this machine."""
    name = grp.getgrgid(os.getgid()).gr_name
    assert find_group(name) == os.getgid()
    assert find_group(str(GROUP)) == GROUP


@pytest.mark.parametrize("name", ["no such group", "", "-1", "4294967295", "99999999999999999999"])
def test_a_group_that_does_not_exist_is_refused(name: str) -> None:
    """What is neither a group nor the number of one is refused with the way out."""
    with pytest.raises(LoansError, match="There is no group") as caught:
        find_group(name)
    assert "groupadd" in caught.value.way_out


def test_a_group_of_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that is not a member could not read what analysts drop: it is told how to become one."""
    monkeypatch.setattr(os, "geteuid", lambda: 64_000)
    monkeypatch.setattr(os, "getgroups", list)
    with pytest.raises(LoansError, match="not a member of the group 64123") as caught:
        find_group("64123")
    assert "usermod -aG 64123" in caught.value.way_out
