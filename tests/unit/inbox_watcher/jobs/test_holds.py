"""Held jobs: what follows from HTCondor's code, case by case."""

import pytest

from inbox_watcher.jobs.holds import CODES, PAUSES, Decision, Fail, LeaveAlone, Policy, RaiseMemory, Release, decide

LIMIT = 8192
OOM = "Job has gone over cgroup memory limit of 2048 megabytes. Last measured usage: 2150 megabytes."


@pytest.mark.parametrize(
    ("code", "subcode", "reason", "releases", "memory", "decision"),
    [
        (13, 2, "no such file", 0, 512, Release(10.0)),
        (13, 2, "no such file", 1, 512, Release(60.0)),
        (12, 2, "no such file", 2, 512, Release(300.0)),
        (12, 2, "no such file", 3, 512, Fail("held again after 3 releases: no such file")),
        (12, 28, "disk full", 0, 512, Release(10.0)),
        (12, 28, "disk full", 2, 512, Release(30.0)),
        (12, 28, "disk full", 3, 512, Fail("held again after 3 releases: disk full", storage=True)),
        (7, 30, "read-only", 3, 512, Fail("held again after 3 releases: read-only", storage=True)),
        (21, 28, "some policy", 0, 512, Fail("some policy")),
        (7, 2, "cannot open", 0, 512, Release(10.0)),
        (6, 2, "no interpreter", 0, 512, Release(10.0)),
        (14, 116, "stale", 0, 512, Release(10.0)),
        (34, 102, OOM, 0, 2048, RaiseMemory(4096)),
        (34, 102, OOM, 9, 2048, RaiseMemory(4096)),
        (34, 102, OOM, 0, 6000, RaiseMemory(LIMIT)),
        (34, 102, OOM, 0, LIMIT, Fail(f"it used 2.1 GB of 8 GB, and no more may be asked for: {OOM}")),
        (34, 102, "", 0, LIMIT, Fail("it used more than 8 GB, and no more may be asked for: no reason given")),
        (34, 104, "too much scratch disk", 0, 2048, Fail("too much scratch disk")),
        (26, 0, "job exceeded its memory", 0, 1024, RaiseMemory(2048)),
        (21, 102, "too large", 0, 1024, RaiseMemory(2048)),
        (21, 104, "too large", 0, 1024, Fail("too large")),
        (34, 0, "Job has gone over memory limit of 1024 megabytes.", 0, 1024, RaiseMemory(2048)),
        (22, 0, "Failed to initialize user log", 0, 512, Release(10.0)),
        (26, 0, "ran for too long", 0, 1024, Fail("ran for too long")),
        (1, 0, "lunch", 0, 512, LeaveAlone("lunch")),
        (1, 0, "", 7, 512, LeaveAlone("no reason given")),
        (4, 0, "credential", 0, 512, Fail("credential")),
        (999, 0, "new in HTCondor 30", 0, 512, Fail("new in HTCondor 30")),
        (None, None, "", 0, 512, Fail("no reason given")),
    ],
)
def test_decision(
    code: int | None, subcode: int | None, reason: str, releases: int, memory: int, decision: Decision
) -> None:
    """Storage trouble passes or not, memory can be had up to a limit, a person is let be, the rest has failed."""
    assert decide(code, subcode, reason, releases_so_far=releases, memory_mb=memory, memory_limit_mb=LIMIT) == decision


def test_no_code_is_released_for_ever() -> None:
    """However often a job comes back with the same code, it ends: only what a person holds waits without end."""
    assert list(PAUSES) == sorted(PAUSES)
    for code, (_, policy) in CODES.items():
        memory, releases = 1, 0
        while True:
            decision = decide(code, 0, "", releases_so_far=releases, memory_mb=memory, memory_limit_mb=LIMIT)
            if isinstance(decision, RaiseMemory):
                assert memory < decision.to_mb <= LIMIT
                memory = decision.to_mb
            elif not isinstance(decision, Release):
                break
            releases += 1
            assert releases < 20
        assert isinstance(decision, LeaveAlone) == (policy is Policy.LEAVE)
