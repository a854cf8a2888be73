"""Trouble of the shared storage while files are scored: nothing is lost, nothing appears by halves, work goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import REPOSITORY, Bench, deliveries, made_bench, made_runner
from tests.faults.storage import Storage, build_shim

LOANS = Path(sys.executable).with_name("loans")
STALL_SECONDS = float(os.environ.get("LOANS_STALL_SECONDS", "20"))
"""How long the storage hangs or fails: fewer than the ten minutes of an outage, unless these are asked for."""

PATIENCE = STALL_SECONDS / 100
"""How long a job waits trouble out (seconds): so short that all attempts of every job would end in that time."""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the shim once."""
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def storage(tmp_path: Path, shim: Path) -> Storage:
    """Give the storage that a test's site lies on."""
    return Storage(shim, tmp_path / "site" / "shared é", tmp_path / "control")


@pytest.fixture
def stricken(tmp_path: Path, storage: Storage, old_receipt: bytes) -> Iterator[Bench]:
    """Make a site whose daemon and jobs stand on that storage."""
    (tmp_path / "runner").mkdir()
    with (
        made_runner(tmp_path / "runner", storage.environment, "--patience", str(PATIENCE)) as runner,
        made_bench(tmp_path / "site", runner, old_receipt) as made,
    ):
        yield made


def check_no_halves(bench: Bench, wanted: dict[str, bytes]) -> None:
    """Whatever people can see in outbox and failed is complete; predictions never stand without their receipt."""
    for folder in (bench.layout.outbox, bench.layout.failed):
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        for name in names:
            if not name.endswith((".receipt.json", ".error.txt")):
                assert (folder / name).read_bytes() == wanted[f"{folder.name}/{name}"]
            if name.endswith(".predictions.csv"):
                stem = name.removesuffix(".predictions.csv")
                assert {f"{stem}.receipt.json", f"{stem}.rejects.csv"} <= names


@pytest.mark.parametrize(
    ("number", "percent"),
    [
        *(pytest.param(number, 100, id=number) for number in ("ESTALE",)),
        *(
            pytest.param(number, percent, id=f"{number}-{percent}%", marks=pytest.mark.slow)
            for number in ("ESTALE", "EIO", "ENOSPC", "EDQUOT", "EACCES")
            for percent in (10, 50, 100)
            if (number, percent) != ("ESTALE", 100)
        ),
    ],
)
def test_an_error_for_some_seconds_changes_nothing(
    stricken: Bench, storage: Storage, wanted: dict[str, bytes], number: str, percent: int
) -> None:
    """Every call, or some of them, fail for four seconds in the middle of batches: told, tried again, nothing lost."""
    stricken.start(environment=storage.environment)
    stricken.drop(deliveries())
    stricken.wait(lambda: bool(stricken.batches()), "the first batch")
    with storage.trouble("errno", number, percent=percent):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert not stricken.died()
            stricken.runner.tend()
            check_no_halves(stricken, wanted)
            time.sleep(0.05)
        told = stricken.log.read_text()
    seconds = stricken.wait(stricken.finished, "the end of every batch")
    print(f"{number} for 4 s, {percent} % of the calls: all done {seconds:.1f} s later")
    if percent == 100:
        assert "tried again in" in told or "cannot be listed" in told
    stricken.finish()
    stricken.check(wanted)


@pytest.mark.parametrize(
    "ops",
    [
        "rename",
        *(pytest.param(ops, marks=pytest.mark.slow) for ops in ("close", "fsync", "write", "unlink,mkdir", "readdir")),
    ],
)
def test_one_kind_of_call_that_fails_changes_nothing(
    stricken: Bench, storage: Storage, wanted: dict[str, bytes], ops: str
) -> None:
    """The same when only renames, only closes, ... fail from the first moment."""
    stricken.drop(deliveries())
    with storage.trouble("errno", "EIO", ops=ops):
        stricken.start(environment=storage.environment)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert not stricken.died()
            stricken.runner.tend()
            check_no_halves(stricken, wanted)
            time.sleep(0.05)
    stricken.finish()
    stricken.check(wanted)


def test_a_rename_that_was_done_and_is_called_failed_is_done(
    stricken: Bench, storage: Storage, wanted: dict[str, bytes]
) -> None:
    """A server that loses its answers makes every rename look failed; each is found at its destination."""
    stricken.drop(deliveries())
    with storage.trouble("lie", "ENOENT", ops="rename"):
        stricken.start(environment=storage.environment)
        stricken.wait(stricken.finished, "the end of every batch")
    stricken.finish()
    assert "tried again" not in stricken.log.read_text()
    stricken.check(wanted)


