"""The DAG as values: every node waits for what it reads, and its arguments say everything."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from scoring.contract import Contract
from scoring.errors import LoansError
from training.nodes import plan_nodes
from training.request import PromoteMode, RunRequest, read_request, request_problems, write_request
from training.shards import plan_shards


def test_nodes_form_the_dag(history: Path, make_request: Callable[..., RunRequest]) -> None:
    """Two shards and two candidates make eight nodes on five levels, parents before children."""
    nodes = plan_nodes(make_request(history))
    parents = {node.name: node.parents for node in nodes}
    assert parents == {
        "preprocess-1": (),
        "preprocess-2": (),
        "split": ("preprocess-1", "preprocess-2"),
        "train-logistic": ("split",),
        "evaluate-logistic": ("train-logistic",),
        "train-tree": ("split",),
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
        held_out=1.5,
        threads=0,
        seed=-1,
    )
    with pytest.raises(LoansError) as caught:
        write_request(request)
    assert len(request_problems(request)) == 7
    for words in ("'../up'", "named twice", "oracle", "1.5", "0 threads", "seed is -1", "not absolute"):
        assert words in caught.value.what
    assert not (tmp_path / "elsewhere").exists()


def test_shards_cover_every_file(tmp_path: Path, history: Path, contract: Contract) -> None:
    """Each file is divided without gap or overlap, and shards are numbered across files."""
    second = tmp_path / "second.csv"
    second.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:100]))
    shards = plan_shards([history, second], contract, 4)
    assert [shard.number for shard in shards] == list(range(1, len(shards) + 1))
    assert {shard.file for shard in shards} == {0, 1}
    for file, rows in ((0, 6_000), (1, 99)):
        chunks = [shard.chunk for shard in shards if shard.file == file]
        assert sum(chunk.rows for chunk in chunks) == rows
        assert all(before.stop == after.start for before, after in pairwise(chunks))
