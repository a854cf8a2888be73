"""The DAG as values: every node waits for what it reads, and its arguments say everything."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.contract import Contract
from scoring.errors import LoansError
from training.history.shards import plan_shards
from training.records.request import FORMAT, PromoteMode, RunRequest, read_request
from training.run.nodes import category_limits, plan_nodes
from training.run.run_plan import refuse_unusable, request_problems


def _names(*rest: str) -> set[str]:
    return {"preprocess-1", "preprocess-2", "split", "promote", *rest}


def test_nodes_form_the_dag(history: Path, make_request: Callable[..., RunRequest]) -> None:
    """Each candidate has a fit for every set and fold, one train node that waits for them, and one that measures."""
    grids = {"tree": {"min_samples_leaf": [10.0, 50.0]}}
    nodes = plan_nodes(make_request(history, grids=grids))
    parents = {node.name: node.parents for node in nodes}
    logistic = tuple(f"fit-logistic-1-{fold}" for fold in (1, 2, 3))
    tree = tuple(f"fit-tree-{number}-{fold}" for number in (1, 2) for fold in (1, 2, 3))
    assert parents == {
        "preprocess-1": (),
        "preprocess-2": (),
        "split": ("preprocess-1", "preprocess-2"),
        **dict.fromkeys((*logistic, *tree), ("split",)),
        "train-logistic": logistic,
        "train-tree": tree,
        "evaluate-logistic": ("train-logistic",),
        "evaluate-tree": ("train-tree",),
        "promote": ("evaluate-logistic", "evaluate-tree"),
    }
    seen: set[str] = set()
    for node in nodes:
        assert seen.issuperset(node.parents)
        seen.add(node.name)
        assert re.fullmatch(r"[A-Za-z0-9_-]+", node.name)
        assert 100 < node.memory_mb < 2_000
        assert node.cpus == 1


def test_a_blend_waits_for_the_others(history: Path, make_request: Callable[..., RunRequest]) -> None:
    """A blend has no fits; its train node waits for those of all others, wherever it was named."""
    nodes = plan_nodes(make_request(history, candidates=("blend", "logistic", "tree")))
    parents = {node.name: node.parents for node in nodes}
    assert parents["train-blend"] == ("train-logistic", "train-tree")
    assert parents["evaluate-blend"] == ("train-blend",)
    assert parents["promote"] == ("evaluate-blend", "evaluate-logistic", "evaluate-tree")
    assert not any(name.startswith("fit-blend") for name in parents)


@settings(max_examples=30, deadline=None)
@given(
    folds=st.integers(2, 10),
    sets=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    blends=st.integers(0, 1),
    max_running=st.integers(0, 5),
)
def test_any_plan_holds_together(
    request_of_one: RunRequest, folds: int, sets: tuple[int, int], blends: int, max_running: int
) -> None:
    """Parents come first, and go first; each fit is there once; only fits are throttled."""
    request = msgspec.structs.replace(
        request_of_one,
        candidates=("logistic", "tree", *["blend"] * blends),
        parameter_sets={"logistic": ({"C": 1.0},) * sets[0], "tree": ({},) * sets[1], "blend": ()},
        folds=folds,
        max_running=max_running,
    )
    nodes = {node.name: node for node in plan_nodes(request)}
    assert sum(name.startswith("fit-") for name in nodes) == folds * sum(sets)
    assert set(nodes) >= _names("train-tree", "evaluate-tree", "train-logistic", "evaluate-logistic")
    order = list(nodes)
    for node in nodes.values():
        for parent in node.parents:
            assert order.index(parent) < order.index(node.name)
            assert nodes[parent].priority > node.priority
    assert category_limits(request) == ((("fit", max_running),) if max_running else ())


@pytest.fixture(scope="module")
def request_of_one(history: Path, contract: Contract) -> RunRequest:
    """Give a request that is never written."""
    shards = plan_shards([history], contract, 2)
    return RunRequest(FORMAT, "run", "/run", "/models", contract, (str(history),), shards, ("tree",))


def test_long_fits_go_first(
    history: Path, make_request: Callable[..., RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where slots are few, the fits with the longest way behind them begin before the quick ones."""
    monkeypatch.setattr("training.run.nodes.FIT_COST", {"tree": 5.0})
    priorities = {node.name: node.priority for node in plan_nodes(make_request(history))}
    assert priorities["fit-tree-1-1"] > priorities["train-tree"] > priorities["fit-logistic-1-1"]


