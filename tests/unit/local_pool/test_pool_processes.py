"""Which processes belong to a pool, and that only those are ended."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from local_pool.processes import (
    ProcessId,
    ProcessStat,
    find_marked,
    identify,
    kill_marked,
    parse_stat,
    wait_until,
    with_descendants,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]


@pytest.fixture
def marker() -> Iterator[str]:
    """Make up a marker that no other process has, and end what still has it afterwards."""
    made = f"LOANS_TEST_MARKER={secrets.token_hex(8)}"
    yield made
    kill_marked(made, 5)


def start(marker: str) -> subprocess.Popen[bytes]:
    """Start a process with `marker` in its environment, in a session of its own, as jobs have."""
    name, _, value = marker.partition("=")
    return subprocess.Popen(SLEEP, env={**os.environ, name: value}, start_new_session=True)


def test_stat_of_an_oddly_named_program_is_read() -> None:
    """A program's name may hold spaces and parentheses, and still ends at the last one."""
    text = "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200"
    assert parse_stat(text) == ProcessStat(name="a) b (c", state="S", parent=17, started=987654)


def test_process_is_itself() -> None:
    """This process is alive under its own identity."""
    own = identify(os.getpid())
    assert own is not None
    assert own.is_alive()


def test_number_used_again_is_another_process(marker: str) -> None:
    """A process with the same number but another start time is not the one meant, and gets no signal."""
    with start(marker) as process:
        found = identify(process.pid)
        assert found is not None
        before = ProcessId(process.pid, found.started - 1)
        assert not before.is_alive()
        before.send(signal.SIGKILL)
        assert found.is_alive()
        found.send(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    assert identify(process.pid) is None


def test_signal_to_a_process_that_ended_is_no_error() -> None:
    """Whoever is gone needs no signal."""
    with subprocess.Popen(["/bin/true"]) as process:
        found = identify(process.pid)
    assert found is not None
    found.send(signal.SIGKILL)


def test_marked_process_is_found_and_others_are_not(marker: str) -> None:
    """Only the process whose environment holds the whole marker is found, not one with a part of it."""
    with start(marker) as meant, start(marker + "0") as other:
        assert wait_until(lambda: meant.pid in {process.pid for process in find_marked(marker)}, 5)
        assert other.pid not in {process.pid for process in find_marked(marker)}
        assert not kill_marked(marker, 5)
        assert meant.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_child_with_an_empty_environment_is_found(marker: str) -> None:
    """A child that was started without the marker is found through its parent."""
    program = "import subprocess; subprocess.run(['/bin/sleep', '300'], env={})"
    name, _, value = marker.partition("=")
    with subprocess.Popen([sys.executable, "-c", program], env={**os.environ, name: value}) as parent:
        assert wait_until(lambda: "sleep" in {stat.name for stat in find_marked(marker).values()}, 10)
        assert not kill_marked(marker, 5)
        parent.wait(10)
    assert not find_marked(marker)


def test_whoever_looks_is_not_counted(monkeypatch: pytest.MonkeyPatch, marker: str) -> None:
    """A job may stop the pool that it runs in without ending itself first."""
    name, _, value = marker.partition("=")
    program = f"import local_pool.processes as p; print(len(p.find_marked({marker!r})))"
    monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_descendants_of_descendants_belong() -> None:
    """Every generation below a root is found, and nobody beside it, even in a table that changed while it was read."""
    parents = {2: 1, 3: 2, 4: 3, 5: 1, 6: 6}
    stats = {pid: ProcessStat("x", "S", parent, 0) for pid, parent in parents.items()}
    assert with_descendants([2, 6], stats) == {2, 3, 4, 6}


def test_wait_is_bounded() -> None:
    """A condition that never comes true ends the wait, with the answer no."""
    assert not wait_until(lambda: False, 0.1)
    assert wait_until(lambda: True, 0.0)
