"""What strangers may drop: hostile names, broken and malicious files. The daemon answers each and tells no data."""

import codecs
import gzip
import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from dag_specs.scheduler import HtcondorScheduler, connect
from inbox_watcher.batch.batch import FINAL, Batch, State
from inbox_watcher.settings.layout import StateLayout
from local_pool.status import PoolStatus
from scoring.results.receipt import read_receipt
from tests.integration.impatient_site import daemon as daemon  # noqa: PLC0414 - a fixture is found by its name here
from tests.integration.impatient_site import live as live  # noqa: PLC0414
from tests.integration.impatient_site import loans as loans  # noqa: PLC0414
from tests.integration.site_fixtures import Daemon, LiveSite
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here

ANSWER_SECONDS = 10.0
"""How soon a file that cannot be scored is refused."""

NAMES = [
    b"a\nexecutable = evil.csv",
    b'"quoted" it\'s.csv',
    b"$(Process).csv",
    b"$ENV(HOME) `id`.csv",
    b";rm -rf *.csv",
    b"-rf.csv",
    b"a..%2f..%2fetc.csv",
    b"x" * 251 + b".csv",
    "é".encode() * 100 + b".csv",
    b"Kr\xe9dit.csv",
]


def memory_of(pid: int) -> tuple[float, float]:
    """Give the memory that a process holds, and the most that it ever held (MB)."""
    text = Path(f"/proc/{pid}/status").read_text()
    now, peak = (re.search(rf"{name}:\s+(\d+)", text) for name in ("VmRSS", "VmHWM"))
    assert now
    assert peak
    return int(now[1]) / 1000, int(peak[1]) / 1000


