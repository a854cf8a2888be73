"""Which files in the inbox are complete: a real folder, and a clock that the test turns."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from inbox_watcher.inbox.arrivals import Arrivals, Sighting, is_left_alone, is_wanted, list_inbox
from scoring.errors import FileRefusedError
from scoring.plain_file import open_plain

SETTLE = 5.0


def ready_names(arrivals: Arrivals, folder: Path, now: float, moved_in: tuple[str, ...] = ()) -> list[str]:
    """Name the files that are ready, of those that the daemon would score."""
    listing = [sighting for sighting in list_inbox(str(folder)).deliveries if sighting.regular]
    return [sighting.name for sighting in arrivals.take_ready(listing, now, moved_in)]


def test_a_file_is_ready_when_it_stood_still(tmp_path: Path) -> None:
    """A file that does not change is ready after the settle time, not before, and is given once."""
    arrivals = Arrivals(SETTLE)
    (tmp_path / "loans.csv").write_bytes(b"id\n1\n")
    assert ready_names(arrivals, tmp_path, 100.0) == []
    assert ready_names(arrivals, tmp_path, 104.9) == []
    assert arrivals.waiting == 1
    assert ready_names(arrivals, tmp_path, 105.0) == ["loans.csv"]
    assert arrivals.waiting == 0


def test_a_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    """A half-written file is not ready while it grows, however long that takes, and only then settles."""
    arrivals = Arrivals(SETTLE)
    path = tmp_path / "loans.csv"
    for moment in range(100, 160, 4):
        with path.open("ab") as file:
            file.write(b"1,2,3\n")
        assert ready_names(arrivals, tmp_path, float(moment)) == []
    assert ready_names(arrivals, tmp_path, 160.9) == []
    assert ready_names(arrivals, tmp_path, 161.0) == ["loans.csv"]


def test_a_rewrite_of_the_same_size_counts_as_change(tmp_path: Path) -> None:
    """Other bytes, or another file under the same name, start the wait again even if the size is the same."""
    arrivals = Arrivals(SETTLE)
    path = tmp_path / "loans.csv"
    path.write_bytes(b"id\n1\n")
    os.utime(path, ns=(10**18, os.stat(path).st_ctime_ns))
    assert ready_names(arrivals, tmp_path, 100.0) == []
    other = tmp_path / ".other"
    other.write_bytes(b"id\n2\n")
    os.utime(other, ns=(10**18, os.stat(path).st_mtime_ns))
    other.rename(path)
    assert ready_names(arrivals, tmp_path, 105.0) == []
    assert ready_names(arrivals, tmp_path, 110.0) == ["loans.csv"]


def test_a_file_renamed_here_is_ready_at_once(tmp_path: Path) -> None:
    """A file that the watcher saw being renamed into its name is complete: nobody renames what he still writes."""
    arrivals = Arrivals(SETTLE)
    path = tmp_path / "loans.csv.part"
    path.write_bytes(b"id\n1\n")
    assert ready_names(arrivals, tmp_path, 100.0) == []
    path.rename(tmp_path / "loans.csv")
    assert ready_names(arrivals, tmp_path, 100.1, ("loans.csv",)) == ["loans.csv"]


def test_a_file_whose_name_is_younger_than_its_content_is_ready_soon(tmp_path: Path) -> None:
    """A file that was written long ago and moved here is ready in the second listing, without the watcher's word."""
    arrivals = Arrivals(SETTLE)
    assert ready_names(arrivals, tmp_path, 99.0) == []
    path = tmp_path / ".loans"
    path.write_bytes(b"id\n1\n")
    written = os.stat(path).st_mtime_ns - 60 * 10**9
    os.utime(path, ns=(written, written))
    path.rename(tmp_path / "loans.csv")
    assert ready_names(arrivals, tmp_path, 100.0) == []
    assert ready_names(arrivals, tmp_path, 100.1) == []
    assert ready_names(arrivals, tmp_path, 100.2) == ["loans.csv"]


@pytest.mark.parametrize("first", [True, False])
def test_an_old_time_does_not_shorten_the_wait(tmp_path: Path, *, first: bool) -> None:
    """A name that the listing before had, or that no listing came before, settles in full whatever its times say.

    utime, chmod, cp -p and unzip make the content of a file look older than its last change as a rename does.
    """
    arrivals = Arrivals(SETTLE, unseen_seconds=40.0)
    path = tmp_path / "loans.csv"
    path.write_bytes(b"id\n1\n")
    if not first:
        assert ready_names(arrivals, tmp_path, 99.0) == []
    os.utime(path, (10**9, 10**9))
    for moment in (100.0, 100.2, 106.0, 139.9):
        assert ready_names(arrivals, tmp_path, moment) == []
    assert ready_names(arrivals, tmp_path, 140.0) == ["loans.csv"]


