"""What is in production: one pointer, a pile of what was there before, and a log that misses nothing."""

import itertools
import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.contract import Contract
from scoring.errors import ModelError, StorageError
from scoring.failpoints import PROMOTION_POINTS, VARIABLE
from scoring.models import production, promotion_log
from scoring.models.production import (
    PRODUCTION,
    ProductionMovedError,
    UnexplainedPromotionError,
    promote,
    read_log,
    read_promotion,
    roll_back,
)
from scoring.models.promotion_log import LOG, LONGEST_LINE, Action, LogEntry, find_earlier
from scoring.models.registry import MODEL, VERSIONS, Pin
from tests.unit.scoring.linear_model import publish_linear
from tests.unit.scoring.models.test_registry import publish

REPOSITORY = Path(__file__).parents[4]


def published(models: Path, contract: Contract, *versions: str) -> list[Pin]:
    """Publish some versions."""
    return [publish(models, contract, version, version.encode()) for version in versions]


def current(models: Path) -> str:
    """Name the version in production."""
    promotion = read_promotion(models)
    assert promotion is not None
    return promotion.pin.version


def told(models: Path) -> list[tuple[str, str | None, str]]:
    """Give (action, from, to) of each entry of the log."""
    return [
        (str(entry.action), entry.replaced.version if entry.replaced else None, entry.to.version)
        for entry in read_log(models).entries
    ]


def test_promotion_is_read_as_written(tmp_path: Path) -> None:
    """Production names the promoted version, by whom and why; the next promotion replaces it."""
    assert read_promotion(tmp_path) is None
    pin = publish_linear(tmp_path)
    promotion = read_promotion(tmp_path)
    assert promotion is not None
    assert (promotion.pin, promotion.by, promotion.why, promotion.replaced) == (pin, "test", "test", None)
    assert promote(tmp_path, pin, by="anna@submit1", why="after review") == read_promotion(tmp_path)
    again = read_promotion(tmp_path)
    assert again is not None
    assert (again.pin, again.by, again.why, again.replaced) == (pin, "anna@submit1", "after review", pin)


def write_pointer(models: Path, promotion: production.Promotion) -> None:
    """Write the pointer as no promotion does."""
    (models / PRODUCTION).write_bytes(msgspec.json.encode(promotion))


def test_a_pointer_that_no_logged_promotion_explains_is_not_used(tmp_path: Path, contract: Contract) -> None:
    """A pointer that was forged, copied from an earlier one or made without a log is damage, and nothing uses it."""
    a, b, _ = published(tmp_path, contract, "a", "b", "c")
    first = promote(tmp_path, a, by="test", why="test")
    promote(tmp_path, b, by="test", why="test")
    genuine = production.find_production(tmp_path)
    assert genuine is not None
    log = (tmp_path / LOG).read_bytes()
    forged = msgspec.structs.replace(genuine, pin=a)
    for pointer, lines in ((forged, log), (first, log), (genuine, b""), (genuine, b"\n".join(log.splitlines()[:2]))):
        write_pointer(tmp_path, pointer)
        (tmp_path / LOG).write_bytes(lines)
        with pytest.raises(UnexplainedPromotionError) as caught:
            production.find_production(tmp_path)
        assert caught.value.code == "unexplained_promotion"
        assert any("[unexplained_promotion]" in one for one in read_log(tmp_path).damage)
        with pytest.raises(UnexplainedPromotionError):
            roll_back(tmp_path, by="test", why="test")
        with pytest.raises(UnexplainedPromotionError):
            promote(tmp_path, a, by="test", why="test", expected=pointer.pin)
        assert (tmp_path / LOG).read_bytes() == lines
    (tmp_path / LOG).unlink()
    with pytest.raises(UnexplainedPromotionError):
        production.find_production(tmp_path)


def test_a_promotion_by_hand_replaces_an_unexplained_pointer(tmp_path: Path, contract: Contract) -> None:
    """A promotion by hand replaces a forged pointer; the log stays whole, says so, and leads back as before."""
    a, b, c = published(tmp_path, contract, "a", "b", "c")
    promote(tmp_path, a, by="test", why="test")
    genuine = promote(tmp_path, b, by="test", why="test")
    write_pointer(tmp_path, msgspec.structs.replace(genuine, pin=c))
    healed = promote(tmp_path, b, by="anna", why="after review")
    assert production.find_production(tmp_path) == healed
    log = read_log(tmp_path)
    assert (log.damage, log.notes) == ((), ())
    assert told(tmp_path)[-1] == ("promote", "b", "b")
    assert "after review (No logged promotion put version c" in log.entries[-1].why
    assert roll_back(tmp_path, by="test", why="test").pin == a


