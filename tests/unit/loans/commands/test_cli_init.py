"""`loans init`: a whole tree, a site file, and nothing of anybody's touched."""

import os
import stat
from pathlib import Path

import pytest

from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import load_site
from scoring.contract import REFERENCE, load_contract
from tests.unit.inbox_watcher.settings.test_permissions import GROUP
from tests.unit.loans.conftest import Loans


def test_a_tree_and_a_site_file_are_made(loans: Loans, tmp_path: Path) -> None:
    """Every folder of the design is there, for its owner alone, and the site file leads to it."""
    ran = loans("init", "shared é")
    assert (ran.code, ran.out) == (0, "")
    assert "loans retrain" in ran.err
    site = load_site(tmp_path / "loans.toml")
    assert site.root == str(tmp_path / "shared é")
    layout = Layout(Path(site.root))
    for folder in layout.folders:
        assert folder.is_dir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.stat(site.state).st_mode) == 0o700
    assert load_contract(layout.contract) == load_contract(REFERENCE)


def test_json_tells_where_everything_is(loans: Loans, tmp_path: Path) -> None:
    """With `--json` the answer is one document on stdout."""
    ran = loans("init", "shared", "--state", "own", "--json")
    assert ran.json == {
        "root": str(tmp_path / "shared"),
        "state": str(tmp_path / "own"),
        "site": str(tmp_path / "loans.toml"),
    }
    assert (tmp_path / "own").is_dir()


def test_a_group_of_analysts_may_drop_and_read(loans: Loans, tmp_path: Path) -> None:
    """With `--analysts` the group gets inbox, outbox, failed and the contract; history and models stay closed."""
    ran = loans("init", "shared", "--analysts", GROUP, "--json")
    assert (ran.code, ran.json["analysts"]) == (0, str(GROUP))
    layout = Layout(tmp_path / "shared")
    for path, mode in ((layout.root, 0o750), (layout.inbox, 0o3770), (layout.outbox, 0o2750), (layout.contract, 0o640)):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (mode, GROUP)
    for path in (layout.archive, layout.batches, layout.history, layout.models, layout.training):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_an_unknown_group_leaves_nothing_behind(loans: Loans, tmp_path: Path) -> None:
    """A group that does not exist is told before anything is made."""
    ran = loans("init", "shared", "--state", "own", "--analysts", "no-such-group")
    assert (ran.code, ran.out) == (1, "")
    assert "'no-such-group'" in ran.reason
    assert os.listdir(tmp_path) == []


def test_a_second_init_changes_nothing(loans: Loans, root: Path) -> None:
    """A site file that is there is left alone, and so is the tree; the reason is told."""
    (root / "contract.toml").write_text("# mine\n")
    site = Path("loans.toml").read_bytes()
    ran = loans("init", root)
    assert ran.code == 1
    assert ran.reason == "loans.toml exists already and was left alone."
    assert Path("loans.toml").read_bytes() == site
    assert (root / "contract.toml").read_text() == "# mine\n"


def test_another_site_file_may_lead_to_the_same_tree(loans: Loans, root: Path) -> None:
    """A tree that is there is kept with all that it holds when another site file is made for it."""
    (root / "contract.toml").write_text("# mine\n")
    (root / "inbox" / "loans.csv").write_text("id\n")
    assert loans("init", root, "--site", "other.toml").code == 0
    assert (root / "contract.toml").read_text() == "# mine\n"
    assert (root / "inbox" / "loans.csv").exists()


@pytest.mark.parametrize("name", ["a$(HOME)", 'a"b', "a\nb"])
def test_a_tree_that_jobs_could_not_reach_is_refused(loans: Loans, tmp_path: Path, name: str) -> None:
    """A name that HTCondor would take for something else is refused before anything is made."""
    ran = loans("init", tmp_path / name)
    assert ran.code == 1
    assert "shared tree" in ran.reason
    assert os.listdir(tmp_path) == []


def test_a_tree_that_cannot_be_made_leaves_no_site_file(loans: Loans, tmp_path: Path) -> None:
    """When the folders cannot be made the reason is told, and the same command works once the reason is gone."""
    (tmp_path / "file").write_text("")
    ran = loans("init", tmp_path / "file" / "shared")
    assert ran.code == 1
    assert "Not a directory" in ran.reason
    (tmp_path / "file").unlink()
    assert loans("init", tmp_path / "file" / "shared").code == 0
