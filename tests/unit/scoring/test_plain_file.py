"""Opening a file that strangers may have put there."""

import os
import socket
import threading
from pathlib import Path

import pytest

from scoring.errors import FileRefusedError
from scoring.plain_file import open_plain


def test_a_plain_file_is_opened(tmp_path: Path) -> None:
    """A file with one name is opened for reading."""
    (tmp_path / "a").write_bytes(b"abc")
    with open_plain(tmp_path / "a") as file:
        assert file.read() == b"abc"


@pytest.mark.parametrize("kind", ["link", "pipe", "second name", "folder", "socket", "device"])
def test_anything_else_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """A link is not followed, nothing is waited for, and no descriptor is left open."""
    path = tmp_path / "a"
    (tmp_path / "secret").write_bytes(b"secret")
    if kind == "link":
        path.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "second name":
        os.link(tmp_path / "secret", path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    else:
        path = Path("/dev/null")
    before = len(os.listdir("/proc/self/fd"))
    found: list[BaseException] = []

    def try_it() -> None:
        try:
            open_plain(path)
        except FileRefusedError as error:
            found.append(error)

    thread = threading.Thread(target=try_it, daemon=True)
    thread.start()
    thread.join(5)
    assert [getattr(error, "code", "") for error in found] == ["not_a_plain_file"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_trouble_of_the_storage_is_passed_on(tmp_path: Path) -> None:
    """A file that is not there is no refusal."""
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "nowhere")