def test_a_log_of_before_intents_is_read(tmp_path: Path, contract: Contract) -> None:
    """A log with entries alone, as earlier versions wrote it, explains its pointer and is continued."""
    a, b, c = published(tmp_path, contract, "a", "b", "c")
    for pin in (a, b):
        promote(tmp_path, pin, by="test", why="test")
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG).write_bytes(b"".join(line for line in lines if b"intent" not in line))
    assert len((tmp_path / LOG).read_bytes().splitlines()) == 2
    assert production.find_production(tmp_path) is not None
    promote(tmp_path, c, by="test", why="test")
    log = read_log(tmp_path)
    assert (log.damage, log.notes) == ((), ())
    assert told(tmp_path) == [("promote", None, "a"), ("promote", "a", "b"), ("promote", "b", "c")]


def test_readers_agree_while_others_promote(tmp_path: Path, contract: Contract) -> None:
    """However pointer and log change between the reads of a reader, it never takes a promotion for a forgery."""
    pins = published(tmp_path, contract, "a", "b")
    promote(tmp_path, pins[0], by="test", why="test")
    ended = threading.Event()

    def read() -> int:
        reads = 0
        while not ended.is_set():
            production.find_production(tmp_path)
            assert read_log(tmp_path).damage == ()
            reads += 1
        return reads

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(40):
            promote(tmp_path, pins[number % 2], by=f"{number}", why="test")
        ended.set()
        assert all(reader.result() for reader in readers)


def test_each_rollback_goes_one_step_further_back(tmp_path: Path, contract: Contract) -> None:
    """Rollbacks take version after version off the pile; a promotion starts anew from there."""
    a, b, c, d = published(tmp_path, contract, "a", "b", "c", "d")
    for pin in (a, b, c):
        promote(tmp_path, pin, by="test", why="test")
    assert roll_back(tmp_path, by="anna", why="c is off").pin == b
    assert roll_back(tmp_path, by="anna", why="b too").pin == a
    with pytest.raises(ModelError, match="nothing to go back to"):
        roll_back(tmp_path, by="anna", why="a too")
    assert current(tmp_path) == "a"
    promote(tmp_path, d, by="test", why="test")
    assert roll_back(tmp_path, by="anna", why="d is off").pin == a
    assert told(tmp_path) == [
        ("promote", None, "a"), ("promote", "a", "b"), ("promote", "b", "c"), ("rollback", "c", "b"),
        ("rollback", "b", "a"), ("promote", "a", "d"), ("rollback", "d", "a"),
    ]  # fmt: skip
    last = read_log(tmp_path).entries[-1]
    assert (last.by, last.why) == ("anna", "d is off")


def test_promoting_the_same_twice_hides_nothing(tmp_path: Path, contract: Contract) -> None:
    """A version that was promoted twice in a row is one step of the way back."""
    a, b = published(tmp_path, contract, "a", "b")
    for pin in (a, b, b):
        promote(tmp_path, pin, by="test", why="test")
    assert roll_back(tmp_path, by="test", why="test").pin == a


def test_nothing_to_go_back_to_is_a_sentence(tmp_path: Path, contract: Contract) -> None:
    """Without a promotion, or with one alone, a rollback is refused, and nothing changes."""
    with pytest.raises(ModelError, match="nothing to go back to"):
        roll_back(tmp_path, by="test", why="test")
    (a,) = published(tmp_path, contract, "a")
    promote(tmp_path, a, by="test", why="test")
    before = (tmp_path / PRODUCTION).read_bytes(), (tmp_path / LOG).read_bytes()
    with pytest.raises(ModelError, match="nothing to go back to"):
        roll_back(tmp_path, by="test", why="test")
    assert before == ((tmp_path / PRODUCTION).read_bytes(), (tmp_path / LOG).read_bytes())