def test_an_old_time_that_changes_again_does_not_shorten_the_wait(tmp_path: Path) -> None:
    """A new name with an old time counts as moved here only until anything about the file changes."""
    arrivals = Arrivals(SETTLE)
    assert ready_names(arrivals, tmp_path, 99.0) == []
    path = tmp_path / "loans.csv"
    path.write_bytes(b"id\n1\n")
    os.utime(path, (10**9, 10**9))
    assert ready_names(arrivals, tmp_path, 100.0) == []
    with path.open("ab") as file:
        file.write(b"2\n")
    os.utime(path, (10**9, 10**9))
    for moment in (100.2, 100.4, 105.1):
        assert ready_names(arrivals, tmp_path, moment) == []
    assert ready_names(arrivals, tmp_path, 105.3) == ["loans.csv"]


def test_a_file_that_is_open_for_writing_is_not_ready(tmp_path: Path) -> None:
    """However still it stands, and though it was renamed or marked, a file waits until its writer has closed it."""
    writers = {"still.csv", "renamed.csv", "marked.csv"}
    arrivals = Arrivals(SETTLE, is_open=lambda sighting: sighting.name in writers)
    for name in sorted(writers):
        (tmp_path / name).write_bytes(b"id\n1\n")
    (tmp_path / "marked.csv.done").write_bytes(b"")
    assert ready_names(arrivals, tmp_path, 100.0, ("renamed.csv",)) == []
    for moment in (106.0, 200.0):
        assert ready_names(arrivals, tmp_path, moment) == []
    assert arrivals.waiting == 3
    # What is written between the rename and the close belongs to the file that was renamed.
    with (tmp_path / "renamed.csv").open("ab") as file:
        file.write(b"2\n")
    writers.clear()
    assert sorted(ready_names(arrivals, tmp_path, 200.1)) == ["marked.csv", "renamed.csv", "still.csv"]


def test_trouble_while_a_writer_is_looked_for_is_waited_out(tmp_path: Path) -> None:
    """A file of which the storage does not tell whether it is open stays; one that is no plain file is claimed."""
    troubles: list[Exception] = [FileRefusedError("not_a_plain_file", "It is a pipe."), OSError(errno.EIO, "EIO")]

    def is_open(_: Sighting) -> bool:
        raise troubles.pop()

    arrivals = Arrivals(SETTLE, is_open=is_open)
    (tmp_path / "loans.csv").write_bytes(b"id\n1\n")
    assert ready_names(arrivals, tmp_path, 100.0) == []
    assert ready_names(arrivals, tmp_path, 105.0) == []
    assert ready_names(arrivals, tmp_path, 105.2) == ["loans.csv"]


def test_an_old_time_does_not_make_a_growing_file_complete(tmp_path: Path) -> None:
    """A writer that sets an old time before it is done (rsync --inplace --times, Samba) is waited for."""
    arrivals = Arrivals(SETTLE)
    path = tmp_path / "loans.csv"
    path.write_bytes(b"id\n")
    for tick in range(20):
        with path.open("ab") as file:
            file.write(b"1,2,3\n")
        os.utime(path, (10**9, 10**9))
        assert ready_names(arrivals, tmp_path, 100.0 + tick / 5) == []
    assert ready_names(arrivals, tmp_path, 104.0) == []
    assert ready_names(arrivals, tmp_path, 109.0) == ["loans.csv"]


def test_a_cut_file_is_waited_for_longer(tmp_path: Path) -> None:
    """A file that ends within a record outlasts the settle time and is given up after a longer one, looked at again."""
    looked: list[str] = []

    def looks_cut(sighting: Sighting) -> bool:
        looked.append(sighting.name)
        return not (tmp_path / sighting.name).read_bytes().endswith(b"\n")

    arrivals = Arrivals(SETTLE, 60.0, looks_cut)
    path = tmp_path / "loans.csv"
    path.write_bytes(b"id,a\n1,2\n3,")
    for moment in (100.0, 106.0, 130.0, 159.0):
        assert ready_names(arrivals, tmp_path, moment) == []
    assert looked == ["loans.csv"]
    with path.open("ab") as file:
        file.write(b"4")
    for moment in (160.0, 166.0, 219.0):
        assert ready_names(arrivals, tmp_path, moment) == []
    assert ready_names(arrivals, tmp_path, 220.0) == ["loans.csv"]
    assert len(looked) == 3


