"""A site that the release before this one left in the middle of its work is carried to its end by this release."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dag_specs.jobs import JobState
from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.daemon import serve
from inbox_watcher.settings.layout import show_name
from local_pool.status import PoolStatus
from scoring.models.production import read_promotion
from tests.integration.old_site import NEXT_CLUSTER, OldPool, OldSite, unpack
from tests.integration.site_fixtures import LOANS, PATIENCE
from tests.unit.dag_specs.in_memory_scheduler import InMemoryScheduler
from tests.unit.inbox_watcher.conftest import loans as make_loans
from tests.unit.loans.conftest import Loans
from tests.unit.loans.conftest import loans as loans  # noqa: PLC0414 - a fixture is found by its name here
from training.records.outcome import DONE, read_outcome
from training.records.run_folder import RunFolder

FINISHED = {
    "done": (20, 0),
    "done rejects": (20, 2),
    "done rejects.rev2": (20, 0),
    "done packed": (20, 0),
    "done chunks": (80, 0),
    "done challenger": (80, 0),
}
"""What the old release published and archived: rows scored and rejected, by the name of the results."""

OPEN = {
    "claiming": (20, 0),
    "claiming moved": (20, 0),
    r"claimed cr\xe9dits": (20, 0),
    "claimed plan": (20, 0),
    "planned": (20, 0),
    "planned rejects": (60, 2),
    "planned challenger": (80, 0),
    "planned list": (20, 0),
    "planned sent list": (20, 0),
    "planned sent chunks": (80, 0),
    "running list 1": (20, 0),
    "running list 2": (20, 2),
    "running chunks": (80, 0),
    "running ended list": (20, 0),
    "running lost list": (20, 0),
    "running lost chunks": (80, 0),
    "running again": (20, 0),
    "merging": (60, 2),
    "merging half": (20, 0),
    "published": (20, 0),
    "published archived": (20, 0),
}
"""What the old release left unfinished and this one has to publish: the same, by name; the state comes first."""

SENT = {
    "planned sent list": 1,
    "planned sent chunks": 1,
    "running list 1": 1,
    "running list 2": 1,
    "running chunks": 1,
    "running ended list": 1,
    "running again": 2,
}
"""Of these, files whose jobs were submitted and are not lost: how often. None may be submitted once more."""

FAILING = {
    "failing": "missing_column",
    "failing moved": "missing_column",
    "failing rejects": "too_many_rejects",
    "failing withdrawn": "checksum_mismatch",
}
"""What the old release was about to move to failed/, with the code of the reason."""

FAILED = {"refused": "missing_column", "too many rejects": "too_many_rejects"}
"""What it had moved there."""


@dataclass
class Carried:
    """The site after the daemon of this release has carried it to its end."""

    old: OldSite
    """Its folders."""
    pool: OldPool
    """The pool, with every job of both releases."""
    before: dict[str, Batch]
    """The journal as the old release left it."""
    found: dict[str, bytes]
    """The files in outbox/, failed/ and archive/ as the old release left them."""
    after: dict[str, Batch]
    """The journal at the end."""

    def one(self, output: str) -> Batch:
        """Return the batch that published, or failed, under a name; not one that was answered with it."""
        (batch,) = (batch for batch in self.after.values() if batch.output == output and not answered(batch))
        return batch


def answered(batch: Batch) -> bool:
    """Tell whether a batch was not scored because the same file was published before."""
    return batch.state is State.DONE and not batch.chunks


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """Run the daemon on the old site until nothing is left to do, with two more files in the inbox."""
    environment, mask = dict(os.environ), os.umask(0o022)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    folder = tmp_path_factory.mktemp("upgrade")
    old = unpack(folder / "site", Path(sys.executable), folder / "condor_config")
    pool = OldPool(old)
    before = old.batches()
    found = old.files(old.layout.outbox, old.layout.failed, old.layout.archive)
    for name, content in {
        "done.csv": (old.layout.archive / _first(before, "done.csv").id / "done.csv").read_bytes(),
        "new.csv": make_loans(20, seed=1),
    }.items():
        (folder / name).write_bytes(content)
        os.rename(folder / name, old.layout.inbox / name)
    try:
        _serve_until_done(old, pool, len(before) + 2)
        yield Carried(old, pool, before, found, old.batches())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.umask(mask)
        os.environ.clear()
        os.environ.update(environment)


def _first(batches: dict[str, Batch], name: str) -> Batch:
    return next(batch for batch in batches.values() if batch.name == name.encode())


def _serve_until_done(old: OldSite, pool: OldPool, count: int) -> None:
    """Run the daemon as `loans watch` does, in this thread; another one ends it when everything is done."""
    ended, reason = threading.Event(), []

    def is_done() -> bool:
        batches = old.batches()
        return len(batches) >= count and all(batch.state in FINAL for batch in batches.values()) and not leavings(old)

    def watch() -> None:
        deadline = time.monotonic() + PATIENCE
        while not ended.wait(0.05):
            # The daemon has to find these jobs in the queue, not the parts that they leave.
            if pool.asked:
                pool.run_all()
            if is_done():
                break
            if time.monotonic() > deadline:
                states = {batch.output: (batch.state.value, batch.trouble) for batch in old.batches().values()}
                reason.append(f"the daemon did not finish: {states}, {leavings(old)}")
                break
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=watch, name="watch the daemon")
    watcher.start()
    try:
        serve(old.site, lambda: pool)
    finally:
        ended.set()
        watcher.join()
    assert not reason, reason


def leavings(old: OldSite) -> list[str]:
    """Name what should not exist once everything is done."""
    layout = old.layout
    found = [*layout.inbox.iterdir(), *old.state.events.iterdir()]
    for pattern in ("batches/*/parts", "batches/*/input", "batches/group-*", "batches/*/.*", "outbox/.*", "failed/.*"):
        found += layout.root.glob(pattern)
    return sorted(map(str, found))


def test_the_archive_has_every_state(carried: Carried) -> None:
    """The old release left a batch in each state, and of those that run both kinds of jobs."""
    assert {batch.state for batch in carried.before.values()} == set(State)
    running = [batch for batch in carried.before.values() if batch.state is State.RUNNING]
    assert {bool(batch.group) for batch in running} == {True, False}
    outputs = {batch.output for batch in carried.before.values()}
    assert outputs == {*FINISHED, *OPEN, *FAILING, *FAILED}


@pytest.mark.parametrize("output", [*FINISHED, *OPEN, "new"])
def test_every_file_is_published_once(carried: Carried, loans: Loans, output: str) -> None:
    """Each file is published with every row scored or rejected, and its receipt holds."""
    scored, rejected = (FINISHED | OPEN | {"new": (20, 0)})[output]
    batch = carried.one(output)
    assert (batch.state, batch.rows, batch.scored, batch.rejected) == (
        State.DONE,
        scored + rejected,
        scored,
        rejected,
    )
    verified = loans("verify", batch.id, "--site", carried.old.file, "--json")
    assert verified.code == 0, verified.out
    assert verified.json["holds"]
    lines = (carried.old.layout.outbox / f"{output}.predictions.csv").read_bytes().splitlines()
    assert len(lines) == scored + 1


@pytest.mark.parametrize("output", [*FAILING, *FAILED])
def test_every_file_that_failed_has_its_reason(carried: Carried, output: str) -> None:
    """What was about to fail fails for the reason that the old release had found, once."""
    batch, code = carried.one(output), (FAILING | FAILED)[output]
    assert batch.state is State.FAILED
    assert batch.reason == carried.before[batch.id].reason
    assert f"[{code}]" in batch.reason
    assert batch.reason.encode() in (carried.old.layout.failed / f"{output}.csv.error.txt").read_bytes()


def test_nothing_is_doubled(carried: Carried) -> None:
    """People find each file in one place, under the names of the old release."""
    kinds = ("predictions.csv", "rejects.csv", "receipt.json")
    outbox = {f"{output}.{kind}" for output in (*FINISHED, *OPEN, "new") for kind in kinds}
    failed = {f"{output}.csv{suffix}" for output in (*FAILING, *FAILED) for suffix in ("", ".error.txt")}
    failed |= {f"{output}.rejects.csv" for output in ("failing rejects", "too many rejects")}
    failed |= {f"failing withdrawn.{kind}" for kind in kinds}
    layout = carried.old.layout
    assert set(os.listdir(layout.outbox)) == outbox
    assert set(os.listdir(layout.failed)) == failed
    archived = [show_name(name) for folder in layout.archive.iterdir() for name in os.listdir(folder)]
    assert sorted(archived) == sorted(
        show_name(os.fsdecode(batch.name)) for batch in carried.after.values() if batch.state is State.DONE
    )
    assert leavings(carried.old) == []


def test_what_was_published_is_unchanged(carried: Carried) -> None:
    """No byte of what the old release had finished is another one now."""
    published = (*FINISHED, "published", "published archived")
    names = [name for name in carried.found if name.startswith("outbox/") and name.split("/")[1].startswith(published)]
    names += [name for name in carried.found if name.split("/")[1].startswith((*FAILED, "failing moved"))]
    names += [name for name in carried.found if name.startswith("archive/") and "withdrawn" not in name]
    assert len(names) == 3 * len(published) + 5 + 2 + len(FINISHED) + 2
    now = carried.old.files(carried.old.layout.outbox, carried.old.layout.failed, carried.old.layout.archive)
    assert [name for name in names if now[name] != carried.found[name]] == []


def test_jobs_of_the_old_release_succeed(carried: Carried) -> None:
    """Jobs that waited in the queue run with the commands that they were submitted with, and nothing is run twice."""
    jobs = carried.pool.old_jobs
    assert {(job.state, job.exit_code) for job in jobs} == {(JobState.COMPLETED, 0)}
    commands = [" ".join(command.words[1:4]) for command in carried.pool._old_commands]
    assert len(commands) == len(jobs) == 8
    forms = {command.words[4] for command in carried.pool._old_commands}
    assert forms == {"--plan", "--list"}
    for output, submissions in SENT.items():
        batch = carried.one(output)
        assert batch.attempt == len(batch.clusters) == submissions, output
        assert max(batch.clusters) < NEXT_CLUSTER, output
    for output in ("running lost list", "running lost chunks"):
        assert [cluster > NEXT_CLUSTER for cluster in carried.one(output).clusters] == [False, True], output


def test_the_same_file_is_answered_once(carried: Carried) -> None:
    """A file that the old release published, dropped again, is answered with those results."""
    old, new = [batch for batch in carried.after.values() if batch.name == b"done.csv" and answered(batch)]
    assert new.id not in carried.before
    assert (new.state, new.output, new.clusters) == (State.DONE, old.output, ())


@pytest.mark.parametrize("output", ["done", "done rejects", "done challenger"])
def test_old_results_are_reproduced(carried: Carried, loans: Loans, output: str) -> None:
    """This release predicts and rejects the same bytes as the old one."""
    replayed = loans("replay", carried.one(output).id, "--site", carried.old.file, "--json")
    assert replayed.code == 0, replayed.out
    assert replayed.json["identical"]


def test_the_registry_is_intact(carried: Carried, loans: Loans) -> None:
    """Both versions verify, the log explains which one is in production, and the one before it can be put back."""
    at = ("--site", carried.old.file, "--json")
    verified = loans("models", "verify", *at)
    assert verified.code == 0, verified.out
    listed = loans("models", "list", *at).json
    first, second = (manifest["version"] for manifest in listed["versions"])
    promotion = read_promotion(carried.old.layout.models)
    assert promotion is not None
    assert promotion.pin.version == listed["production"] == second
    assert {batch.model.version for batch in carried.after.values() if batch.model} == {second}
    assert loans("models", "rollback", "--why", "the test", *at).code == 0
    assert loans("models", "list", *at).json["production"] == first
    assert loans("status", *at).code == 0


@pytest.fixture
def old(pool: PoolStatus) -> Iterator[OldSite]:
    """Unpack the old site for the test's pool; leave nothing of it behind."""
    # Not under /tmp: DAGMan refuses logs there.
    folder = Path(tempfile.mkdtemp(prefix="loans-test-upgrade-", dir="/var/tmp"))
    try:
        yield unpack(folder, Path(sys.executable), pool.condor_config)
    finally:
        shutil.rmtree(folder)