def test_a_rollback_to_a_damaged_version_is_refused(tmp_path: Path, contract: Contract) -> None:
    """What is damaged does not come back; the next older sound one is named, or that there is none."""
    a, b, c, d = published(tmp_path, contract, "a", "b", "c", "d")
    for pin in (a, b, c, d):
        promote(tmp_path, pin, by="test", why="test")
    for version in ("c", "b"):
        (tmp_path / VERSIONS / version / MODEL).write_bytes(b"altered")
    with pytest.raises(ModelError, match=r"There is no going back to c: .*damaged") as refused:
        roll_back(tmp_path, by="test", why="test")
    assert "`loans models promote a`" in refused.value.way_out
    (tmp_path / VERSIONS / "a" / MODEL).unlink()
    with pytest.raises(ModelError) as refused:
        roll_back(tmp_path, by="test", why="test")
    assert "No older version" in refused.value.way_out
    assert current(tmp_path) == "d"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "back"]), max_size=30))
def test_the_way_back_is_a_pile(steps: list[str]) -> None:
    """Whatever was promoted and rolled back, the next rollback goes where a pile says."""
    pins = {name: Pin(name, name * 64) for name in "abc"}
    entries: list[LogEntry] = []
    pile: list[Pin] = []
    for step in steps:
        before = pile[-1] if pile else None
        if step == "back":
            earlier = find_earlier(entries)
            assert earlier == pile[-2::-1]
            if not earlier:
                continue
            pile.pop()
            entries.append(LogEntry(1, "", "", Action.ROLLBACK, "", before, earlier[0]))
        else:
            if before != pins[step]:
                pile.append(pins[step])
            entries.append(LogEntry(1, "", "", Action.PROMOTE, "", before, pins[step]))


def test_only_what_was_expected_is_replaced(tmp_path: Path, contract: Contract) -> None:
    """Whoever names what he takes to be in production replaces nothing else."""
    a, b = published(tmp_path, contract, "a", "b")
    with pytest.raises(ProductionMovedError, match="nothing is in production now, not b"):
        promote(tmp_path, a, by="test", why="test", expected=b)
    promote(tmp_path, a, by="test", why="test", expected=None)
    with pytest.raises(ProductionMovedError, match="a is in production now, not nothing"):
        promote(tmp_path, b, by="test", why="test", expected=None)
    promote(tmp_path, b, by="test", why="test", expected=a)
    assert told(tmp_path) == [("promote", None, "a"), ("promote", "a", "b")]


def test_of_many_at_once_all_are_logged_in_order(tmp_path: Path, contract: Contract) -> None:
    """Twenty promotions at the same moment: every one has its line, each replaced what the one before put there."""
    pins = published(tmp_path, contract, *(f"v{number:02d}" for number in range(20)))
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda pin: promote(tmp_path, pin, by="test", why="test"), pins))
    log = read_log(tmp_path)
    assert sorted(entry.to.version for entry in log.entries) == [pin.version for pin in pins]
    assert (log.damage, log.notes) == ((), ())
    assert current(tmp_path) == log.entries[-1].to.version
    assert len((tmp_path / LOG).read_bytes().splitlines()) == 40  # an intent and an entry each


def run_promotion(models: Path, pin: Pin, orders: str = "") -> "subprocess.Popen[bytes]":
    """Promote in a process of its own, with failpoints."""
    code = (
        "import sys; from pathlib import Path\n"
        "from scoring.models.production import promote; from scoring.models.registry import Pin\n"
        "promote(Path(sys.argv[1]), Pin(*sys.argv[2:4]), by='process', why='test')"
    )
    command = [sys.executable, "-c", code, str(models), pin.version, pin.manifest_sha256]
    environment = {**os.environ, VARIABLE: orders} if orders else dict(os.environ)
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment)


def test_processes_exclude_each_other(tmp_path: Path, contract: Contract) -> None:
    """Six processes that promote at once leave six lines that follow from each other."""
    pins = published(tmp_path, contract, *(f"v{number}" for number in range(6)))
    assert [process.wait(60) for process in [run_promotion(tmp_path, pin) for pin in pins]] == [0] * 6
    log = read_log(tmp_path)
    assert (len(log.entries), log.damage, log.notes) == (6, (), ())


