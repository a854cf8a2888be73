"""The training DAG as values: which nodes there are, what each runs, waits for and needs. Its text is made elsewhere.

preprocess-1 ... preprocess-S → split → fit-C-SET-FOLD (each candidate C, parameter set and fold) → train-C →
evaluate-C → promote. A blend has no fits: train-blend waits for the train nodes of all others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from math import ceil
from types import MappingProxyType
from typing import Final

from training.learners.blend import BLEND
from training.records.request import RunRequest
from training.records.run_folder import PROMOTE, SPLIT, evaluate_node, fit_node, preprocess_node, train_node

BYTES_PER_MB: Final = 1_000_000

MEMORY_STEP_MB: Final = 512
"""Requests are multiples of this, the size of a chunk job as well: a slot that is still claimed fits the next job."""

DISK_MB: Final = 128
"""As much scratch space as a chunk job asks for, for the same reason; results go to the shared storage."""

THREAD_MB: Final = 40
"""Memory that each further thread of a fit takes (10^6 bytes)."""

GRAPH_MB: Final[Mapping[str, int]] = MappingProxyType({"boosting": 60, "network": 100, "forest": 200, "blend": 250})
"""Memory that making and proving the graph of a candidate of many trees takes besides (10^6 bytes)."""

FIT: Final = "fit"
"""Category of the fits, the one that the site may throttle."""


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
    """CPUs to ask for: the run's threads, and no fewer than a scoring job asks for."""
    memory_mb: int
    """Memory to ask for (10^6 bytes)."""
    disk_mb: int
    """Scratch space to ask for (10^6 bytes); results go to the shared storage."""
    cost: float = 1.0
    """How long it takes, compared with other nodes."""
    priority: int = 0
    """Among nodes that wait for a slot, the highest goes first."""


def plan_nodes(request: RunRequest) -> tuple[Node, ...]:
    """Give the nodes of a run, parents before children."""
    nodes = tuple(_plan(request))
    priorities = rank_nodes({node.name: node.parents for node in nodes}, {node.name: node.cost for node in nodes})
    return tuple(replace(node, priority=priorities[node.name]) for node in nodes)


def category_limits(request: RunRequest) -> tuple[tuple[str, int], ...]:
    """Give the categories of which only so many nodes run at a time."""
    return ((FIT, request.max_running),) if request.max_running else ()


def _plan(request: RunRequest) -> Iterator[Node]:
    history = sum(shard.chunk.stop - shard.chunk.start for shard in request.shards) / BYTES_PER_MB
    preprocess = tuple(_preprocess(request, shard.number) for shard in request.shards)
    yield from preprocess
    yield _split(request, tuple(node.name for node in preprocess), history)
    # The blend last, wherever it was named: it waits for the others.
    for candidate in sorted(request.candidates, key=lambda name: name == BLEND):
        if candidate != BLEND:
            yield from _fits(request, candidate, history)
        yield _train(request, candidate, history)
        yield _evaluate(request, candidate, history)
    yield _promote(request)


def _preprocess(request: RunRequest, shard: int) -> Node:
    name, layout = preprocess_node(shard), request.layout
    size = next((one.chunk.stop - one.chunk.start for one in request.shards if one.number == shard), 0) / BYTES_PER_MB
    arguments = ("--request", layout.request, "--shard", shard, "--loans", layout.shard(shard))
    return _node(request, name, "preprocess", arguments=arguments, parents=(), memory=250 + 5 * size)


def _split(request: RunRequest, parents: tuple[str, ...], history: float) -> Node:
    layout = request.layout
    arguments = (
        *("--request", layout.request),
        *("--train", layout.train, "--test", layout.test),
    )
    return _node(request, SPLIT, "split", arguments=arguments, parents=parents, memory=150 + 5 * history)


