"""An event log that grows, tears, shrinks and vanishes under its reader."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag_specs.errors import SchedulerError
from dag_specs.events import EventKind, EventLog, LogCondition, LogPosition, create_log, split_events


def _text(cluster: int, number: int = 9, body: str = "\tby hand\n") -> bytes:
    return f"{number:03d} ({cluster:03d}.000.000) 2026-11-22 15:24:47 Job was aborted.\n{body}...\n".encode()


def _clusters(log: EventLog) -> list[int]:
    return [event.cluster for event in log.read().events]


def test_only_what_is_new_is_told(tmp_path: Path) -> None:
    """Each look tells the events since the last one."""
    path = tmp_path / "log"
    path.write_bytes(_text(1) + _text(2))
    log = EventLog(path)
    assert _clusters(log) == [1, 2]
    assert _clusters(log) == []
    with path.open("ab") as file:
        file.write(_text(3))
    assert _clusters(log) == [3]


@given(st.lists(st.integers(0, 400), max_size=8))
def test_torn_events_are_told_once_they_are_whole(cuts: list[int]) -> None:
    """However the writes are cut, every event is told once, in order, and none before it is whole."""
    whole = b"".join(_text(number) for number in range(1, 6))
    told: list[int] = []
    offset = 0
    for cut in [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]:
        events, damaged, used = split_events(whole[offset:cut])
        assert not damaged
        told += [event.cluster for event in events]
        offset += used
        assert whole[:offset].endswith(b"...\n") or not offset
    assert told == [1, 2, 3, 4, 5]


def test_torn_end_is_left_for_the_next_look(tmp_path: Path) -> None:
    """An event that is half written is read when the rest arrives, without a word of damage."""
    path = tmp_path / "log"
    text = _text(1) + _text(2)
    path.write_bytes(text[:-30])
    log = EventLog(path)
    first = log.read()
    assert [event.cluster for event in first.events] == [1]
    assert first.condition is LogCondition.INTACT
    with path.open("ab") as file:
        file.write(text[-30:])
    second = log.read()
    assert [event.cluster for event in second.events] == [2]
    assert (first.damaged, second.damaged) == (0, 0)


def test_reader_goes_on_where_another_stopped(tmp_path: Path) -> None:
    """A position that was written down lets a new process go on."""
    path = tmp_path / "log"
    path.write_bytes(_text(1))
    before = EventLog(path).read().position
    with path.open("ab") as file:
        file.write(_text(2))
    assert _clusters(EventLog(path, LogPosition(before.offset, before.tail))) == [2]


def test_log_that_is_not_there_yet(tmp_path: Path) -> None:
    """A missing log is told as missing and read from the start when it appears."""
    log = EventLog(tmp_path / "later" / "log")
    assert log.read().condition is LogCondition.MISSING
    create_log(tmp_path / "later" / "log")
    assert log.read().condition is LogCondition.INTACT
    (tmp_path / "later" / "log").write_bytes(_text(1))
    assert _clusters(log) == [1]


def test_deleted_log_is_told(tmp_path: Path) -> None:
    """A log that vanished is told as missing, every time."""
    path = tmp_path / "log"
    path.write_bytes(_text(1))
    log = EventLog(path)
    assert _clusters(log) == [1]
    path.unlink()
    assert log.read().condition is LogCondition.MISSING
    assert log.read().condition is LogCondition.MISSING


@pytest.mark.parametrize("content", [b"", _text(7), _text(7) + _text(8) + _text(9)])
def test_replaced_log_is_read_from_the_start(tmp_path: Path, content: bytes) -> None:
    """A log that was truncated or replaced, by a shorter or a longer one, is told and read from its start."""
    path = tmp_path / "log"
    path.write_bytes(_text(1) + _text(2))
    log = EventLog(path)
    log.read()
    path.write_bytes(content)
    reading = log.read()
    assert reading.condition is LogCondition.REPLACED
    assert [event.cluster for event in reading.events] == [7, 8, 9][: content.count(b"...")]
    assert log.read().condition is LogCondition.INTACT


def test_unreadable_log_is_told(tmp_path: Path) -> None:
    """What the system refuses is a condition, not an exception."""
    assert EventLog(tmp_path).read().condition is LogCondition.UNREADABLE


def test_torn_event_costs_only_itself() -> None:
    """A writer that died in the middle of an event costs that event; the next one is told, the damage counted."""
    events, damaged, _ = split_events(_text(1) + _text(2)[:40] + b"\n" + _text(3))
    assert [event.cluster for event in events] == [1, 3]
    assert damaged == 1


def test_garbage_is_counted_and_passed() -> None:
    """Pieces that are no events are counted and passed over."""
    events, damaged, used = split_events(b"\0\0\0\0\n...\n" + _text(1) + b"<c>xml</c>\n...\n" + _text(2))
    assert [event.cluster for event in events] == [1, 2]
    assert damaged == 2
    assert used == len(b"\0\0\0\0\n...\n" + _text(1) + b"<c>xml</c>\n...\n" + _text(2))


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    """No content of a log raises, and a look never goes back."""
    _, _, used = split_events(data + b"\n...\n" + data)
    assert 0 <= used <= 2 * len(data) + 5


def test_long_log_is_read_in_pieces(tmp_path: Path) -> None:
    """A log larger than one look is read to its end in several."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        for number in range(60_000):
            file.write(_text(number, body="\t" + "x" * 40 + "\n"))
    log = EventLog(path)
    told: list[int] = []
    looks = 0
    while True:
        reading = log.read()
        told += [event.cluster for event in reading.events]
        looks += 1
        if not reading.more:
            break
    assert told == list(range(60_000))
    assert looks > 1


def test_event_larger_than_a_look_is_read(tmp_path: Path) -> None:
    """An event of more than one look's size does not stop the reader for ever."""
    path = tmp_path / "log"
    path.write_bytes(_text(1, body="\t" + "x" * (5 << 20) + "\n") + _text(2))
    log = EventLog(path)
    told: list[int] = []
    for _ in range(3):
        told += _clusters(log)
    assert told == [1, 2]


def test_log_is_made_for_owner_and_group_only(tmp_path: Path) -> None:
    """The log is there before the job is, and never world-readable; making it again changes nothing, and says so."""
    path = tmp_path / "state" / "batch.log"
    assert create_log(path)
    assert path.stat().st_mode & 0o007 == 0
    path.write_bytes(_text(1))
    assert not create_log(path)
    assert path.read_bytes() == _text(1)


def test_log_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A job whose log cannot be written would tell nothing, so that is an error before it is submitted."""
    (tmp_path / "file").touch()
    with pytest.raises(SchedulerError, match="cannot be written"):
        create_log(tmp_path / "file" / "log")
    with pytest.raises(SchedulerError, match="cannot be written"):
        create_log(tmp_path)


def test_kinds_are_told_apart() -> None:
    """A cut-out of a real log: one job's life."""
    log = (
        b"000 (1.0.0) 2026-11-22 15:24:47 Job submitted from host: <x>\n...\n"
        b"001 (1.0.0) 2026-11-22 15:24:47 Job executing on host: <x>\n...\n"
        b"005 (1.0.0) 2026-11-22 15:24:47 Job terminated.\n\t(1) Normal termination (return value 0)\n...\n"
    )
    events, damaged, _ = split_events(log)
    assert [event.kind for event in events] == [EventKind.SUBMITTED, EventKind.EXECUTING, EventKind.TERMINATED]
    assert not damaged