def test_writes_that_stay_unseen_are_waited_for(tmp_path: Path) -> None:
    """Where another machine may keep its writes to itself, standing still counts after that time; a rename does now."""
    arrivals = Arrivals(1.0, unseen_seconds=40.0)
    assert ready_names(arrivals, tmp_path, 99.0) == []
    written = tmp_path / "written.csv"
    written.write_bytes(b"id\n1\n")
    facts = written.stat()
    (tmp_path / ".renamed").write_bytes(b"id\n1\n")
    time.sleep(0.02)  # the kernel's clock for files ticks slowly
    (tmp_path / ".renamed").rename(tmp_path / "renamed.csv")
    moved = (tmp_path / "renamed.csv").stat()
    assert facts.st_mtime_ns == facts.st_ctime_ns
    assert moved.st_mtime_ns < moved.st_ctime_ns
    assert ready_names(arrivals, tmp_path, 100.0) == []
    assert ready_names(arrivals, tmp_path, 101.0) == ["renamed.csv"]
    (tmp_path / "renamed.csv").unlink()
    assert ready_names(arrivals, tmp_path, 139.9) == []
    assert ready_names(arrivals, tmp_path, 140.0) == ["written.csv"]


def test_a_file_of_which_nothing_is_told_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One name that the storage refuses to look at (EPERM, EIO) is listed as trouble, and the others as ever.

    Where only the look at the name is refused, as an NFS server does, the open file is looked at in its stead.
    """
    for name in ("good.csv", "bad.csv", "closed.csv"):
        (tmp_path / name).write_bytes(b"id\n1\n")

    class Entry:
        def __init__(self, real: os.DirEntry[str]) -> None:
            self.name, self.path, self._real = real.name, real.path, real

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if self.name != "good.csv":
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return self._real.stat(follow_symlinks=follow_symlinks)

    def open_some(path: Path) -> BinaryIO:
        if path.name == "bad.csv":
            raise OSError(errno.EIO, "Input/output error")
        return open_plain(path)

    real = os.scandir

    @contextmanager
    def scan(folder: str) -> Iterator[Iterator[Entry]]:
        with real(folder) as entries:
            yield map(Entry, entries)

    monkeypatch.setattr("inbox_watcher.inbox.arrivals.os.scandir", scan)
    monkeypatch.setattr("inbox_watcher.inbox.arrivals.open_plain", open_some)
    listing = list_inbox(str(tmp_path))
    assert sorted(sighting.name for sighting in listing.deliveries) == ["closed.csv", "good.csv"]
    assert all(sighting.regular and sighting.size == 5 for sighting in listing.deliveries)
    assert listing.troubles == {"bad.csv": "Input/output error"}


def test_a_look_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    """While it is not known whether a file ends too early, it is not complete, and the question is asked again."""
    answers = [False, None, None]
    arrivals = Arrivals(SETTLE, 60.0, lambda _: answers.pop())
    (tmp_path / "loans.csv.gz").write_bytes(b"packed")
    for moment in (100.0, 105.0, 105.2):
        assert ready_names(arrivals, tmp_path, moment) == []
    assert ready_names(arrivals, tmp_path, 105.4) == ["loans.csv.gz"]


def test_a_file_that_cannot_be_looked_at_is_left_for_the_next_listing(tmp_path: Path) -> None:
    """Trouble of the storage while looking at a file's end loses nothing: it is looked at again."""
    troubles: list[Exception] = [OSError(errno.ESTALE, "Stale"), FileRefusedError("not_a_plain_file", "It is a pipe.")]

    def looks_cut(_: Sighting) -> bool:
        if troubles:
            raise troubles.pop()
        return False

    arrivals = Arrivals(SETTLE, 60.0, looks_cut)
    (tmp_path / "loans.csv").write_bytes(b"id\n1\n")
    for moment in (100.0, 105.0, 105.2):
        assert ready_names(arrivals, tmp_path, moment) == []
    assert ready_names(arrivals, tmp_path, 105.4) == ["loans.csv"]