def test_arguments_hold_no_name_of_the_history(
    tmp_path: Path, history: Path, make_request: Callable[..., RunRequest]
) -> None:
    """A hostile name of a history file reaches no argument: the request carries it as data."""
    hostile = tmp_path / "a $(rm -rf) 'b' \"c\"\n.csv"
    hostile.write_bytes(history.read_bytes())
    request = make_request(hostile)
    assert read_request(request.layout.request).history == (str(hostile),)
    assert not any("rm -rf" in argument for node in plan_nodes(request) for argument in node.arguments)


def test_threads_and_size_decide_what_nodes_ask_for(history: Path, make_request: Callable[..., RunRequest]) -> None:
    """CPUs are the threads asked for; memory grows with the history."""
    request = make_request(history)
    more = msgspec.structs.replace(request, threads=3)
    assert {node.cpus for node in plan_nodes(more)} == {3}
    assert all(node.arguments[-2:] == ("--threads", "3") for node in plan_nodes(more))
    shards = tuple(
        msgspec.structs.replace(shard, chunk=msgspec.structs.replace(shard.chunk, stop=shard.chunk.stop + 10**8))
        for shard in request.shards
    )
    large = plan_nodes(msgspec.structs.replace(request, shards=shards))
    for small_node, large_node in zip(plan_nodes(request), large, strict=True):
        assert replace(small_node, memory_mb=0) == replace(large_node, memory_mb=0)
        assert large_node.memory_mb > small_node.memory_mb or small_node.name == "promote"


def test_request_survives_the_disk(history: Path, make_request: Callable[..., RunRequest]) -> None:
    """What a node reads is what was asked for."""
    request = make_request(history, shards=3, promote=PromoteMode.NEVER, seed=9)
    assert read_request(request.layout.request) == request


def test_every_problem_is_named_at_once(tmp_path: Path, history: Path, make_request: Callable[..., RunRequest]) -> None:
    """A request that cannot work is refused with all its problems, before anything is written."""
    request = msgspec.structs.replace(
        make_request(history),
        run_id="../up",
        folder=str(tmp_path / "elsewhere"),
        models="models",
        candidates=("tree", "tree", "oracle"),
        folds=1,
        max_running=-1,
        held_out=1.5,
        threads=0,
        seed=-1,
    )
    with pytest.raises(LoansError) as caught:
        refuse_unusable(request)
    assert len(request_problems(request)) == 10
    for words in (
        *("'../up'", "named twice", "oracle", "1.5", "0 threads", "seed is -1", "not absolute"),
        *("no parameters to try for oracle", "1 folds", "-1 fits"),
    ):
        assert words in caught.value.what
    assert not (tmp_path / "elsewhere").exists()


def test_a_blend_of_one_is_refused(history: Path, make_request: Callable[..., RunRequest]) -> None:
    """A blend needs others to blend."""
    (problem,) = request_problems(make_request(history, candidates=("tree", "blend")))
    assert "blend needs two others" in problem


def test_shards_cover_every_file(tmp_path: Path, history: Path, contract: Contract) -> None:
    """Each file is divided without gap or overlap, and shards are numbered across files."""
    second = tmp_path / "second.csv"
    second.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:100]))
    shards = plan_shards([history, second], contract, 4)
    assert [shard.number for shard in shards] == list(range(1, len(shards) + 1))
    assert {shard.file for shard in shards} == {0, 1}
    for file, rows in ((0, 4_000), (1, 99)):
        chunks = [shard.chunk for shard in shards if shard.file == file]
        assert sum(chunk.rows for chunk in chunks) == rows
        assert all(before.stop == after.start for before, after in pairwise(chunks))