@pytest.mark.parametrize("point", PROMOTION_POINTS)
def test_a_kill_leaves_pointer_and_log_in_agreement(tmp_path: Path, contract: Contract, point: str) -> None:
    """Killed anywhere, a promotion happened or did not; the log says so, and the next one completes it."""
    a, b, c = published(tmp_path, contract, "a", "b", "c")
    promote(tmp_path, a, by="test", why="test")
    assert run_promotion(tmp_path, b, f"{point}=kill").wait(60) == -signal.SIGKILL
    happened = current(tmp_path) == "b"
    assert happened is (point in ("promote.pointer.rename.after", "promote.log.before", "promote.log.after"))
    expected = [("promote", None, "a"), *([("promote", "a", "b")] if happened else [])]
    log = read_log(tmp_path)
    assert told(tmp_path) == expected
    assert log.damage == ()
    # What is left half done is noted: an intent without its entry.
    assert bool(log.notes) is (point not in ("promote.intent.before", "promote.log.after"))
    found = production.find_production(tmp_path)
    assert found is not None
    assert found.pin == (b if happened else a)
    promote(tmp_path, c, by="test", why="test")
    assert told(tmp_path) == [*expected, ("promote", "b" if happened else "a", "c")]
    assert read_log(tmp_path).notes == ()
    assert roll_back(tmp_path, by="test", why="test").pin == (b if happened else a)


def test_a_torn_last_line_is_told_and_does_no_harm(tmp_path: Path, contract: Contract) -> None:
    """A line that was cut anywhere is told; the next entry stands on a line of its own, with the lost one before it."""
    a, b = published(tmp_path, contract, "a", "b")
    promote(tmp_path, a, by="test", why="test")
    promote(tmp_path, b, by="test", why="test")
    content = (tmp_path / LOG).read_bytes()
    begin = len(b"".join(content.splitlines(keepends=True)[:3]))
    for end in range(begin + 1, len(content)):
        (tmp_path / LOG).write_bytes(content[:end])
        log = read_log(tmp_path)
        assert log.damage == ()
        # With nothing but its line end missing, the entry still reads.
        assert len(log.notes) == (2 if end < len(content) - 1 else 0)
        assert [entry.to for entry in log.entries] == [a, b]
    (tmp_path / LOG).write_bytes(content[: begin + 40])
    assert roll_back(tmp_path, by="test", why="test").pin == a
    assert told(tmp_path) == [("promote", None, "a"), ("promote", "a", "b"), ("rollback", "b", "a")]
    (damage,) = read_log(tmp_path).damage
    assert "line 4 does not read" in damage


def test_a_torn_intent_is_noted_and_does_no_harm(tmp_path: Path, contract: Contract) -> None:
    """An intent that was cut anywhere is a promotion that did not happen; the next one goes through."""
    a, b = published(tmp_path, contract, "a", "b")
    promote(tmp_path, a, by="test", why="test")
    pointer, before = (tmp_path / PRODUCTION).read_bytes(), (tmp_path / LOG).read_bytes()
    promote(tmp_path, b, by="test", why="test")
    intent = (tmp_path / LOG).read_bytes().splitlines()[2]
    (tmp_path / PRODUCTION).write_bytes(pointer)
    for end in range(1, len(intent) + 1):
        (tmp_path / LOG).write_bytes(before + intent[:end])
        log = read_log(tmp_path)
        assert (log.damage, len(log.notes)) == ((), 1)
        assert [entry.to for entry in log.entries] == [a]
    promote(tmp_path, b, by="test", why="test")
    assert told(tmp_path) == [("promote", None, "a"), ("promote", "a", "b")]


def test_altered_and_missing_lines_are_found(tmp_path: Path, contract: Contract) -> None:
    """A line that was altered or taken out of the log is named, with intents and in a log of before them."""
    pins = published(tmp_path, contract, "a", "b", "c")
    for pin in pins:
        promote(tmp_path, pin, by="test", why="test")
    every = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    for missing in range(2, len(every) - 1):
        (tmp_path / LOG).write_bytes(b"".join(line for number, line in enumerate(every) if number != missing))
        assert "lines are missing or altered" in " ".join(read_log(tmp_path).damage), missing
    (tmp_path / LOG).write_bytes(b"".join(every))
    lines = [line for line in (tmp_path / LOG).read_bytes().splitlines(keepends=True) if b"intent" not in line]
    (tmp_path / LOG).write_bytes(lines[0] + lines[2])
    (damage,) = read_log(tmp_path).damage
    assert damage == f"{LOG}: entry 2 replaced b, but a was in production: lines are missing or altered"
    (tmp_path / LOG).write_bytes(lines[0] + b"{}\n" + lines[1] + lines[2])
    assert read_log(tmp_path).damage == (f"{LOG}: line 2 does not read",)
    (tmp_path / LOG).write_bytes(lines[0] + lines[1].replace(b'"format":1', b'"format":2') + lines[2])
    assert "line 2 does not read" in read_log(tmp_path).damage[0]


