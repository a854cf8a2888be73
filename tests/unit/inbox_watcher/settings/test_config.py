"""The site file: what is wrong with it is told in words, and the one that is written reads back."""

import codecs
import tomllib
from pathlib import Path

import pytest

from inbox_watcher.settings.site_file import Inbox, Pool, Scoring, Site, default_state, load_site, write_site
from inbox_watcher.settings.training_settings import Policy, Training
from scoring.errors import LoansError


def write(tmp_path: Path, text: str) -> Path:
    """Write a site file that has its two folders and `text`."""
    path = tmp_path / "loans.toml"
    path.write_text(f'root = "/shared"\nstate = "/state"\n{text}')
    return path


def test_the_written_file_reads_back_as_the_defaults(tmp_path: Path) -> None:
    """The file that `loans init` writes means what it says: the folders, and the defaults of everything else."""
    path, root, state = tmp_path / "loans.toml", tmp_path / "it's a [tree] é \\x", tmp_path / "state"
    write_site(path, root, state)
    assert load_site(path) == Site(root=str(root), state=str(state))


def test_the_comments_show_the_defaults(tmp_path: Path) -> None:
    """Every commented setting is one that exists, and shows its default value; none is left out."""
    path = tmp_path / "loans.toml"
    write_site(path, Path("/shared"), Path("/state"))
    shown = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and line[2:].partition(" = ")[0].isidentifier() else line
        for line in path.read_text().splitlines()
    )
    tables = tomllib.loads(shown)
    for name, kind in (
        ("pool", Pool),
        ("inbox", Inbox),
        ("scoring", Scoring),
        ("training", Training),
        ("policy", Policy),
    ):
        assert set(tables[name]) == set(kind.__struct_fields__)
    path.write_text(shown)
    assert load_site(path) == Site(root="/shared", state="/state")


def test_a_site_file_is_never_overwritten(tmp_path: Path) -> None:
    """A second `loans init` leaves the file as it is and says so."""
    path = write(tmp_path, "")
    before = path.read_bytes()
    with pytest.raises(LoansError, match="exists already") as caught:
        write_site(path, Path("/other"), Path("/other"))
    assert "--site" in caught.value.way_out
    assert path.read_bytes() == before


def test_a_site_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A folder that is not there ends in a sentence."""
    with pytest.raises(LoansError, match="cannot be written: No such file"):
        write_site(tmp_path / "nowhere" / "loans.toml", Path("/shared"), Path("/state"))


def test_a_missing_site_file_is_told_with_the_way_out(tmp_path: Path) -> None:
    """Whoever has no site file learns how to make one."""
    with pytest.raises(LoansError, match="There is no site file") as caught:
        load_site(tmp_path / "loans.toml")
    assert "loans init" in caught.value.way_out


def test_a_folder_instead_of_a_file_is_told(tmp_path: Path) -> None:
    """A site file that cannot be read is told with the reason."""
    with pytest.raises(LoansError, match="cannot be read: Is a directory"):
        load_site(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[scoring]\ncpus = 0", "scoring.cpus must be more than 0"),
        ("[scoring]\nmemory_mb = -5", "scoring.memory_mb must be more than 0"),
        ("[scoring]\nattempts = 0", "scoring.attempts must be more than 0"),
        ("[scoring]\nmax_idle_jobs = 0", "scoring.max_idle_jobs must be more than 0"),
        ("[scoring]\nchunk_bytes = -1", "scoring.chunk_bytes must not be negative"),
        ("[scoring]\nmax_reject_share = 1.5", "scoring.max_reject_share must lie between 0 and 1"),
        ("[scoring]\nmax_reject_share = nan", "scoring.max_reject_share must lie between 0 and 1"),
        ("[scoring]\ndisk_mb = 0", "scoring.disk_mb must be more than 0"),
        ("[scoring]\nmax_unpacked_bytes = -1", "scoring.max_unpacked_bytes must"),
        ("[inbox]\nrescan_seconds = 0", "inbox.rescan_seconds must be more than 0"),
        ("[inbox]\nrescan_seconds = nan", "inbox.rescan_seconds must"),
        ("[inbox]\nrescan_seconds = inf", "inbox.rescan_seconds must"),
        ("[inbox]\nsettle_seconds = -0.1", "inbox.settle_seconds must not be negative"),
        ("[inbox]\nsettle_seconds = nan", "inbox.settle_seconds must"),
        ("[pool]\nkeep_claim_idle_seconds = -1", "pool.keep_claim_idle_seconds must not be negative"),
        ('[pool]\nhome = "pool"', "pool.home .* has to be an absolute path"),
        ('[pool]\ncondor_config = "condor_config"', "pool.condor_config .* has to be an absolute path"),
        ('[pool]\ncondor_config = ""', "pool.condor_config .* has to be an absolute path"),
        ("[training]\nshards = 0", "training.shards must be more than 0"),
        ("[training]\nseed = -1", "training.seed must not be negative"),
        ("[training]\nfolds = 1", "training.folds must lie between 2 and 10"),
        ("[training]\ncandidates = []", "training.candidates names none"),
        ("[training]\nthreads = 0", "training.threads must be more than 0"),
        ("[training]\nmax_running = -1", "training.max_running must not be negative"),
        ("[training]\nmin_rows_per_second = -1.0", "training.min_rows_per_second must not be negative"),
        ("[training]\nmargin_auc = -0.1", "training.margin_auc must not be negative"),
        ("[training]\nmin_auc = 0.3", "training.min_auc must lie between 0.5 and 1"),
        ("[training]\nmax_ece = nan", "training.max_ece must lie between 0 and 1"),
        ("[training]\ncost_of_bad = 5", "must both be given, or neither"),
        ("[training.grid.tree]\nccp_alpha = 0.1", "training.grid"),
        ("[policy]\nbase_odds = 0", "policy.base_odds must be more than 0"),
        ("[policy]\npoints_to_double = -20", "policy.points_to_double must be more than 0"),
        ("[policy]\nlowest_score = 900", "policy.lowest_score must be less"),
        ("[policy]\nlowest_score = 200", "the last of policy.bands must begin at policy.lowest_score"),
        ("[policy]\nbands = []", "the last of policy.bands"),
        (
            """[policy]
            bands = [{name = "A", from_score = 400}, {name = "B", from_score = 500}, {name = "C", from_score = 300}]""",
            "from the highest points",
        ),
        ('[policy]\nbands = [{name = "A", from_score = 500}, {name = "A", from_score = 300}]', "different names"),
        ("[policy]\nrefer_share = 1.5", "policy.refer_share must lie between 0 and 1"),
        ("[policy]\nrefer_from = 0.5\ndecline_from = 0.3", "policy.refer_from must not be above"),
        ("[scoring]\ncpus = 1.5", r"scoring.cpus"),
        ("[scoring]\ncpu = 1", r"unknown field `cpu`"),
        ("[scorign]\ncpus = 1", r"unknown field `scorign`"),
        ("[scoring\ncpus = 1", r"does not read"),
        ("state = '/twice'", r"does not read"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, words: str) -> None:
    """Each setting that cannot work is refused by its name when the file is read, not when the first file arrives."""
    path = write(tmp_path, text)
    with pytest.raises(LoansError, match=words) as caught:
        load_site(path)
    assert str(path) in caught.value.what
    assert "\n" not in caught.value.what


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Nobody corrects a site file one message at a time."""
    path = tmp_path / "loans.toml"
    path.write_text('root = "shared"\nstate = "state"\n[scoring]\ncpus = 0\n[inbox]\nsettle_seconds = -1\n')
    with pytest.raises(LoansError, match=r"4 problem\(s\)") as caught:
        load_site(path)
    for name in ("root", "state", "scoring.cpus", "inbox.settle_seconds"):
        assert name in caught.value.what


