"""Which node first: the one with the longest way to the end."""

from hypothesis import given
from hypothesis import strategies as st

from training.run.nodes import rank_nodes


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    """Draw nodes that wait for earlier ones only, and what each costs."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 12)))]
    parents = {
        name: tuple(draw(st.sets(st.sampled_from(names[:at]), max_size=3))) if at else ()
        for at, name in enumerate(names)
    }
    return parents, {name: float(draw(st.integers(1, 9))) for name in names}


@given(drawn=graphs())
def test_a_priority_is_the_longest_way_to_the_end(drawn: tuple[dict[str, tuple[str, ...]], dict[str, float]]) -> None:
    """A node's priority is its own cost and that of the longest chain behind it, told by trying all chains."""
    parents, costs = drawn

    def longest(node: str) -> float:
        children = [child for child, waits in parents.items() if node in waits]
        return costs[node] + max(map(longest, children), default=0.0)

    assert rank_nodes(parents, costs) == {node: round(10 * longest(node)) for node in parents}
