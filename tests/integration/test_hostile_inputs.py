"""What strangers may drop: hostile names, broken and malicious files. The daemon answers each and tells no data."""

import codecs
import gzip
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dag_specs.scheduler import HtcondorScheduler, connect
from inbox_watcher.batch import FINAL, Batch, State
from inbox_watcher.config import load_site
from inbox_watcher.layout import StateLayout
from local_pool.status import PoolStatus
from scoring.receipt import read_receipt
from tests.integration.site_fixtures import Daemon, LiveSite, made_site, running, without_label
from tests.integration.trained import TrainedSite
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here

ANSWER_SECONDS = 10.0
"""How soon a file that cannot be scored is refused."""

TRUNCATED_SECONDS = 2.0

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


@pytest.fixture(scope="module")
def live(pool: PoolStatus, trained: TrainedSite) -> Iterator[LiveSite]:
    """Give a site that soon gives up files that are cut."""
    with made_site(pool, trained, 1_000_000) as made:
        text = made.file.read_text()
        shown = "# truncated_seconds = 60.0"
        assert shown in text
        made.file.write_text(text.replace(shown, f"truncated_seconds = {TRUNCATED_SECONDS}"))
        yield LiveSite(made.file, load_site(made.file))


@pytest.fixture(scope="module")
def daemon(live: LiveSite) -> Iterator[Daemon]:
    """Run that site's daemon for all tests of this file."""
    with running(live) as started:
        started.wait(lambda: "watching" in started.log.read_text(), "the start")
        yield started


@pytest.fixture(scope="module")
def loans(trained: TrainedSite) -> bytes:
    """Give 50 of the real loans without their labels."""
    return without_label(trained.history, 50)


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
            assert re.fullmatch(r"-I -m scoring.score_chunk --plan \S.* --chunk 0", told), told
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
        "cut gzip": Case(gzip.compress(loans)[:-20], "gzip_cut", line=False, name="half.csv.gz"),
        "gzip bomb": Case(bomb, "gzip_too_large", line=False, name="bomb.csv.gz"),
        "gzip bomb named csv": Case(bomb, "gzip_content", line=False),
        "semicolons": Case(table(every, b";")),
        "decimal commas": Case(comma, "too_many_rejects"),
        "cut": Case(loans[:-12], "truncated"),
        "cut in quotes": Case(loans + b'50,"3', "truncated"),
        "no last line end": Case(loans[:-1]),
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


def test_a_file_that_is_written_slowly_is_not_scored_early(live: LiveSite, daemon: Daemon, loans: bytes) -> None:
    """A writer that stalls in the middle of a row, longer than files take to settle, is waited for."""
    cut = loans[: loans.index(b"\n", 1500) - 7]
    path = live.layout.inbox / "slow.csv"
    with path.open("wb", buffering=0) as file:
        for stop in (10, len(cut) - 300, len(cut)):
            file.write(cut[file.tell() : stop])
            time.sleep(live.site.inbox.settle_seconds * 4)
            assert path.exists()
        file.write(loans[len(cut) :])
    daemon.wait(lambda: live.is_finished("slow.csv"), "the end")
    (batch,) = [batch for batch in live.batches() if batch.name == b"slow.csv"]
    assert (batch.state, batch.scored) == (State.DONE, 50)


def test_a_file_that_stays_cut_is_refused(live: LiveSite, daemon: Daemon, loans: bytes) -> None:
    """A writer that never comes back leaves a file that is refused as truncated, not scored without its last row."""
    (live.layout.inbox / "left.csv").write_bytes(loans[:-12])
    begun = time.monotonic()
    daemon.wait(lambda: live.is_finished("left.csv"), "the end")
    assert time.monotonic() - begun >= TRUNCATED_SECONDS
    batch = live.batch_of("left.csv")
    assert batch is not None
    assert "(line 51) [truncated]" in batch.reason


