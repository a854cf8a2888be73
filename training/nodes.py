"""The training DAG as values: which nodes there are, what each runs, waits for and needs. Its text is made elsewhere.

preprocess-1 ... preprocess-S → split → train-C (each candidate) → evaluate-C → promote
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

from training.request import RunRequest
from training.run_folder import PROMOTE, SPLIT, evaluate_node, preprocess_node, train_node

BYTES_PER_MB: Final = 1_000_000

MEMORY_STEP_MB: Final = 512
"""Requests are multiples of this, the size of a chunk job as well: a slot that is still claimed fits the next job."""

DISK_MB: Final = 128
"""As much scratch space as a chunk job asks for, for the same reason; results go to the shared storage."""


@dataclass(frozen=True)
class Node:
    """One job of the DAG: `python -m MODULE ARGUMENTS...`."""

    name: str
    """Letters, digits, - and _."""
    module: str
    """The program, as a module."""
    arguments: tuple[str, ...]
    """Its arguments, one by one; paths are absolute."""
    parents: tuple[str, ...]
    """Nodes that must be done before."""
    category: str
    """Kind of work, for throttling."""
    cpus: int
    """CPUs, and threads."""
    memory_mb: int
    """Memory to ask for (10^6 bytes)."""
    disk_mb: int
    """Scratch space to ask for (10^6 bytes); results go to the shared storage."""


def plan_nodes(request: RunRequest) -> tuple[Node, ...]:
    """Give the nodes of a run, parents before children."""
    history = sum(shard.chunk.stop - shard.chunk.start for shard in request.shards) / BYTES_PER_MB
    preprocess = tuple(_preprocess(request, shard.number) for shard in request.shards)
    nodes = [*preprocess, _split(request, tuple(node.name for node in preprocess), history)]
    for candidate in request.candidates:
        nodes += [_train(request, candidate, history), _evaluate(request, candidate, history)]
    nodes.append(_promote(request))
    return tuple(nodes)


def _preprocess(request: RunRequest, shard: int) -> Node:
    name, layout = preprocess_node(shard), request.layout
    size = next((one.chunk.stop - one.chunk.start for one in request.shards if one.number == shard), 0) / BYTES_PER_MB
    arguments = ("--request", layout.request, "--shard", shard, "--loans", layout.shard(shard))
    return _node(request, name, "preprocess", arguments=arguments, parents=(), memory=250 + 5 * size)


def _split(request: RunRequest, parents: tuple[str, ...], history: float) -> Node:
    layout = request.layout
    arguments = (
        *("--shards", *(layout.shard(shard.number) for shard in request.shards)),
        *("--train", layout.train, "--test", layout.test),
        *("--held-out", request.held_out, "--seed", request.seed),
    )
    return _node(request, SPLIT, "split", arguments=arguments, parents=parents, memory=150 + 5 * history)


def _train(request: RunRequest, candidate: str, history: float) -> Node:
    layout = request.layout
    arguments = (
        *("--request", layout.request, "--candidate", candidate),
        *("--loans", layout.train, "--fitted", layout.fitted(candidate)),
    )
    return _node(
        request, train_node(candidate), "train", arguments=arguments, parents=(SPLIT,), memory=400 + 20 * history
    )


def _evaluate(request: RunRequest, candidate: str, history: float) -> Node:
    layout, parent = request.layout, train_node(candidate)
    arguments = (
        *("--request", layout.request, "--trained", layout.outcome(parent)),
        *("--fitted", layout.fitted(candidate), "--loans", layout.test),
        *("--graph", layout.graph(candidate), "--golden", layout.golden(candidate)),
    )
    return _node(
        request, evaluate_node(candidate), "evaluate", arguments=arguments, parents=(parent,), memory=400 + 14 * history
    )


def _promote(request: RunRequest) -> Node:
    parents = tuple(evaluate_node(candidate) for candidate in request.candidates)
    return _node(
        request, PROMOTE, "promote", arguments=("--request", request.layout.request), parents=parents, memory=150
    )


def _node(
    request: RunRequest,
    name: str,
    module: str,
    *,
    arguments: tuple[object, ...],
    parents: tuple[str, ...],
    memory: float,
) -> Node:
    outcome = ("--node", name, "--outcome", request.layout.outcome(name), "--threads", request.threads)
    return Node(
        name=name,
        module=f"training.{module}",
        arguments=tuple(str(argument) for argument in (*arguments, *outcome)),
        parents=parents,
        category=module,
        cpus=request.threads,
        memory_mb=ceil(memory / MEMORY_STEP_MB) * MEMORY_STEP_MB,
        disk_mb=DISK_MB,
    )