def _fits(request: RunRequest, candidate: str, history: float) -> Iterator[Node]:
    layout = request.layout
    for parameter_set in range(len(request.parameter_sets[candidate])):
        for fold in range(request.folds):
            arguments = (
                *("--request", layout.request, "--candidate", candidate),
                *("--parameter-set", parameter_set, "--fold", fold),
                *("--loans", layout.train, "--predictions", layout.predictions(candidate, parameter_set, fold)),
            )
            yield _node(
                request,
                fit_node(candidate, parameter_set, fold),
                FIT,
                arguments=arguments,
                parents=(SPLIT,),
                memory=_fit_memory(request, history),
                cost=FIT_COST.get(candidate, 1.0),
            )


def _train(request: RunRequest, candidate: str, history: float) -> Node:
    layout = request.layout
    paths = ("--request", layout.request, "--loans", layout.train, "--fitted", layout.fitted(candidate))
    if candidate == BLEND:
        parents = tuple(train_node(name) for name in request.candidates if name != BLEND)
        return _node(
            request,
            train_node(candidate),
            "train_blend",
            arguments=paths,
            parents=parents,
            memory=_fit_memory(request, history),
        )
    sets = range(len(request.parameter_sets[candidate]))
    return _node(
        request,
        train_node(candidate),
        "train",
        arguments=("--candidate", candidate, *paths),
        parents=tuple(
            fit_node(candidate, parameter_set, fold) for parameter_set in sets for fold in range(request.folds)
        ),
        memory=_fit_memory(request, history),
        cost=1.5 * FIT_COST.get(candidate, 1.0),
    )


def _fit_memory(request: RunRequest, history: float) -> float:
    return 400 + 20 * history + THREAD_MB * (request.threads - 1)


def _evaluate(request: RunRequest, candidate: str, history: float) -> Node:
    layout, parent = request.layout, train_node(candidate)
    arguments = (
        *("--request", layout.request, "--trained", layout.outcome(parent)),
        *("--fitted", layout.fitted(candidate), "--loans", layout.test),
        *("--graph", layout.graph(candidate), "--golden", layout.golden(candidate)),
    )
    return _node(
        request,
        evaluate_node(candidate),
        "evaluate",
        arguments=arguments,
        parents=(parent,),
        memory=400 + 14 * history + GRAPH_MB.get(candidate, 0),
        cost=EVALUATION_COST.get(candidate, 5.0),
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
    cost: float = 1.0,
) -> Node:
    outcome = ("--node", name, "--outcome", request.layout.outcome(name), "--threads", request.threads)
    least = request.scoring_job
    return Node(
        name=name,
        module=f"training.nodes.{module}",
        arguments=tuple(str(argument) for argument in (*arguments, *outcome)),
        parents=parents,
        category=module,
        cpus=max(request.threads, least.cpus),
        memory_mb=max(ceil(memory / MEMORY_STEP_MB) * MEMORY_STEP_MB, least.memory_mb),
        disk_mb=max(DISK_MB, least.disk_mb),
        cost=cost,
    )


FIT_COST: Final[Mapping[str, float]] = MappingProxyType({"forest": 7.0, "network": 6.0, "boosting": 4.0})
"""What fitting a candidate costs, compared with the quick ones (1): measured on 47,000 loans, in seconds."""

EVALUATION_COST: Final[Mapping[str, float]] = MappingProxyType({"forest": 10.0, "boosting": 9.0, "blend": 13.0})
"""What exporting, proving and measuring a candidate costs in the same unit; the others 5."""


def rank_nodes(parents: Mapping[str, Sequence[str]], costs: Mapping[str, float]) -> dict[str, int]:
    """Give each node its priority: the cost of the longest chain from it to the end, itself included, rounded.

    `costs` are those of the nodes, in any unit; a higher priority goes first.
    """
    ahead = dict.fromkeys(parents, 0.0)
    # Children before parents.
    for node in reversed(tuple(TopologicalSorter(parents).static_order())):
        total = ahead[node] + costs[node]
        ahead[node] = total
        for parent in parents[node]:
            ahead[parent] = max(ahead[parent], total)
    return {node: round(10 * total) for node, total in ahead.items()}