def test_the_same_delivery_is_answered_once(live: LiveSite, daemon: Daemon, loans: bytes) -> None:
    """The same bytes under the same name, later or while they are scored, are published once; other bytes anew."""

    def ended(name: str) -> set[str]:
        return {batch.id for batch in live.batches() if batch.name == name.encode() and batch.state in FINAL}

    def answer_to(name: str, content: bytes) -> Batch:
        known = ended(name)
        live.drop(name, content)
        daemon.wait(lambda: len(ended(name)) > len(known), f"an answer to {name}")
        (new,) = ended(name) - known
        return next(batch for batch in live.batches() if batch.id == new)

    first = answer_to("twin.csv", loans)
    results = sorted(live.layout.outbox.glob("twin*"))
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in results}
    again = answer_to("twin.csv", loans)
    assert again.id != first.id
    assert (again.state, again.attempt, again.output) == (State.DONE, 0, "twin")
    assert first.id in again.reason
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in results} == before
    assert sorted(live.layout.outbox.glob("twin*")) == results
    assert (live.layout.archive / again.id / "twin.csv").read_bytes() == loans
    other = answer_to("twin.csv", loans[: loans.index(b"\n", 1000) + 1])
    assert (other.state, other.output) == (State.DONE, "twin.rev2")
    for name in ("both.csv", "both.csv"):
        live.drop(name, loans)
        daemon.wait(lambda: not list(live.layout.inbox.glob("both.csv")), "the claim")
    daemon.wait(lambda: len(ended("both.csv")) == 2, "the end of both")
    assert sorted(path.name for path in live.layout.outbox.glob("both*")) == [
        f"both.{kind}" for kind in ("predictions.csv", "receipt.json", "rejects.csv")
    ]


def test_a_sidecar_is_checked(live: LiveSite, daemon: Daemon, loans: bytes) -> None:
    """A sidecar goes with its file; the hash in it is compared, also when it comes late; nothing stays in the inbox."""
    good, bad = hashlib.sha256(loans).hexdigest(), "0" * 64
    for name, text in (("right.csv", f"{good}  right.csv\n"), ("wrong.csv", bad), ("bare.csv", "")):
        path = live.layout.inbox / f"{name}.part"
        path.write_bytes(loans)
        path.with_name(f"{name}.done.tmp").write_text(text)
        path.rename(live.layout.inbox / name)
        path.with_name(f"{name}.done.tmp").rename(live.layout.inbox / f"{name}.done")
    daemon.wait(lambda: all(map(live.is_finished, ("right.csv", "wrong.csv", "bare.csv"))), "the end of them")
    daemon.wait(lambda: not list(live.layout.inbox.glob("*.done")), "an inbox without sidecars")
    states = [batch.state for name in ("right.csv", "bare.csv") if (batch := live.batch_of(name))]
    assert states == [State.DONE, State.DONE]
    wrong = live.batch_of("wrong.csv")
    assert wrong is not None
    assert wrong.state is State.FAILED
    assert "[checksum_mismatch]" in wrong.reason
    assert good in wrong.reason
    assert bad in wrong.reason
    assert (live.layout.failed / "wrong.csv").read_bytes() == loans


def test_a_file_is_claimed_at_once(live: LiveSite, daemon: Daemon, loans: bytes) -> None:
    """A file that is renamed into place is claimed within half a second, from within the inbox or from elsewhere."""
    for title, unfinished in (("within", live.layout.inbox / ".quick"), ("elsewhere", live.layout.root / "quick")):
        times = []
        for number in range(5):
            unfinished.write_bytes(loans)
            old = time.time() - 60
            os.utime(unfinished, (old, old))
            time.sleep(0.3)
            target = live.layout.inbox / f"quick {title} {number}.csv"
            unfinished.rename(target)
            begun = time.monotonic()
            while target.exists():
                time.sleep(0.002)
            times.append(time.monotonic() - begun)
        print(f"claimed after a rename from {title}: {', '.join(f'{took:.3f}' for took in times)} s")
        assert sorted(times)[2] < 0.5
    daemon.wait(lambda: all(batch.state in FINAL for batch in live.batches()), "the end of them all")


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
