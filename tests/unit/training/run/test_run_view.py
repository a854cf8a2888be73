"""What a person sees of a running DAG."""

from collections.abc import Callable
from pathlib import Path

import pytest

from training.records.request import RunRequest
from training.run.nodes import plan_nodes
from training.run.progress import MOST_SETS, NodeProgress, NodeState, sum_up, title_nodes


@pytest.fixture
def request_of_sets(history: Path, make_request: Callable[..., RunRequest]) -> RunRequest:
    """Give a run with two sets of trees."""
    return make_request(history, grids={"tree": {"min_samples_leaf": [10.0, 50.0]}})


def _standing(request: RunRequest, **states: NodeProgress) -> list[NodeProgress]:
    return [states.get(node.name.replace("-", "_"), NodeProgress(node=node.name)) for node in plan_nodes(request)]


def test_a_row_for_each_set(request_of_sets: RunRequest) -> None:
    """Folds of a set share a row, named by what tells the sets apart; so do the nodes that read the history."""
    titles = [row.title for row in sum_up(_standing(request_of_sets), title_nodes(request_of_sets), 0)]
    assert titles == [
        "preprocess",
        "split",
        "fit logistic",
        "train-logistic",
        "evaluate-logistic",
        "fit tree min_samples_leaf=10",
        "fit tree min_samples_leaf=50",
        "train-tree",
        "evaluate-tree",
        "promote",
    ]


def test_rows_tell_folds_time_and_mean(request_of_sets: RunRequest) -> None:
    """A row tells how many of its folds are done, where and how long they ran, and their mean AUC so far."""

    def fit(fold: int, **more: object) -> NodeProgress:
        return NodeProgress(node=f"fit-tree-1-{fold}", **more)  # type: ignore[arg-type]

    rows = sum_up(
        _standing(
            request_of_sets,
            fit_tree_1_1=fit(1, state=NodeState.DONE, seconds=4.0, host="slot1@a", auc=0.9),
            fit_tree_1_2=fit(2, state=NodeState.DONE, seconds=6.0, host="slot1@a", auc=0.8),
            fit_tree_1_3=fit(3, state=NodeState.RUNNING, started=95.0, host="slot2@b"),
        ),
        title_nodes(request_of_sets),
        now=100.0,
    )
    row = next(row for row in rows if row.title == "fit tree min_samples_leaf=10")
    assert (row.state, row.done, row.nodes, row.host) == (NodeState.RUNNING, 2, 3, "slot2@b")
    assert row.seconds == 15.0
    assert row.auc == pytest.approx(0.85)


@pytest.mark.parametrize("state", [NodeState.FAILED, NodeState.HELD, NodeState.REMOVED])
def test_trouble_has_a_row_of_its_own(request_of_sets: RunRequest, state: NodeState) -> None:
    """A node in trouble is named, with the reason; once, also when it is the only one of its row."""
    troubled = NodeProgress(node="fit-tree-2-3", state=state, reason="signal 9 ended it")
    alone = NodeProgress(node="split", state=state)
    rows = sum_up(_standing(request_of_sets, fit_tree_2_3=troubled, split=alone), title_nodes(request_of_sets), 0)
    assert [(row.title, row.reason) for row in rows if row.state is state] == [
        ("split", ""),
        ("fit-tree-2-3", "signal 9 ended it"),
    ]


def test_many_sets_share_a_row(history: Path, make_request: Callable[..., RunRequest]) -> None:
    """A grid that would fill the screen is one row."""
    values = [float(number) for number in range(10, 10 + MOST_SETS + 1)]
    request = make_request(history, grids={"tree": {"min_samples_leaf": values}})
    rows = sum_up(_standing(request), title_nodes(request), 0)
    (row,) = (row for row in rows if row.title.startswith("fit tree"))
    assert (row.title, row.nodes) == (f"fit tree ({MOST_SETS + 1} sets)", 3 * (MOST_SETS + 1))
