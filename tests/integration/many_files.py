"""Many small files, a few of them poison: made, dropped at a pace, and counted to the last."""

import hashlib
import io
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from inbox_watcher.batch.batch import Batch, State
from inbox_watcher.batch.journal import Journal
from inbox_watcher.settings.layout import StateLayout
from scoring.results.receipt import read_receipt
from tests.integration.site_fixtures import Daemon, LiveSite
from training.history.generate import generate_loans

ROWS = 20
_DIFFERENT = 200


@dataclass(frozen=True)
class Figures:
    """How it went."""

    files: int
    """Files that were dropped."""
    dropping: float
    """From the first drop to the last (seconds)."""
    claimed: float
    """From the last drop until the inbox was empty (seconds)."""
    seconds: float
    """From the first drop until the last file came to its end (seconds)."""
    peak_mb: float
    """The daemon's largest resident memory (10^6 bytes)."""
    states: dict[State, int]
    """How many batches ended how."""
    groups: int
    """Jobs that were shared."""

    def __str__(self) -> str:
        """Tell the figures in a line."""
        return (
            f"{self.files:,} files of {ROWS} rows: dropped in {self.dropping:.1f} s, "
            f"claimed {self.claimed:.1f} s after, "
            f"all ended {self.seconds:.1f} s after the first drop, {self.files / self.seconds:.0f} files/s, "
            f"{self.groups} shared jobs, daemon {self.peak_mb:.0f} MB"
        )


def make_files(count: int) -> Iterator[tuple[str, bytes]]:
    """Make files of 20 loans; three of them lack a column, have only broken records, or end within the header."""
    sink = io.BytesIO()
    generate_loans(ROWS * _DIFFERENT, 1, labelled=False, sink=sink)
    header, *loans = sink.getvalue().splitlines(keepends=True)
    poison = {
        count // 4: header.replace(b"loan_int_rate", b"loan_int_rte") + b"".join(loans[:ROWS]),
        count // 2: header + b"broken\n" * ROWS,
        3 * count // 4: header[: len(header) // 2],
    }
    for number in range(count):
        first = number % _DIFFERENT * ROWS
        yield f"{number:05d}.csv", poison.get(number) or header + b"".join(loans[first : first + ROWS])


def score_many(live: LiveSite, daemon: Daemon, count: int, dropping_seconds: float, patience: float) -> Figures:
    """Drop files evenly over some seconds, wait until the last came to its end, and measure."""
    begun = time.monotonic()
    for number, (name, content) in enumerate(make_files(count)):
        live.drop(name, content)
        time.sleep(max(begun + number * dropping_seconds / count - time.monotonic(), 0))
    dropped = time.monotonic()
    claimed = None
    while True:
        assert daemon.process.poll() is None, daemon.log.read_text()[-3000:]
        if claimed is None and not any(live.layout.inbox.iterdir()):
            claimed = time.monotonic() - dropped
        batches = read_all(live, count)
        states = Counter(batch.state for batch in batches)
        if states[State.DONE] + states[State.FAILED] == count:
            break
        assert time.monotonic() - begun < patience, f"{states}\n{daemon.log.read_text()[-3000:]}"
        time.sleep(0.2 if count < 1000 else 1.0)
    seconds = time.monotonic() - begun
    assert claimed is not None
    groups = {batch.group for batch in batches}
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return Figures(count, dropped - begun, claimed, seconds, peak, dict(states), len(groups - {""}))


def read_all(live: LiveSite, count: int) -> list[Batch]:
    """Give the batches that the journal knows, up to twice as many as there should be."""
    with closing(Journal(StateLayout(Path(live.site.state)).journal, read_only=True)) as journal:
        return journal.latest(2 * count)


def check_published_once(live: LiveSite, count: int) -> None:
    """Prove that all files but three were published once, whole, and the three set aside with a reason."""
    poison = {f"{number:05d}" for number in (count // 4, count // 2, 3 * count // 4)}
    good = {f"{number:05d}" for number in range(count)} - poison
    layout = live.layout
    published = {path.name for path in layout.outbox.iterdir() if not path.name.endswith(".report.html")}
    kinds = ("predictions.csv", "rejects.csv", "receipt.json")
    wanted = {f"{name}.{kind}" for name in good for kind in kinds}
    assert published == wanted, f"missing: {sorted(wanted - published)[:9]}, besides: {sorted(published - wanted)[:9]}"
    seen = set()
    sent = dict(make_files(count))
    for name in good:
        receipt = read_receipt(layout.result(name, "receipt.json"))
        assert receipt.input_sha256 == hashlib.sha256(sent[f"{name}.csv"]).hexdigest()
        assert (receipt.rows_in, receipt.scored, receipt.rejected) == (ROWS, ROWS, 0)
        assert layout.result(name, "predictions.csv").read_bytes().count(b"\n") == ROWS + 1
        seen.add(receipt.batch)
    assert len(seen) == len(good)
    failed = {path.name for path in layout.failed.iterdir()}
    assert {name for name in failed if name.endswith(".csv") and not name.endswith(".rejects.csv")} == {
        f"{name}.csv" for name in poison
    }
    assert {f"{name}.csv.error.txt" for name in poison} <= failed
    assert not list(layout.inbox.iterdir())
    assert not list(layout.batches.glob("group-*"))
    assert {path.name for path in layout.archive.rglob("*.csv")} == {f"{name}.csv" for name in good}
