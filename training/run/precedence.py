"""Which node first, where there are fewer slots than nodes: the one with the longest way to the end behind it.

Critical-path list scheduling (Graham 1969; Hu 1961). How long nodes take is not known beforehand; what kinds of fits
cost, compared with each other, is.
"""

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Final

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