def read_everything(folder: Path) -> bytes:
    """Read every file below a folder."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_name_is_only_data(live: LiveSite, daemon: Daemon, pool: PoolStatus, loans: bytes) -> None:
    """Files of any name are scored under it, or refused with a reason; what HTCondor is told holds ids alone."""
    inbox = os.fsencode(live.layout.inbox)
    for number, name in enumerate(NAMES):
        unfinished = live.layout.inbox / f".{number}"
        unfinished.write_bytes(loans)
        os.rename(unfinished, os.path.join(inbox, name))

    def finished() -> list[Batch]:
        return [batch for batch in live.batches() if batch.name in NAMES and batch.state in FINAL]

    daemon.wait(lambda: len(finished()) == len(NAMES), "the end of every file")
    for batch in finished():
        if batch.state is State.DONE:
            assert len(live.layout.result(batch.output, "predictions.csv").read_bytes().splitlines()) == 51
        else:
            assert "[name_too_long]" in batch.reason
    assert [batch.name for batch in finished() if batch.state is State.FAILED] == [NAMES[7]]
    assert os.listdir(inbox) == []
    assert len(list(live.layout.failed.glob("*.error.txt"))) == 1

    wanted = ["LoansBatch", "Cmd", "Args", "Arguments", "Iwd", "Out", "Err", "UserLog", "Env", "Environment"]
    scheduler = connect(str(pool.condor_config))
    assert isinstance(scheduler, HtcondorScheduler)
    for batch in finished():
        for ad in scheduler._history(f'LoansBatch == "{batch.id}"', wanted, None):
            folder = live.layout.batch(batch.id)
            assert (ad["LoansBatch"], ad["Cmd"], ad["Iwd"]) == (batch.id, live.site.python, str(folder.logs))
            told = str(ad.get("Arguments") or ad.get("Args"))
            assert re.fullmatch(r"-I -m scoring.chunk.job --plan \S.* --chunk 0", told), told
            text = str(ad)
            for word in ("evil", "quoted", "Process", "ENV(", "rm -rf", "-rf", "%2f", "xxxx", "éé", "dit"):
                assert word not in text.replace(live.site.root, "").replace("dition", ""), word


@dataclass(frozen=True)
class Case:
    """A file, and what is to come of it."""

    content: bytes
    code: str = ""
    """Of the refusal; empty: it is scored."""
    line: bool = True
    """Whether the refusal names a line."""
    scored: int = 50
    rejected: int = 0
    name: str = ""


def make_cases(loans: bytes) -> dict[str, Case]:
    """Make every bad file, and every odd one that is good."""
    head, _, body = loans.partition(b"\n")
    columns = head.split(b",")
    rows = [line.split(b",") for line in body.splitlines()]

    def table(order: list[int], separator: bytes = b",") -> bytes:
        return b"".join(separator.join(row[at] for at in order) + b"\n" for row in [columns, *rows])

    every = list(range(len(columns)))
    comma = table(every, b";").replace(b".", b",")
    bomb = gzip.compress(bytes(100 << 20), 9)
    hollow = (b"," * (len(columns) - 1) + b"\n") * 30
    return {
        "empty": Case(b"", "empty_file", line=False),
        "header only": Case(head + b"\n", scored=0),
        "header without line end": Case(head, scored=0),
        "missing column": Case(table(every[:-1]), "missing_column"),
        "doubled column": Case(table([*every, 2]), "repeated_column"),
        "doubled column that is not needed": Case(table([*every, 1])),
        "reordered": Case(table(every[::-1])),
        "bom": Case(codecs.BOM_UTF8 + loans),
        "crlf": Case(loans.replace(b"\n", b"\r\n")),
        "utf-16": Case(loans.decode().encode("utf-16"), "not_utf8"),
        "latin-1": Case(loans.replace(b"\n1,", b"\n\xe9\xe8,", 1), scored=49, rejected=1),
        "nul bytes": Case(loans.replace(b"\n1,", b"\n\0\0,", 1), scored=49, rejected=1),
        "all nul": Case(bytes(100_000), "not_utf8"),
        "cr only": Case(loans.replace(b"\n", b"\r"), "cr_line_ends"),
        "gzip named csv": Case(gzip.compress(loans), "gzip_content", line=False),
        "packed": Case(gzip.compress(loans), name="packed.csv.gz"),
        "cut gzip": Case(gzip.compress(loans)[:-20], "truncated", line=False, name="half.csv.gz"),
        "gzip bomb": Case(bomb, "gzip_too_large", line=False, name="bomb.csv.gz"),
        "gzip bomb named csv": Case(bomb, "gzip_content", line=False),
        "semicolons": Case(table(every, b";")),
        "decimal commas": Case(comma, "too_many_rejects"),
        "cut": Case(loans[:-12], "truncated"),
        "cut in quotes": Case(loans + b'50,"3', "truncated"),
        "no last line end": Case(loans[:-1]),
        "empty records at the end": Case(loans + hollow + b"\n" + hollow[:-1]),
        "empty records within": Case(head + b"\n" + hollow + body, rejected=30),
        "empty records alone": Case(head + b"\n" + hollow, scored=0),
    }


def test_every_bad_file_is_answered_soon(live: LiveSite, daemon: Daemon, loans: bytes) -> None:
    """Each is scored right, or refused within 10 s with code, line and way out, by a daemon that stays small."""
    cases = make_cases(loans)
    names = {title: case.name or f"{title}.csv" for title, case in cases.items()}
    times = []
    for title, case in cases.items():
        if not case.code:
            continue
        begun = live.drop(names[title], case.content)
        daemon.wait(lambda name=names[title]: live.is_finished(name), f"the end of {title}")  # type: ignore[misc]
        times.append(time.monotonic() - begun)
        batch = live.batch_of(names[title])
        assert batch is not None
        assert batch.state is State.FAILED, title
        assert f"[{case.code}]" in batch.reason, title
        assert ("(line " in batch.reason) == case.line, batch.reason
        assert len(batch.reason.splitlines()) >= 2, title
        assert batch.reason in (live.layout.failed / f"{names[title]}.error.txt").read_text()
        assert times[-1] < ANSWER_SECONDS, title
    good = {title: case for title, case in cases.items() if not case.code}
    for title, case in good.items():
        live.drop(names[title], case.content)
    daemon.wait(lambda: all(live.is_finished(names[title]) for title in good), "the end of all that is good")
    for title, case in good.items():
        batch = live.batch_of(names[title])
        assert batch is not None
        assert (batch.state, batch.scored, batch.rejected) == (State.DONE, case.scored, case.rejected), title
        assert read_receipt(live.layout.result(batch.output, "receipt.json")).input_sha256 == batch.input_sha256
    decimal = live.batch_of("decimal commas.csv")
    assert decimal is not None
    assert "decimal commas" in decimal.reason
    memory, peak = memory_of(daemon.process.pid)
    print(f"{len(times)} refusals, the slowest after {max(times):.1f} s; daemon {memory:.0f} MB, at most {peak:.0f} MB")
    assert peak < 300


@pytest.mark.parametrize("title", ["field in a row", "quoted field", "field in the header"])
def test_a_field_of_a_gigabyte_is_refused_soon(live: LiveSite, daemon: Daemon, loans: bytes, title: str) -> None:
    """A single field of 1 GB is refused within 10 s, and does not pass through the daemon's memory."""
    start = {"field in a row": loans, "quoted field": loans + b'7,"', "field in the header": b""}[title]
    name = f"huge {title}.csv"
    unfinished = live.layout.inbox / ".huge"
    with unfinished.open("wb") as file:
        file.write(start)
        for _ in range(64):
            file.write(b"x" * (16 << 20))
    begun = time.monotonic()
    unfinished.rename(live.layout.inbox / name)
    daemon.wait(lambda: live.is_finished(name), "the refusal")
    took = time.monotonic() - begun
    batch = live.batch_of(name)
    assert batch is not None
    (live.layout.failed / name).unlink()
    memory, peak = memory_of(daemon.process.pid)
    print(f"1 GB {title}: refused after {took:.1f} s; daemon {memory:.0f} MB, at most {peak:.0f} MB")
    assert "[line_too_long]" in batch.reason
    assert took < ANSWER_SECONDS
    assert peak < 300


