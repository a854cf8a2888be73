"""What a machine has to give to a pool."""

import os
import socket
from pathlib import Path

import pytest

from local_pool import machine
from local_pool.errors import PoolError

MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 0:40 / /mnt/shared rw,relatime - nfs4 server:/export rw
23 22 0:41 / /mnt/shared/two\\040words rw - xfs /dev/vdb rw
24 21 0:42 / /home rw - ext4 /dev/vdc rw
25 21 0:43 / /home rw - tmpfs none rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/pool", "ext4"),
        ("/mnt/shared/pool", "nfs4"),
        ("/mnt/shared", "nfs4"),
        ("/mnt/sharedness", "ext4"),
        ("/mnt/shared/two words/pool", "xfs"),
        ("/home/ana", "tmpfs"),
    ],
)
def test_file_system_of_a_folder(path: str, kind: str) -> None:
    """The innermost mount counts, and of two on the same point the later one."""
    assert machine.file_system_of(Path(path), MOUNTS) == kind


def test_port_in_use_is_not_free() -> None:
    """A port is free until somebody listens on it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not machine.is_port_free(server.getsockname()[1])
    assert machine.is_port_free(machine.find_free_port())


def test_memory_for_jobs_leaves_some_for_the_rest() -> None:
    """Jobs get less than the machine has."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
    assert 0 < machine.job_memory_mb() < whole


def test_root_is_called_otherwise_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedd takes no job from an owner called root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.queue_user() == "loans"


def test_ordinary_user_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user with an account starts the daemons plainly."""
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert machine.as_ordinary_user(["condor_master"]) == ["condor_master"]


def test_root_without_namespaces_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where root may not make a user namespace, the error says what to do instead, and shows the kernel's word."""
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PoolError) as caught:
        machine.as_ordinary_user(["condor_master"])
    sentence, kernel, nearer, *rest = str(caught.value).splitlines()
    assert sentence == (
        "HTCondor cannot run on this machine: HTCondor does not run as root, and this machine refuses a user namespace."
    )
    assert "Operation not permitted" in kernel
    assert nearer == "Run it as an ordinary user: that needs no namespace."
    assert any("condor_config" in line for line in rest)
