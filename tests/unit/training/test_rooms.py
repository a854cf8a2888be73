"""The rooms of training: what flows between them flows one way."""

from graphlib import TopologicalSorter
from itertools import chain

from tests.unit.test_architecture import REPOSITORY, imports, modules

TRAINING = REPOSITORY / "training"


def test_no_room_needs_one_that_needs_it() -> None:
    """Rooms stand in an order in which each imports only from those before it: a circle would make them one."""
    rooms = {path.name for path in TRAINING.iterdir() if (path / "__init__.py").exists()}
    needs: dict[str, set[str]] = {room: set() for room in rooms}
    for path in modules("training"):
        room = path.relative_to(TRAINING).parts[0]
        if room in rooms:
            named = (name.split(".") for name in imports(path))
            needs[room] |= {parts[1] for parts in named if parts[0] == "training" and len(parts) > 1} - {room}
    assert set(chain.from_iterable(needs.values())) <= rooms
    order = list(TopologicalSorter(needs).static_order())  # raises CycleError, which names the circle
    assert order.index("records") < order.index("loans") < order.index("learning") < order.index("judging")
