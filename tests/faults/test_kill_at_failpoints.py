"""kill -9 before and after every durable act, once and again while recovering: the same bytes come out, once."""

import random
import time
import zlib

import pytest

from inbox_watcher.batch.batch import State
from scoring.failpoints import POINTS
from tests.faults.bench import Bench, deliveries

_REDUCED = frozenset(point for number, point in enumerate(POINTS) if number % 2 == number // 2 % 2)
"""One point of each pair: what `make test` has time for."""


def _in_job(point: str) -> bool:
    return point.startswith("part.")


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=() if point in _REDUCED else pytest.mark.slow) for point in POINTS]
)
def test_a_kill_at_a_failpoint_changes_nothing(bench: Bench, wanted: dict[str, bytes], point: str) -> None:
    """Killed there, the daemon goes on when it starts again; a job that is killed there is run again."""
    _kill(bench, wanted, point, again=False)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_second_kill_while_recovering_changes_nothing(bench: Bench, wanted: dict[str, bytes], point: str) -> None:
    """Killed there, and again at one of the next failpoints that the recovery passes."""
    _kill(bench, wanted, point, again=True)


def _kill(bench: Bench, wanted: dict[str, bytes], point: str, *, again: bool) -> None:
    bench.drop(deliveries())
    kills = bench.runner.kills
    chance = random.Random(zlib.crc32(point.encode()))
    if _in_job(point):
        bench.runner.arm([f"{point}=kill"] * (2 if again else 1))
        bench.start()
        bench.finish()
        assert bench.runner.kills - kills == (2 if again else 1)
    else:
        bench.start(f"{point}=kill")
        bench.wait(bench.died, f"a kill at {point}")
        if again:
            bench.start(f"*=kill@{chance.randint(1, 12)}")
            bench.wait(lambda: bench.died() or bench.finished(), "a second kill")
            if not bench.died():
                # So little was left to do that the second kill was not reached.
                bench.end()
        bench.start()
        bench.finish()
    bench.check(wanted)


@pytest.mark.slow
def test_two_hundred_kills_at_random_times_change_nothing(bench: Bench, wanted: dict[str, bytes]) -> None:
    """Killed 200 times at random moments of a stream of files, daemon and jobs lose, double and reorder nothing."""
    chance = random.Random(20261122)
    files = deliveries()
    streamed = {f"{wave} {name}": content for wave in range(20) for name, content in files.items() if "old" not in name}
    waiting = list(streamed)
    kills = 0
    # Chance may kill the jobs of one file more than three times, which would rightly fail it.
    bench.allow_attempts(20)
    bench.start()
    begun = time.monotonic()
    while kills < 200:
        if waiting and kills * len(streamed) >= 190 * (len(streamed) - len(waiting)):
            name = waiting.pop(0)
            bench.drop({name: streamed[name]})
        # A start takes about 0.3 s: most kills hit the work, some the start.
        time.sleep(chance.uniform(0.2, 1.0))
        bench.runner.tend()
        if chance.random() < 0.2 and not bench.runner.orders:
            bench.runner.arm([f"*=kill@{chance.randint(1, 9)}"])
        assert bench.process is not None
        bench.process.kill()
        bench.process.wait()
        kills += 1
        bench.start()
    bench.drop({name: streamed[name] for name in waiting})
    bench.runner.arm([])
    bench.wait(lambda: bench.died() or bench.finished(), "the end of every batch", 120)
    bench.finish()
    print(f"{kills} kills of the daemon, {len(streamed)} files, {time.monotonic() - begun:.0f} s")
    refused = (b"refused.csv", b"too many rejects.csv")
    failed = [batch for batch in bench.batches() if batch.state is State.FAILED and not batch.name.endswith(refused)]
    assert {batch.name: batch.reason for batch in failed} == {}
    found = bench.results()
    for wave in range(20):
        for name, content in wanted.items():
            folder, _, kept = name.partition("/")
            if "old" not in kept and not kept.endswith(("error.txt", "receipt.json")):
                assert found[f"{folder}/{wave} {kept}"] == content
    bench.check(found)