def test_what_is_no_file_is_told_and_never_opened(live: LiveSite, daemon: Daemon, loans: bytes, tmp_path: Path) -> None:
    """Links, second names, pipes and folders stay where they are and are told once; the daemon goes on."""
    (tmp_path / "secret").write_bytes(loans)
    inbox = live.layout.inbox
    (inbox / "link.csv").symlink_to(tmp_path / "secret")
    (inbox / "folder\n.csv").mkdir()
    os.mkfifo(inbox / "pipe.csv")
    outside = live.layout.root / "outside"
    outside.write_bytes(loans)
    os.link(outside, inbox / "second name.csv")
    shown = ("'link.csv'", r"'folder\n.csv'", "'pipe.csv'", "'second name.csv'")
    daemon.wait(lambda: all(name in daemon.log.read_text() for name in shown), "a word on each")
    assert daemon.wait_for("beside them.csv", loans).state is State.DONE
    time.sleep(0.5)
    assert [daemon.log.read_text().count(name) for name in shown] == [1, 1, 1, 1]
    assert len(list(inbox.iterdir())) == 4
    (inbox / "folder\n.csv").rmdir()
    for path in (inbox / "link.csv", inbox / "pipe.csv", inbox / "second name.csv", outside):
        path.unlink()


def test_no_word_of_the_data_is_told(live: LiveSite, daemon: Daemon, pool: PoolStatus, loans: bytes) -> None:
    """1,000 words in cells of good, bad and poisoned files are in no log, journal, event log, job's output or error."""
    words = [f"Tok{number:04d}en{number * 7919 % 100_003:05d}" for number in range(1000)]
    head, _, body = loans.partition(b"\n")
    rows = [line.split(b",") for line in body.splitlines()]
    left = iter(words)

    def table(column: int, rows_wanted: int = 50, first: bytes = head) -> bytes:
        lines = [first]
        lines += [b",".join([*row[:column], next(left).encode(), *row[column + 1 :]]) for row in rows[:rows_wanted]]
        return b"\n".join(lines) + b"\n"

    files = {
        "ids.csv": table(0),
        "categories.csv": table(3, 5) + b"\n".join(b",".join(row) for row in rows[5:]) + b"\n",
        "all categories.csv": table(3),
        "numbers.csv": table(2),
        "decimals.csv": table(8, 50),
        "no header.csv": table(0, first=b"x")[2:],
        "other header.csv": ",".join(next(left) for _ in range(12)).encode() + b"\n" + table(0),
        "quotes.csv": table(0).replace(b"Tok", b'"Tok'),
        "stray.csv": table(1).replace(b"Tok", b'x"Tok'),
        "latin.csv": table(0).replace(b"Tok", b"\xe9Tok"),
        "nul.csv": table(0).replace(b"Tok", b"\0Tok"),
        "cut.csv": table(0)[:-40],
        "returns.csv": table(0).replace(b"\n", b"\r"),
        "wide.csv": table(0).replace(b"\n", b",more\n"),
        "cut.csv.gz": gzip.compress(table(0))[:-9],
        "token.rejects.csv": b"row_number,line,column,rule,message,raw\n" + table(0)[len(head) :],
    }
    files["rest.csv"] = head + b"\n" + b"\n".join(b",".join([word.encode(), *rows[0][1:]]) for word in left) + b"\n"
    for name, content in files.items():
        live.drop(name, content)
    daemon.wait(lambda: all(map(live.is_finished, files)), "the end of every file")
    states = {name: str(batch.state) for name in files if (batch := live.batch_of(name))}
    assert {"done", "failed"} == set(states.values()), states
    state = StateLayout(Path(live.site.state))
    told = {
        "journal and event logs": read_everything(state.root),
        "daemon": live.file.with_name("watch.log").read_bytes(),
        "jobs": b"".join(read_everything(folder / "logs") for folder in live.layout.batches.iterdir()),
        "errors": b"".join(path.read_bytes() for path in live.layout.failed.glob("*.error.txt")),
        "HTCondor": read_everything(pool.condor_config.parent),
    }
    assert b"Tok0000en" in (live.layout.outbox / "ids.predictions.csv").read_bytes()
    for where, content in told.items():
        # Jobs that end well print nothing; what they say when they fail is tested with the program itself.
        assert content or where == "jobs", where
        found = sorted(set(re.findall(rb"Tok\d{4}en\d{5}", content)))
        assert not found, f"{where}: {len(found)} words, such as {found[:3]}"


def test_nobody_else_can_read_anything(live: LiveSite, daemon: Daemon) -> None:
    """What the daemon and its jobs write is for its owner and group alone; so are the files that HTCondor made."""
    assert daemon.process.poll() is None
    count = 0
    for top in (live.layout.root, Path(live.site.state)):
        for path in (top, *top.rglob("*")):
            if path.is_relative_to(live.layout.models) or path == live.layout.contract or path.is_symlink():
                continue
            if path.is_relative_to(live.layout.archive) or path.parent == live.layout.failed:
                continue  # as their senders made them, in folders that nobody else enters
            if path.name == "input.done":
                continue  # this too
            mode = stat.S_IMODE(path.stat().st_mode)
            assert not mode & 0o007, f"{path}: {mode:o}"
            count += 1
    print(f"{count} files and folders are closed to others")
