"""How files arrive: slowly, cut, twice, with a sidecar, renamed into place; each is taken when it is whole, once."""

import gzip
import hashlib
import os
import time

from inbox_watcher.batch.batch import FINAL, Batch, State
from tests.integration.impatient_site import TRUNCATED_SECONDS
from tests.integration.impatient_site import daemon as daemon  # noqa: PLC0414 - a fixture is found by its name here
from tests.integration.impatient_site import live as live  # noqa: PLC0414
from tests.integration.impatient_site import loans as loans  # noqa: PLC0414
from tests.integration.site_fixtures import Daemon, LiveSite
from tests.integration.trained import trained as trained  # noqa: PLC0414 - a fixture is found by its name here


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
    cut = {"left.csv": loans[:-12], "left packed.csv.gz": gzip.compress(loans)[:-12]}
    for name, content in cut.items():
        (live.layout.inbox / name).write_bytes(content)
    begun = time.monotonic()
    daemon.wait(lambda: any(map(live.is_finished, cut)), "the end of the first")
    assert time.monotonic() - begun >= TRUNCATED_SECONDS
    daemon.wait(lambda: all(map(live.is_finished, cut)), "the end of both")
    reasons = [batch.reason for name in cut if (batch := live.batch_of(name))]
    assert "(line 51) [truncated]" in reasons[0]
    assert reasons[1].startswith("The gzip file ends too early: its end is missing. [truncated]")


def test_a_packed_file_that_is_written_slowly_is_not_refused(live: LiveSite, daemon: Daemon, loans: bytes) -> None:
    """A writer of a .csv.gz that stalls, longer than files take to settle, is waited for as well."""
    packed = gzip.compress(loans)
    path = live.layout.inbox / "slow packed.csv.gz"
    with path.open("wb", buffering=0) as file:
        for stop in (5, 300, len(packed) - 3):
            file.write(packed[file.tell() : stop])
            time.sleep(live.site.inbox.settle_seconds * 4)
            assert path.exists()
        file.write(packed[-3:])
    daemon.wait(lambda: live.is_finished(path.name), "the end")
    (batch,) = [batch for batch in live.batches() if batch.name == b"slow packed.csv.gz"]
    assert (batch.state, batch.scored) == (State.DONE, 50)


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