@pytest.mark.parametrize("folder", ["/shared/a$(x)", '/shared/a"b', "/shared/a\\nb", "/shared/ends with blank "])
@pytest.mark.parametrize("name", ["root", "state"])
def test_a_folder_that_htcondor_cannot_be_told_is_refused(tmp_path: Path, name: str, folder: str) -> None:
    """A path that would break out of a submit description is refused when the file is read: no job could ever run."""
    folders = {"root": "/shared", "state": "/state"} | {name: folder}
    path = tmp_path / "loans.toml"
    quoted = {key: value.replace('"', '\\"') for key, value in folders.items()}
    path.write_text(f'root = "{quoted["root"]}"\nstate = "{quoted["state"]}"\n')
    with pytest.raises(LoansError, match=name):
        load_site(path)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    """A site file that an editor of another system saved reads as it looks, CRLF and all."""
    path = write(tmp_path, '[pool]\nhome = "~/pool"')
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_site(path).pool.home == "~/pool"


def test_bytes_that_are_not_text_are_told(tmp_path: Path) -> None:
    """A site file that is not UTF-8 ends in a sentence."""
    path = tmp_path / "loans.toml"
    path.write_bytes(b'root = "/sh\xe9red"\nstate = "/state"\n')
    with pytest.raises(LoansError, match="does not read"):
        load_site(path)


def test_each_tree_has_its_own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two shared trees of one user get two folders of state, in the user's own state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = default_state(Path("/nfs/a/b")), default_state(Path("/nfs/a-b"))
    assert one.is_relative_to(tmp_path)
    assert one != other


def test_jobs_run_the_named_interpreter_or_this_one() -> None:
    """The interpreter of jobs is the site's, or the one that runs now."""
    import sys

    assert Site(root="/r", state="/s").python == sys.executable
    assert Site(root="/r", state="/s", pool=Pool(python="/opt/python")).python == "/opt/python"


def test_a_grid_reads_from_the_site_file(tmp_path: Path) -> None:
    """Values to try are given by candidate and parameter, in a table or in one line."""
    table = load_site(write(tmp_path, "[training.grid.boosting]\nlearning_rate = [0.05, 1]"))
    line = load_site(write(tmp_path, "[training]\ngrid = {boosting = {learning_rate = [0.05, 1]}}"))
    assert table.training.grid == line.training.grid == {"boosting": {"learning_rate": (0.05, 1.0)}}
