"""The kinds of filesystem below a folder, from the kernel's list of mounts."""

import os
from pathlib import Path

NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "fuse.ceph", "lustre", "fuse.sshfs", "fuse.glusterfs", "9p"}
)
"""Kinds of filesystem that other hosts write to."""

_MOUNTS = Path("/proc/self/mountinfo")


def is_network_filesystem(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Tell whether other hosts may write to a folder unseen; true when that cannot be told."""
    kind = find_filesystem(folder, mounts)
    return not kind or kind in NETWORK_FILESYSTEMS


def find_filesystem(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Name the kind of filesystem that a folder is on (proc_pid_mountinfo(5)); empty when that cannot be told."""
    try:
        device = folder.stat().st_dev
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""