def test_a_write_whose_close_fails_publishes_nothing(tmp_path: Path, storage: Storage) -> None:
    """An error that the server tells only at close(2) is an error of the write; what stood there before stays."""
    folder = tmp_path / "site" / "shared é"
    folder.mkdir(parents=True)
    (folder / "a").write_text("old")
    program = "import sys, pathlib, scoring.atomic as a; a.write_bytes(pathlib.Path(sys.argv[1]), b'new')"
    with storage.trouble("errno", "EDQUOT", ops="close"):
        done = subprocess.run(
            [sys.executable, "-c", program, folder / "a"],
            cwd=REPOSITORY,
            env={**os.environ, **storage.environment},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "Disk quota exceeded" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").read_text() == "old"


def write_site(bench: Bench) -> Path:
    """Write the site file that the console command reads."""
    file = bench.folder / "loans.toml"
    quoted = [json.dumps(text, ensure_ascii=False) for text in (bench.site.root, bench.site.state)]
    file.write_text(f"root = {quoted[0]}\nstate = {quoted[1]}\n")
    return file


@pytest.mark.slow
@pytest.mark.timeout(STALL_SECONDS + 300)
def test_storage_that_hangs_stops_neither_status_nor_the_work_after_it(
    stricken: Bench, storage: Storage, wanted: dict[str, bytes]
) -> None:
    """While every call hangs, `loans status` answers within 2 s; afterwards work goes on within 60 s."""
    site = write_site(stricken)
    stricken.start(environment=storage.environment)
    stricken.drop(deliveries())
    stricken.wait(lambda: bool(stricken.batches()), "the first batch")
    answers = []
    with storage.trouble("hang"):
        until = time.monotonic() + STALL_SECONDS
        while time.monotonic() < until:
            begun = time.monotonic()
            done = subprocess.run(
                [LOANS, "status", "--json", "--site", site],
                env={**os.environ, **storage.environment},
                capture_output=True,
                timeout=30,
                check=True,
            )
            answers.append(time.monotonic() - begun)
            assert json.loads(done.stdout)
            assert not stricken.died()
            check_no_halves(stricken, wanted)
            time.sleep(min(1.0, STALL_SECONDS / 20))
        before = stricken.batches()
    moved = stricken.wait(lambda: stricken.batches() != before, "any progress")
    ended = stricken.wait(stricken.finished, "the end of every batch")
    print(
        f"hung for {STALL_SECONDS:.0f} s: {len(answers)} answers of status, slowest {max(answers):.2f} s; "
        f"went on after {moved:.2f} s, all done after {moved + ended:.1f} s"
    )
    assert max(answers) < 2
    assert moved < 60
    stricken.finish()
    stricken.check(wanted)


def setbacks_of(bench: Bench) -> dict[bytes, int]:
    """Tell how many attempts of each batch that comes to have jobs the storage kept from their end."""
    return {batch.name: batch.setbacks for batch in bench.batches() if batch.name != b"refused.csv"}


@pytest.mark.timeout(STALL_SECONDS + 300)
@pytest.mark.parametrize(
    ("number", "percent", "least", "lasts"),
    [
        pytest.param("EIO", 100, 3, 0.0, id="three times"),
        pytest.param("EIO", 100, 3, STALL_SECONDS, id="long", marks=pytest.mark.slow),
        pytest.param("ESTALE", 30, 0, STALL_SECONDS, id="now and then", marks=pytest.mark.slow),
    ],
)
def test_storage_that_fails_jobs_costs_no_file_its_attempts(
    stricken: Bench, storage: Storage, wanted: dict[str, bytes], number: str, percent: int, least: int, lasts: float
) -> None:
    """Machines whose storage fails while the daemon's is well end job after job; all are submitted again, uncounted."""
    stricken.start()
    begun = time.monotonic()

    def enough() -> bool:
        assert not stricken.died()
        check_no_halves(stricken, wanted)
        met = setbacks_of(stricken)
        return time.monotonic() - begun >= lasts and len(met) == len(deliveries()) - 1 and min(met.values()) >= least

    with storage.trouble("errno", number, percent=percent):
        stricken.drop(deliveries())
        stricken.wait(enough, "trouble for every file", lasts + 60)
        met, struck = setbacks_of(stricken), time.monotonic() - begun
    seconds = stricken.wait(stricken.finished, "the end of every batch")
    print(
        f"{number} for jobs, {percent} % of calls, {struck:.0f} s: {min(met.values())} to {max(met.values())} attempts "
        f"of each file; all done {seconds:.1f} s later"
    )
    assert seconds < 60
    stricken.finish()
    stricken.check(wanted)
    assert {batch.tries for batch in stricken.batches() if batch.clusters} == {1}
    assert least == 0 or "not counted as an attempt" in stricken.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(STALL_SECONDS + 300)
def test_storage_that_fails_everybody_for_long_loses_nothing(
    stricken: Bench, storage: Storage, wanted: dict[str, bytes]
) -> None:
    """Every call of daemon and jobs fails, in the middle of batches, for longer than all attempts once lasted."""
    stricken.start(environment=storage.environment)
    stricken.drop(deliveries())
    stricken.wait(lambda: any(batch.clusters for batch in stricken.batches()), "the first jobs")
    with storage.trouble("errno", "EIO"):
        until = time.monotonic() + STALL_SECONDS
        while time.monotonic() < until:
            assert not stricken.died()
            stricken.runner.tend()
            check_no_halves(stricken, wanted)
            time.sleep(0.05)
        before = stricken.batches()
    moved = stricken.wait(lambda: stricken.batches() != before, "any progress")
    ended = stricken.wait(stricken.finished, "the end of every batch")
    print(f"EIO for {STALL_SECONDS:.0f} s: went on after {moved:.1f} s, all done after {moved + ended:.1f} s")
    assert moved < 60
    stricken.finish()
    stricken.check(wanted)


def test_a_daemon_on_storage_that_hangs_can_be_stopped(
    stricken: Bench, storage: Storage, wanted: dict[str, bytes]
) -> None:
    """SIGTERM ends the daemon within 10 s although steps and listing hang; the next start finishes the work."""
    stricken.start(environment=storage.environment)
    stricken.drop(deliveries())
    stricken.wait(lambda: bool(stricken.batches()), "the first batch")
    with storage.trouble("hang"):
        time.sleep(1)
        seconds = stricken.end(signal.SIGTERM)
        assert stricken.process is not None
        assert stricken.process.returncode == 0
    print(f"ended {seconds:.1f} s after SIGTERM while storage hung")
    assert seconds < 10
    stricken.start(environment=storage.environment)
    stricken.finish()
    stricken.check(wanted)