def test_a_sidecar_makes_its_file_ready(tmp_path: Path) -> None:
    """NAME.done says that NAME is complete; one that is older than the file belonged to another and says nothing."""
    path = tmp_path / "loans.csv"
    (tmp_path / "loans.csv.done").write_bytes(b"")
    time.sleep(0.02)  # the kernel's clock for files ticks slowly
    path.write_bytes(b"id\n1\n")
    assert ready_names(Arrivals(SETTLE), tmp_path, 100.0) == []
    (tmp_path / "other.csv.done").write_bytes(b"")
    (tmp_path / "loans.csv.done").unlink()
    (tmp_path / "loans.csv.done").write_bytes(b"")
    assert ready_names(Arrivals(SETTLE), tmp_path, 100.0) == ["loans.csv"]
    assert list_inbox(str(tmp_path)).orphans == ["other.csv"]


def test_a_sidecar_that_is_no_plain_file_says_nothing(tmp_path: Path) -> None:
    """A link or a folder called NAME.done does not make NAME ready, and is never read."""
    (tmp_path / "a.csv").write_bytes(b"id\n1\n")
    (tmp_path / "b.csv").write_bytes(b"id\n1\n")
    (tmp_path / "a.csv.done").symlink_to(tmp_path / "b.csv")
    (tmp_path / "b.csv.done").mkdir()
    assert ready_names(Arrivals(SETTLE), tmp_path, 100.0) == []


def test_a_word_on_another_file_makes_none_ready(tmp_path: Path) -> None:
    """That one file was renamed here says nothing of its neighbour."""
    arrivals = Arrivals(SETTLE)
    (tmp_path / "half.csv").write_bytes(b"id\n")
    assert ready_names(arrivals, tmp_path, 100.0, ("whole.csv",)) == []


def test_a_file_that_was_taken_back_is_forgotten(tmp_path: Path) -> None:
    """A file that disappears and comes again has to settle again."""
    arrivals = Arrivals(SETTLE)
    path = tmp_path / "loans.csv"
    path.write_bytes(b"id\n1\n")
    assert ready_names(arrivals, tmp_path, 100.0) == []
    kept = path.rename(tmp_path / ".kept")
    assert ready_names(arrivals, tmp_path, 103.0) == []
    assert arrivals.waiting == 0
    kept.rename(path)
    assert ready_names(arrivals, tmp_path, 106.0) == []


def test_what_is_no_plain_file_is_never_ready(tmp_path: Path) -> None:
    """A symbolic link, a pipe and a folder and a file with a second name are listed as what they are."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"id\n1\n")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "link.csv").symlink_to(outside / "secret")
    (inbox / "dangling.csv").symlink_to(outside / "nothing")
    os.mkfifo(inbox / "pipe.csv")
    (outside / "linked").write_bytes(b"id\n1\n")
    os.link(outside / "linked", inbox / "second name.csv")
    (inbox / "folder.csv").mkdir()
    listing = list_inbox(str(inbox)).deliveries
    assert {sighting.name for sighting in listing} == {
        "link.csv",
        "dangling.csv",
        "pipe.csv",
        "second name.csv",
        "folder.csv",
    }
    assert not any(sighting.regular for sighting in listing)


@pytest.mark.parametrize("name", [".loans.csv", "loans.csv.part", "loans.csv.tmp", "loans.csv.done", "LOANS.CSV.PART"])
def test_unfinished_names_are_left_alone(tmp_path: Path, name: str) -> None:
    """A name that says `not yet` or `not me` is not even listed."""
    (tmp_path / name).write_bytes(b"id\n1\n")
    assert list_inbox(str(tmp_path)).deliveries == []
    assert is_left_alone(name)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a.csv", True), ("A.CSV", True), ("a.csv.gz", True), ("a.Csv.Gz", True), ("a.gz", False), ("a.xlsx", False)],
)
def test_only_csv_is_wanted(name: str, *, wanted: bool) -> None:
    """What is scored is told by the end of the name, upper or lower case alike."""
    assert is_wanted(name) is wanted


def test_names_of_any_bytes_are_listed(tmp_path: Path) -> None:
    """A name that is not UTF-8 is listed, and leads back to its bytes."""
    name = b"Kr\xe9dit\n$(Process).csv"
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(b"id\n1\n")
    assert [os.fsencode(sighting.name) for sighting in list_inbox(str(tmp_path)).deliveries] == [name]


def test_a_missing_inbox_is_told(tmp_path: Path) -> None:
    """An inbox that cannot be listed is trouble of the storage, never an empty inbox."""
    with pytest.raises(FileNotFoundError):
        list_inbox(str(tmp_path / "inbox"))
