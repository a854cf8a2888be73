"""Whether a file is open for writing: asked of the kernel, about files of this process and of another one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inbox_watcher.inbox.open_files import is_open_for_writing
from scoring.errors import FileRefusedError


def test_a_writer_of_this_process_is_seen(tmp_path: Path) -> None:
    """A file counts as open from the first write to the last close; readers do not count."""
    path = tmp_path / "loans.csv"
    with path.open("wb") as first:
        assert is_open_for_writing(path)
        with path.open("ab"):
            first.close()
            assert is_open_for_writing(path)
    with path.open("rb"):
        assert not is_open_for_writing(path)


def test_a_writer_of_another_process_is_seen(tmp_path: Path) -> None:
    """A file that another process holds open is open until that process ends, also after a rename."""
    path = tmp_path / "loans.csv"
    code = "import sys; file = open(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".new")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        (tmp_path / ".new").rename(path)
        assert is_open_for_writing(path)
        writer.communicate(b"")
    assert not is_open_for_writing(path)


def test_a_writer_that_comes_while_it_is_asked_ends_nobody(tmp_path: Path) -> None:
    """The signal that announces a new writer to the holder of the lease does not end the daemon."""
    code = (
        "import os, sys, threading; from pathlib import Path; "
        "from inbox_watcher.inbox.open_files import is_open_for_writing;"
        "path = Path(sys.argv[1]); path.touch(); stop = threading.Event();\n"
        "def write():\n"
        "    while not stop.is_set():\n"
        "        os.close(os.open(path, os.O_WRONLY))\n"
        "thread = threading.Thread(target=write); thread.start()\n"
        "found = {is_open_for_writing(path) for _ in range(3000)}\n"
        "stop.set(); thread.join(); print('alive')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "loans.csv")],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """A link or a pipe is not opened."""
    (tmp_path / "link.csv").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("link.csv", "pipe.csv"):
        with pytest.raises(FileRefusedError):
            is_open_for_writing(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        is_open_for_writing(tmp_path / "none.csv")
