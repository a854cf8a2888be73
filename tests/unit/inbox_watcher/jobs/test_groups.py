"""Small files that share a job: published once each whatever is cut off, and a bad one costs only itself."""

import errno
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dag_specs.events import create_log
from dag_specs.jobs import JobState
from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.jobs import groups
from inbox_watcher.settings.layout import GROUP_PREFIX, Layout, StateLayout
from inbox_watcher.settings.site_file import Site
from inbox_watcher.steps import Steps
from scoring.atomic import refresh_folder
from scoring.chunk import score as pipeline
from scoring.chunk.part import Outcome, read_outcome
from scoring.chunk.plan import BatchPlan, read_batch_plan
from tests.unit.inbox_watcher.batch_steps import (
    Drop,
    DyingJournal,
    KilledError,
    OpenBatch,
    check_entries,
    kill_and_go_on,
)
from tests.unit.inbox_watcher.conftest import with_scoring
from tests.unit.inbox_watcher.pool_in_process import PoolInProcess

FILES = 3


def spoil(plan: Path) -> None:
    """Alter a plan so that its chunk fails in every attempt, though nobody has written to the file."""
    planned = read_batch_plan(plan)
    (chunk,) = planned.plan.chunks
    wrong = msgspec.structs.replace(planned.plan, chunks=(msgspec.structs.replace(chunk, blake3="0" * 64),))
    plan.write_bytes(msgspec.json.encode(msgspec.structs.replace(planned, plan=wrong)))


def make_files(drop: Drop, open_batch: OpenBatch) -> None:
    """Drop some small files and open their batches."""
    for number in range(FILES):
        drop(f"{number}.csv", rows=5 + number, seed=number)
        open_batch(f"{number}.csv", f"20261122-150801-00000{number}")


def plan_files(site: Site, journal: Journal, pool: PoolInProcess) -> Steps:
    """Claim and plan all open batches, so that they can be submitted together."""
    steps = Steps(site, journal, lambda: nullcontext(pool))
    for _ in range(2):
        for batch in journal.open_batches():
            steps.take(batch)
    return steps


def go_on(site: Site, journal: Journal, pool: PoolInProcess) -> None:
    """Take all open batches to their end, small ones together, with a daemon that remembers nothing of before."""
    steps = Steps(site, journal, lambda: nullcontext(pool))
    for _ in range(60):
        still_open = journal.open_batches()
        if not still_open:
            return
        others = [batch for batch in still_open if batch.state not in (State.PLANNED, State.RUNNING)]
        for batch in others:
            steps.take(batch)
        planned = [batch for batch in still_open if batch.state is State.PLANNED]
        if planned and not others:
            steps.submit_group(planned)
        for group in sorted({batch.group for batch in still_open if batch.state is State.RUNNING}):
            members = [batch for batch in still_open if batch.group == group and batch.state is State.RUNNING]
            steps.follow_group(group, members)
    raise AssertionError(journal.open_batches())


def lines_in(layout: Layout) -> dict[str, int]:
    """Count the lines of what was published."""
    return {path.name: path.read_bytes().count(b"\n") for path in layout.outbox.glob("*.predictions.csv")}


WANTED = {f"{number}.predictions.csv": 6 + number for number in range(FILES)}