def _runs(old: OldSite) -> tuple[RunFolder, RunFolder]:
    """Return the finished training run and the unfinished one."""
    finished, unfinished = sorted(old.layout.training.iterdir())
    return RunFolder(finished), RunFolder(unfinished)


def _started(run: RunFolder) -> dict[str, float]:
    """Tell when the nodes that are done began."""
    outcomes = [read_outcome(path, Any) for path in run.outcomes.glob("*.json")]
    return {outcome.node: outcome.started for outcome in outcomes if outcome.state == DONE}


def _retrain(old: OldSite, *words: str) -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "CONDOR_CONFIG"}
    command = [str(LOANS), "retrain", *words, "--site", str(old.file), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_unfinished_training_run_is_resumed(old: OldSite) -> None:
    """A run that lost its pool is resumed to its end; nodes that the old release finished are not run again."""
    finished, unfinished = _runs(old)
    done = _started(unfinished)
    assert 0 < len(done) < 10
    result = _retrain(old, "--resume")
    assert result["run_id"] == unfinished.root.name
    assert result["resumed"]
    assert result["promoted"]
    now = _started(unfinished)
    assert len(now) == len(result["nodes"]) == 10
    assert {node: now[node] for node in done} == done
    promotion = read_promotion(old.layout.models)
    assert promotion is not None
    assert promotion.pin.version == result["version"]

    # Of a finished run there is nothing to resume, but its result can be read.
    before = _started(finished)
    again = _retrain(old, "--resume", finished.root.name)
    assert again["version"] != result["version"]
    assert _started(finished) == before


def test_nodes_of_the_old_release_succeed(old: OldSite) -> None:
    """A DAG that stayed in the queue goes on with the commands that the old release wrote for its nodes."""
    _, unfinished = _runs(old)
    done = _started(unfinished)
    scheduler = InMemoryScheduler(lazy=True)
    settings = {"DAGMAN_DEFAULT_NODE_LOG": str(old.folder / "nodes.log")}
    cluster = scheduler.submit_dag(unfinished.dag(1), settings, old.folder / "dagman.log", unfinished.root.name)
    # Nodes of one kind more than once are not worth the time.
    left_out = done.keys() - {"preprocess-1", "split"}
    scheduler._dags[cluster].states |= dict.fromkeys(left_out, 0)
    while scheduler.is_queued(cluster):
        scheduler.advance()
    jobs = [job for job in scheduler.all_jobs() if job.id.cluster != cluster]
    assert [job.exit_code for job in jobs] == [0] * (10 - len(left_out))
    now = _started(unfinished)
    assert len(now) == 10
    assert {node: now[node] for node in done} == done
