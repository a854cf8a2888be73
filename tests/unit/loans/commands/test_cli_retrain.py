"""`loans retrain`: the site's wishes become an order, what goes on is told line by line, mistakes in words."""

from pathlib import Path

import pytest

from inbox_watcher.settings.site_file import load_site
from loans.commands.retrain import make_order
from loans.terminal.retrain_output import RetrainBoard
from scoring.contract import REFERENCE
from tests.unit.dag_specs.in_memory_scheduler import InMemoryScheduler
from tests.unit.loans.conftest import Loans
from training.history.generate import generate_loans
from training.records.findings import FoldFit
from training.records.outcome import run_node
from training.records.request import Gates, PromoteMode, RunRequest
from training.run.nodes import plan_nodes
from training.run.progress import NodeProgress, NodeState
from training.run.run_plan import plan_run

SETTINGS = """
root = "{folder}/root"
state = "{folder}/state"
[training]
candidates = ["tree", "logistic", "blend"]
folds = 4
seed = 7
shards = 3
threads = 2
max_running = 5
min_rows_per_second = 60000
margin_auc = 0.002
min_auc = 0.8
max_ece = 0.02
cost_of_bad = 5000
cost_of_lost_good = 400
grid = {{tree = {{min_samples_leaf = [10, 20]}}}}
[policy]
base_score = 500
bands = [{{name = "good", from_score = 510}}, {{name = "bad", from_score = 300}}]
decline_from = 0.25
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a site file with wishes of its own, and 200 labelled loans in its history."""
    path = tmp_path / "loans.toml"
    path.write_text(SETTINGS.format(folder=tmp_path))
    for name in ("history", "training", "models"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root" / "contract.toml").write_bytes(REFERENCE.read_bytes())
    with (tmp_path / "root" / "history" / "loans.csv").open("wb") as sink:
        generate_loans(200, 1, labelled=True, sink=sink)
    return path


@pytest.fixture
def request_of_site(site: Path) -> RunRequest:
    """Give what the site's wishes become."""
    return plan_run(make_order(load_site(site), None, PromoteMode.NEVER), InMemoryScheduler().slots())


def test_every_wish_of_the_site_reaches_the_run(request_of_site: RunRequest) -> None:
    """Candidates, grid, folds, throttle, gates, costs and policy of the site file are those of the run."""
    request = request_of_site
    assert request.candidates == ("tree", "logistic", "blend")
    assert [one["min_samples_leaf"] for one in request.parameter_sets["tree"]] == [10, 20]
    assert (request.folds, request.seed, request.threads, request.max_running) == (4, 7, 2, 5)
    assert len(request.shards) == 3
    assert (request.min_rows_per_second, request.gates) == (60_000, Gates(0.002, 0.8, 0.02))
    assert (request.cost_of_bad, request.cost_of_lost_good) == (5000, 400)
    assert (request.policy.base_score, request.policy.decline_from) == (500, 0.25)
    assert [(band.name, band.from_score) for band in request.policy.bands] == [("good", 510), ("bad", 300)]
    assert request.promote is PromoteMode.NEVER


def test_nodes_ask_for_at_least_what_scoring_jobs_ask_for(site: Path) -> None:
    """Every node's slot has room for a scoring job of the site, so that a waiting file can take it over."""
    site.write_text(site.read_text() + "[scoring]\ncpus = 2\nmemory_mb = 3000\ndisk_mb = 700\n")
    request = plan_run(make_order(load_site(site), None, PromoteMode.NEVER), InMemoryScheduler().slots())
    assert {(node.cpus, node.memory_mb, node.disk_mb) for node in plan_nodes(request)} == {(2, 3000, 700)}


def test_ends_are_told_line_by_line(request_of_site: RunRequest, capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal each end is a line, with what was measured; a failure that repeats itself is told once."""

    def told(state: NodeState, **more: object) -> NodeProgress:
        return NodeProgress(node="fit-tree-1-1", state=state, host="slot1@a", **more)  # type: ignore[arg-type]

    with RetrainBoard(request_of_site) as board:
        board.show(NodeProgress(node="split", state=NodeState.DONE))
        board.show(NodeProgress(node="fit-tree-1-1"))
        for attempt in (1, 2):
            board.show(told(NodeState.RUNNING, attempt=attempt))
            board.show(told(NodeState.FAILED, attempt=attempt, seconds=3.0, reason="signal 9 ended it"))
        board.show(told(NodeState.DONE, seconds=4.0))
        board.show(told(NodeState.DONE, seconds=4.0, auc=0.91234))
    assert capsys.readouterr().err.splitlines() == [
        "  fit-tree-1-1: failed (slot1@a, 3 s): signal 9 ended it",
        "  fit-tree-1-1: done (slot1@a, 4 s)",
        "  fit-tree-1-1: AUC 0.9123",
    ]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> InMemoryScheduler:
    """Give a pool in memory, whose jobs all fail, as the one that commands reach."""
    scheduler = InMemoryScheduler(lambda _: 3)
    monkeypatch.setattr("loans.terminal.sites.connect_pool", lambda _: scheduler)
    return scheduler


def test_a_wrong_grid_is_told_before_anything_runs(loans: Loans, site: Path, pool: InMemoryScheduler) -> None:
    """A parameter that a candidate does not have ends the command with its place in the site file."""
    site.write_text(site.read_text().replace("min_samples_leaf", "depth"))
    ran = loans("retrain", "--site", str(site))
    assert (ran.code, ran.out) == (1, "")
    assert "grid.tree.depth: tree has no such parameter, it has min_samples_leaf" in ran.reason
    assert not pool.all_jobs()
    assert not list((site.parent / "root" / "training").iterdir())


@pytest.mark.usefixtures("pool")
def test_nothing_to_resume_is_told(loans: Loans, site: Path) -> None:
    """Without a run, or with a name that is none, `--resume` says what there is."""
    ran = loans("retrain", "--resume", "--site", str(site))
    assert (ran.code, ran.reason) == (1, "There is no training run to resume.")
    ran = loans("retrain", "--resume", "20260102-030405-abcdef", "--site", str(site))
    assert ran.code == 1
    assert ran.reason.startswith("There is no training run 20260102-030405-abcdef")


def test_failed_run_tells_how_to_go_on(
    loans: Loans, site: Path, pool: InMemoryScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that fails ends the command with its name and the way to go on; `--resume` begins there."""
    # Each look at the queue, due at every round, runs a job in memory.
    monkeypatch.setattr("training.run.attempts._QUEUE_INTERVAL", 0.0)
    ran = loans("retrain", "--site", str(site))
    assert ran.code == 1
    (folder,) = (site.parent / "root" / "training").iterdir()
    assert "Node preprocess-1 of the training run failed" in ran.err
    assert f"`loans retrain --resume {folder.name}` goes on from here" in ran.err
    assert ran.err.count("preprocess-1: failed") == 1
    finished = {node: folder / "outcomes" / f"{node}.json" for node in ("preprocess-1", "preprocess-2")}
    for node, path in finished.items():
        _leave_outcome(node, path)
    ran = loans("retrain", "--resume", "--site", str(site))
    assert ran.err.startswith(f"Going on with training run {folder.name}: 2 of its ")
    assert "Node preprocess-3" in ran.err
    assert len([job for job in pool.all_jobs() if job.exit_code is not None]) >= 2


def _leave_outcome(node: str, path: Path) -> None:
    details = FoldFit("tree", 0, 0, {}, 1, "", 0.5, 0.1, 1.0, converged=True, predictions_sha256="")
    assert run_node(node, path, lambda: details) == 0