def test_files_share_one_job(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """Small files are scored by one job, each published under its own name; nothing of the group is left."""
    make_files(drop, open_batch)
    go_on(site, journal, scheduler)
    assert lines_in(layout) == WANTED
    assert len(scheduler.submitted) == 1
    assert {batch.attempt for batch in journal.latest(9)} == {1}
    assert not list(layout.batches.glob("group-*"))
    assert not list((Path(site.state) / "events").iterdir())


# Claimed, planned; published, done: four entries of each file. The group's own are its attempt, submission and end.
ENTRIES = 4 * FILES + 3


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("entry", range(2 * FILES + 1, 2 * FILES + 6))
def test_a_kill_at_any_entry_of_a_group_changes_nothing(
    site: Site,
    layout: Layout,
    journal_path: Path,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    entry: int,
    *,
    written: bool,
) -> None:
    """Killed around any entry that a group makes, every file is published once, from one job."""
    make_files(drop, open_batch)
    known = kill_and_go_on(journal_path, entry, lambda journal: go_on(site, journal, scheduler), written=written)
    assert [batch.state for batch in known] == [State.DONE] * FILES
    assert lines_in(layout) == WANTED
    assert len(scheduler.submitted) == 1
    assert scheduler.runs[0] == 1


def test_every_entry_of_a_group_is_tried(
    site: Site, journal_path: Path, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A group makes as many entries as the test above believes."""
    make_files(drop, open_batch)
    check_entries(journal_path, ENTRIES, lambda journal: go_on(site, journal, scheduler))


def test_what_a_killed_daemon_left_of_groups_is_found(
    site: Site, layout: Layout, journal_path: Path, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A group that was never submitted, or ended with its daemon, is cleared away; one that is open is not."""
    make_files(drop, open_batch)
    dying = DyingJournal(journal_path, 2 * FILES + 1, written=False)
    with pytest.raises(KilledError):
        go_on(site, dying, scheduler)
    dying.close()
    again = Journal(journal_path)
    steps = Steps(site, again, lambda: nullcontext(scheduler))
    (left,) = steps.find_leftovers(again.open_batches())
    (running, *_) = steps.submit_group(again.open_batches())
    assert steps.find_leftovers(again.open_batches()) == [left]
    steps.clear_away([left])
    assert [path.name for path in layout.batches.glob("group-*")] == [running.group]
    assert steps.find_leftovers(again.open_batches()) == []
    again.close()


def test_what_is_left_of_a_group_whose_files_go_on_is_found(
    site: Site, layout: Layout, journal_path: Path, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """Killed when a group's end was written down and nothing of it removed yet: the next daemon clears it away."""
    make_files(drop, open_batch)
    dying = DyingJournal(journal_path, 2 * FILES + 3, written=True)
    with pytest.raises(KilledError):
        go_on(site, dying, scheduler)
    dying.close()
    again = Journal(journal_path)
    assert {batch.state for batch in again.open_batches()} == {State.MERGING}
    steps = Steps(site, again, lambda: nullcontext(scheduler))
    left = steps.find_leftovers(again.open_batches())
    assert len(left) == 1
    steps.clear_away(left)
    assert not list(layout.batches.glob("group-*"))
    assert not list((Path(site.state) / "events").iterdir())
    again.close()


def test_a_folder_of_a_group_that_is_not_wholly_gone_keeps_its_event_log(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread takes a file away under the clearing: while the folder stands, the log that finds it stays too."""
    steps = Steps(site, journal, lambda: nullcontext(scheduler))
    group = f"{GROUP_PREFIX}20261122-150801-000001"
    layout.group(group).logs.mkdir(parents=True)
    create_log(StateLayout(Path(site.state)).event_log(group))

    def find_nothing(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    with monkeypatch.context() as trouble:
        trouble.setattr("inbox_watcher.jobs.groups.shutil.rmtree", find_nothing)
        assert not steps.clear_away([group])
    assert steps.find_leftovers(()) == [group]
    assert steps.clear_away()
    assert steps.find_leftovers(()) == []
    assert not list(layout.batches.glob("group-*"))


def test_a_group_takes_no_name_that_another_one_has(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The digits of a name may be drawn twice in a second: the second group draws again and leaves the first alone."""
    make_files(drop, open_batch)
    steps = plan_files(site, journal, scheduler)
    drawn = iter(["20261122-150801-aaaaaa", "20261122-150801-aaaaaa", "20261122-150801-bbbbbb"])
    monkeypatch.setattr(groups, "new_batch_id", lambda: next(drawn))
    first, second, _ = journal.open_batches()
    (one,), (other,) = steps.submit_group([first]), steps.submit_group([second])
    assert (one.group, other.group) == ("group-20261122-150801-aaaaaa", "group-20261122-150801-bbbbbb")
    assert sorted(path.name for path in layout.batches.glob("group-*")) == [one.group, other.group]


def test_trials_that_the_storage_refuses_leave_nothing(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each trial to submit is another group; what is left of one that failed goes as soon as the storage allows it."""
    make_files(drop, open_batch)
    steps = plan_files(site, journal, scheduler)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as trouble:
        trouble.setattr("inbox_watcher.jobs.groups.write_bytes", refuse)
        trouble.setattr("inbox_watcher.jobs.groups.shutil.rmtree", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                steps.submit_group(journal.open_batches())
        assert not steps.clear_away()
        assert len(list(layout.batches.glob("group-*"))) == 3
    assert steps.clear_away()
    assert not list(layout.batches.glob("group-*"))
    assert not list((Path(site.state) / "events").iterdir())
    go_on(site, journal, scheduler)
    assert lines_in(layout) == WANTED


def test_a_lost_answer_is_found_by_the_group(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """When HTCondor took the job but its answer was lost, the job is found by the group's id, not submitted again."""
    make_files(drop, open_batch)
    scheduler.lose_answers = 1
    with pytest.raises(Exception, match="The answer was lost"):
        go_on(site, journal, scheduler)
    scheduler.run_all()
    go_on(site, journal, scheduler)
    assert lines_in(layout) == WANTED
    assert len(scheduler.submitted) == 1


def test_a_bad_chunk_stops_no_other(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A file whose chunk cannot be scored fails with its own words; its company is published."""
    make_files(drop, open_batch)
    plan_files(site, journal, scheduler)
    spoil(layout.batch("20261122-150801-000002").plan)
    go_on(site, journal, scheduler)
    assert lines_in(layout) == {name: count for name, count in WANTED.items() if name != "2.predictions.csv"}
    assert "chunk 0: Chunk 0 failed on" in (layout.failed / "2.csv.error.txt").read_text()
    states = [batch.state for batch in sorted(journal.latest(9), key=lambda batch: batch.id)]
    assert states == [State.DONE, State.DONE, State.FAILED]


def test_storage_trouble_of_one_keeps_no_other(
    site: Site, layout: Layout, journal: Journal, scheduler: PoolInProcess, open_batch: OpenBatch, drop: Drop
) -> None:
    """A batch whose part cannot be read after the job is looked at again, alone; the others are published meanwhile."""
    make_files(drop, open_batch)
    steps = plan_files(site, journal, scheduler)
    members = steps.submit_group(journal.open_batches())
    outcome = layout.batch(members[1].id).parts / "000000.outcome.json"
    content = outcome.read_bytes()
    outcome.unlink()
    outcome.mkdir()
    assert {batch.id for batch in steps.follow_group(members[0].group, members)} == {
        batch.id for batch in members if batch is not members[1]
    }
    with pytest.raises(IsADirectoryError):
        steps.follow_group(members[0].group, [members[1]])
    outcome.rmdir()
    outcome.write_bytes(content)
    go_on(site, journal, scheduler)
    assert lines_in(layout) == WANTED
    assert len(scheduler.submitted) == 1
    assert not list(layout.batches.glob("group-*"))


def test_a_job_that_dies_makes_its_files_suspects(
    site: Site, layout: Layout, journal: Journal, open_batch: OpenBatch, drop: Drop
) -> None:
    """Files whose job was killed are tried again, marked, and fail at last with what HTCondor knows."""
    scheduler = PoolInProcess()
    scheduler.killed = True
    make_files(drop, open_batch)
    go_on(site, journal, scheduler)
    assert {(batch.state, batch.suspect, batch.attempt) for batch in journal.latest(9)} == {(State.FAILED, True, 3)}
    assert "signal 9" in (layout.failed / "0.csv.error.txt").read_text()


def test_a_held_job_of_a_group_is_given_up_by_its_code(
    site: Site, journal: Journal, open_batch: OpenBatch, drop: Drop, layout: Layout
) -> None:
    """What its hold code says will not pass fails an attempt of all files of the job; no file waits for ever."""
    scheduler = PoolInProcess(lazy=True)
    make_files(drop, open_batch)
    steps = Steps(with_scoring(site, attempts=1), journal, lambda: nullcontext(scheduler))
    for _ in range(2):
        for batch in journal.open_batches():
            steps.take(batch)
    members = steps.submit_group(journal.open_batches())
    (job,) = scheduler.all_jobs()
    scheduler.hold_by_system(job.id, 4, 0, "the credentials of node 7 are broken")
    ended: list[Batch] = []
    for _ in range(3):
        ended = ended or steps.follow_group(members[0].group, members)
    assert {batch.state for batch in ended} == {State.FAILING}
    assert "the credentials of node 7 are broken" in ended[0].reason
    assert [job.state for job in scheduler.all_jobs()] == [JobState.REMOVED]
    for batch in ended:
        assert steps.take(batch).state in FINAL
    assert len(os.listdir(layout.failed)) == 2 * FILES


def test_storage_that_keeps_chunks_off_counts_for_nobody(
    site: Site,
    layout: Layout,
    journal: Journal,
    open_batch: OpenBatch,
    drop: Drop,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files whose chunks the storage refuses are tried again, uncounted; of the same jobs, a bad file's tries count."""
    scheduler = PoolInProcess()
    make_files(drop, open_batch)
    steps = plan_files(site, journal, scheduler)
    spoil(layout.batch("20261122-150801-000002").plan)
    real, stale = pipeline.score_chunk, {"20261122-150801-000000", "20261122-150801-000001"}

    def score_chunk(plan: BatchPlan, chunk: int, **options: Any) -> Outcome:
        if plan.batch in stale:
            raise OSError(errno.ESTALE, "Stale file handle", plan.parts)
        return real(plan, chunk, **options)

    monkeypatch.setattr(pipeline, "score_chunk", score_chunk)
    for _ in range(5):
        members = steps.submit_group([batch for batch in journal.open_batches() if batch.state is State.PLANNED])
        steps.follow_group(members[0].group, members)
    assert caplog.text.count("2 file(s): Chunk 0 failed on") == 5
    kept = [batch for batch in journal.open_batches() if batch.id in stale]
    assert [(batch.state, batch.attempt, batch.setbacks, batch.suspect) for batch in kept] == [
        (State.PLANNED, 5, 5, False)
    ] * 2
    stale.clear()
    go_on(site, journal, scheduler)
    assert lines_in(layout) == {name: count for name, count in WANTED.items() if name != "2.predictions.csv"}
    assert "in 3 attempts" in (layout.failed / "2.csv.error.txt").read_text()


def test_a_part_that_an_nfs_client_misses_is_found(
    site: Site,
    layout: Layout,
    journal: Journal,
    scheduler: PoolInProcess,
    open_batch: OpenBatch,
    drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A part that is said to be absent until its folder is opened, as NFS clients do, costs no attempt."""
    missed: set[Path] = set()

    def open_folder(folder: Path) -> None:
        missed.discard(folder)
        refresh_folder(folder)

    def read_remembered(path: Path) -> Outcome | None:
        return None if path.parent in missed else read_outcome(path)

    monkeypatch.setattr(groups, "refresh_folder", open_folder)
    monkeypatch.setattr(groups, "read_outcome", read_remembered)
    make_files(drop, open_batch)
    missed.update(layout.batch(batch.id).parts for batch in journal.open_batches())
    go_on(site, journal, scheduler)
    assert lines_in(layout) == WANTED
    assert {batch.attempt for batch in journal.latest(9)} == {1}
    assert "unscored" not in caplog.text