def test_a_pointer_that_does_not_read_can_be_replaced(tmp_path: Path, contract: Contract) -> None:
    """With a damaged pointer the log stands in: it is told, and the next promotion writes it again."""
    a, b = published(tmp_path, contract, "a", "b")
    promote(tmp_path, a, by="test", why="test")
    (tmp_path / PRODUCTION).write_bytes(b"{")
    assert "does not tell which model" in read_log(tmp_path).damage[0]
    promote(tmp_path, b, by="test", why="test")
    assert told(tmp_path) == [("promote", None, "a"), ("promote", "a", "b")]
    assert read_log(tmp_path).damage == ()


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", "\x01", '"', "\ud800"])
def test_a_line_is_never_longer_than_a_page(tmp_path: Path, letter: str) -> None:
    """However long and strange the reason, its line in the log is cut to 4 KiB, pointer and log agree, and it reads."""
    pin = publish_linear(tmp_path)
    promote(tmp_path, pin, by="test", why=letter * 10_000)
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    assert 3_900 < len(lines[3]) < len(lines[2]) <= LONGEST_LINE
    log = read_log(tmp_path)
    assert (log.damage, log.notes, len(log.entries)) == ((), (), 2)
    assert log.entries[1].why.endswith("…")


def test_storage_that_fails_changes_nothing_or_says_what_it_did(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that refuses the intent stops the promotion; one that refuses the entry is told and completed later."""
    a, b = published(tmp_path, contract, "a", "b")
    promote(tmp_path, a, by="test", why="test")
    full = OSError(28, "No space left on device")

    def fail_from(line: int) -> None:
        passed = itertools.count(1)

        def append(log: int, entry: LogEntry) -> None:
            if next(passed) >= line:
                raise full
            promotion_log.append_line(log, entry)

        monkeypatch.setattr(production, "append_line", append)

    before = (tmp_path / PRODUCTION).read_bytes(), (tmp_path / LOG).read_bytes()
    fail_from(1)
    with pytest.raises(StorageError, match="Nothing was changed"):
        promote(tmp_path, b, by="test", why="test")
    assert before == ((tmp_path / PRODUCTION).read_bytes(), (tmp_path / LOG).read_bytes())
    fail_from(2)
    with pytest.raises(StorageError, match=r"b is in production, but .* cannot be written: No space left"):
        promote(tmp_path, b, by="test", why="test")
    assert current(tmp_path) == "b"
    fail_from(1)
    with pytest.raises(StorageError, match="Nothing was changed"):
        promote(tmp_path, a, by="test", why="test")
    assert current(tmp_path) == "b"
    monkeypatch.undo()
    promote(tmp_path, a, by="test", why="test")
    assert told(tmp_path) == [("promote", None, "a"), ("promote", "a", "b"), ("promote", "b", "a")]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_log_is_for_owner_and_group(tmp_path: Path, mask: int) -> None:
    """Whatever the umask of whoever promotes first, the group reads the log, the owner alone writes it."""
    before = os.umask(mask)
    try:
        publish_linear(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / LOG).stat().st_mode) == 0o640


def test_somebody_who_keeps_the_lock_is_not_waited_for_for_ever(
    tmp_path: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another holds the log, a promotion waits, then says so and changes nothing."""
    a, _ = published(tmp_path, contract, "a", "b")
    monkeypatch.setattr(promotion_log, "LOCK_SECONDS", 0.1)
    with (
        promotion_log.locked_log(tmp_path),
        pytest.raises(StorageError, match="Somebody else has been promoting"),
    ):
        promote(tmp_path, a, by="test", why="test")
    assert read_promotion(tmp_path) is None
    promote(tmp_path, a, by="test", why="test")


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A log that cannot be opened or read is storage trouble, in words."""
    pin = publish_linear(tmp_path)
    (tmp_path / LOG).unlink()
    (tmp_path / LOG).mkdir()
    for act in (
        lambda: promote(tmp_path, pin, by="test", why="test"),
        lambda: roll_back(tmp_path, by="test", why="test"),
        lambda: read_log(tmp_path),
    ):
        with pytest.raises(StorageError, match="cannot be"):
            act()
