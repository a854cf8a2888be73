"""Failpoints: nothing in normal runs; told where and what, they do it there and then."""

import dis
import errno
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scoring import atomic, failpoints
from scoring.failpoints import ACTS, EVERY_POINT, POINTS, VARIABLE, Failpoints

REPOSITORY = Path(__file__).parents[3]


def test_normal_runs_pass_a_function_without_a_body() -> None:
    """Without the variable, every module holds the one function that does nothing but return."""
    assert VARIABLE not in os.environ
    assert failpoints.reach is failpoints._pass
    assert vars(atomic)["reach"] is failpoints._pass
    work = {one.opname for one in dis.get_instructions(failpoints._pass)} - {"RESUME"}
    assert work <= {"LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


def test_every_act_has_a_point_before_and_after_it() -> None:
    """The table holds each act once, and more acts than were asked for."""
    assert len(ACTS) == len(set(ACTS)) >= 25
    assert len(POINTS) == 2 * len(ACTS)


def test_the_code_reaches_what_the_table_names() -> None:
    """Every name that product code passes is in the table, before and after alike, and the other way round."""
    written: Counter[str] = Counter()
    for package in ("scoring", "inbox_watcher"):
        for path in (REPOSITORY / package).rglob("*.py"):
            if path.name != "failpoints.py":
                written.update(re.findall(r'reach\("([^"]+)"', path.read_text()))
    patterns = [re.escape(name).replace(r"\{\}", r"[a-z.]+") for name in written]
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, point) for point in EVERY_POINT)] == []
    assert [point for point in EVERY_POINT if not any(re.fullmatch(pattern, point) for pattern in patterns)] == []
    assert {name.rpartition(".")[0] for name in written if name.endswith(".before")} == {
        name.rpartition(".")[0] for name in written if name.endswith(".after")
    }


def test_an_error_is_raised_at_its_pass_only() -> None:
    """`errno:ESTALE@2` raises at the second pass, neither before nor after."""
    points = Failpoints("claim.rename.before=errno:ESTALE@2")
    points.reach("claim.rename.before")
    with pytest.raises(OSError, match="handle") as caught:
        points.reach("{}.rename.before", "claim")
    assert caught.value.errno == errno.ESTALE
    points.reach("claim.rename.before")


def test_a_write_without_a_name_has_no_points() -> None:
    """What is written for no act of the table passes nothing."""
    Failpoints("*=errno:EIO").reach("{}.rename.before", "")


@pytest.mark.parametrize("orders", ["nowhere=kill", "claim.rename.before=explode", "claim.rename.before=kill@x"])
def test_orders_that_make_no_sense_are_refused(orders: str) -> None:
    """A misspelt point or action is an error, not a test that tests nothing."""
    with pytest.raises(ValueError, match="failpoint"):
        Failpoints(orders)


def test_a_point_that_is_not_in_the_table_is_an_error() -> None:
    """Armed, code that passes an unknown name is found out."""
    with pytest.raises(ValueError, match="table"):
        Failpoints("").reach("made.up.before")


def test_normal_runs_cannot_be_armed() -> None:
    """Only a process that was started armed takes orders."""
    with pytest.raises(ValueError, match=VARIABLE):
        failpoints.arm("claim.rename.before=kill")


@pytest.mark.parametrize(("orders", "code"), [("plan.plan.rename.before=kill", -signal.SIGKILL), ("", 0)])
def test_an_armed_process_is_killed_there(tmp_path: Path, orders: str, code: int) -> None:
    """The variable arms a process: killed before the rename, it leaves its temporary file, which is removed later."""
    program = "import sys, pathlib, scoring.atomic as a; a.write_bytes(pathlib.Path(sys.argv[1]), b'x', 'plan.plan')"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "plan.json"],
        cwd=REPOSITORY,
        env={**os.environ, VARIABLE: orders},
        check=False,
    )
    assert done.returncode == code
    (left,) = tmp_path.iterdir()
    assert (left.suffix == ".tmp") == bool(orders)
    assert atomic.remove_abandoned(tmp_path) == bool(orders)
