"""Which run is gone on with, and what of it is finished."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from scoring.errors import LoansError, StorageError
from training.records.request import FORMAT, RunRequest, write_request
from training.run.nodes import plan_nodes
from training.run.retrain import find_finished, find_run, is_concluded, list_runs

MakeRequest = Callable[..., RunRequest]


def test_the_latest_run_is_found(history: Path, make_request: MakeRequest) -> None:
    """Without a name the latest run whose request was written is gone on with; another by its name."""
    request = make_request(history)
    training = request.layout.root.parent
    (training / "20990101-000000-abcdef").mkdir()
    assert list_runs(training) == [request.run_id]
    assert find_run(training, None) == find_run(training, request.run_id) == request


def test_a_run_that_is_not_there_is_told(tmp_path: Path, history: Path, make_request: MakeRequest) -> None:
    """An unknown name, a name that is a path, or no run at all end in a sentence with the way out."""
    with pytest.raises(LoansError, match="no training run to resume") as caught:
        find_run(tmp_path / "nowhere", None)
    assert "loans retrain" in caught.value.way_out
    request = make_request(history)
    for name in ("20990101-000000-abcdef", "..", ""):
        with pytest.raises(LoansError, match="There is no training run") as caught:
            find_run(request.layout.root.parent, name)
        assert request.run_id in caught.value.way_out


def test_a_run_that_was_moved_is_refused(history: Path, make_request: MakeRequest) -> None:
    """A copied run folder is not resumed: its nodes would write into the other one."""
    request = make_request(history)
    moved = request.layout.root.with_name("20260102-moved")
    request.layout.root.rename(moved)
    with pytest.raises(StorageError, match="belongs to"):
        find_run(moved.parent, moved.name)


def test_a_run_of_an_older_version_is_refused(history: Path, make_request: MakeRequest) -> None:
    """A run whose folds another version dealt is not resumed: its fits belong to other folds; a way out is given."""
    request = make_request(history)
    write_request(msgspec.structs.replace(request, format=FORMAT - 1))
    with pytest.raises(StorageError, match=f"format {FORMAT - 1}") as caught:
        find_run(request.layout.root.parent, None)
    assert "start a new training run" in caught.value.way_out
    assert FORMAT >= 3


def test_finished_nodes_are_those_whose_files_are_there(
    history: Path, make_request: MakeRequest, run_here: Callable[..., dict[str, int]]
) -> None:
    """What a node wrote and sealed is not done again; a file that is missing makes its node unfinished."""
    request = make_request(history)
    nodes = plan_nodes(request)
    assert find_finished(request.layout, nodes) == frozenset()
    run_here(request, "preprocess-1", "preprocess-2", "split")
    assert find_finished(request.layout, nodes) == {"preprocess-1", "preprocess-2", "split"}
    assert not is_concluded(request.layout)
    request.layout.train.unlink()
    assert find_finished(request.layout, nodes) == {"preprocess-1", "preprocess-2"}
