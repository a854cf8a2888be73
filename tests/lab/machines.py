"""The machines of the lab: User Mode Linux guests, driven through the lab's own `lab` script."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ADDRESSES = {"n1": "10.77.0.11", "n2": "10.77.0.12", "n3": "10.77.0.13", "n4": "10.77.0.14"}
"""n1 serves NFS and is the central manager, n2 the access point, n3 and n4 execute."""

_BOOT = 240
"""How long a machine may take to boot (seconds)."""


class LabError(Exception):
    """The lab, or a command in one of its machines, did not do what it was asked for."""


def find_lab() -> Path:
    """Give the folder of the lab's scripts: `$LOANS_LAB`, else `../shared/lab` beside the checkout."""
    folder = Path(os.environ.get("LOANS_LAB") or REPOSITORY.parent / "shared" / "lab").resolve()
    if not (folder / "lab").is_file():
        raise LabError(
            f"There is no lab in {folder}. Name the folder of its scripts (lab, build-rootfs.sh, ...) in LOANS_LAB."
        )
    if os.geteuid() != 0:
        raise LabError("The lab makes network interfaces and mounts: run it as root.")
    return folder


@dataclass(frozen=True)
class Ran:
    """A command that ended in a machine."""

    code: int
    """Its exit code."""
    out: str
    """What it printed on stdout."""
    err: str
    """What it printed on stderr."""
    seconds: float
    """How long it took, as seen from outside (seconds)."""


class Lab:
    """The lab's scripts, and where they keep their files."""

    def __init__(self, scripts: Path, folder: Path) -> None:
        """Use the lab in `scripts`; disks, logs and the folder shared with all guests lie in `folder`."""
        self.scripts, self.folder = scripts, folder
        self.share = folder / "share"
        self._environment = os.environ | {"LAB": str(folder)}

    def build(self) -> None:
        """Build the guests' disk with the product of this checkout in it (minutes the first time)."""
        source = self.folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        listed = subprocess.run(
            ["/usr/bin/git", "-C", str(REPOSITORY), "ls-files", "-z"], check=True, capture_output=True, text=True
        ).stdout.split("\0")
        for name in filter(None, listed):  # as they stand, committed or not
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, target)
        more = {"SETUP": str(Path(__file__).with_name("install-product.sh")), "SETUP_DIR": str(source), "SIZE": "5G"}
        with (self.folder / "build.log").open("ab") as log:
            for script in ("install-packages.sh", "build-rootfs.sh"):
                done = subprocess.run(
                    ["/bin/bash", str(self.scripts / script)],
                    env=self._environment | more,
                    stdout=log,
                    stderr=log,
                    check=False,
                )
                if done.returncode:
                    raise LabError(f"{script} failed; {log.name} says why.")

    def do(self, *words: str, patience: float = 120.0, keep: bool = False) -> None:
        """Run a command of the `lab` script. Raises LabError when it fails or takes too long."""
        environment = self._environment | ({"KEEP": "1"} if keep else {})
        done = subprocess.run(
            [str(self.scripts / "lab"), *words],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=patience,
        )  # fmt: skip
        if done.returncode:
            raise LabError(f"lab {' '.join(words)} failed: {done.stdout.strip()}")

    def boot(self, *names: str, keep: bool = False, roles: str = "none", memory: str = "1536M") -> None:
        """Start machines and wait until they answer; `keep`: with the disk that they had."""
        for name in names:
            # The guest's output goes to a file, but it holds on to what started it.
            subprocess.Popen(
                [str(self.scripts / "lab"), "start", name, ADDRESSES[name], roles, f"mem={memory}"],
                env=self._environment | ({"KEEP": "1"} if keep else {}),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            ).wait(60)  # fmt: skip
        for name in names:
            self.do("wait", name, str(_BOOT), patience=_BOOT + 30)

    def try_on(self, name: str, script: str, patience: float = 120.0) -> Ran:
        """Run a shell script as root in a machine, and tell how it ended. Raises LabError when it does not end."""
        begun = time.monotonic()
        try:
            done = subprocess.run(
                [str(self.scripts / "lab"), "ssh", name, "bash -s"],
                env=self._environment, input=script, capture_output=True, text=True, check=False, timeout=patience,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{name}: no end after {patience:.0f} s: {script}") from error
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)

    def on(self, name: str, script: str, patience: float = 120.0) -> str:
        """Run a shell script as root in a machine and give what it printed. Raises LabError when it fails."""
        ran = self.try_on(name, f"set -euo pipefail\n{script}", patience)
        if ran.code:
            raise LabError(f"{name}: exit code {ran.code}: {script}\n{ran.out}{ran.err}")
        return ran.out

    def down(self) -> None:
        """Power everything off and remove the network."""
        self.do("down")


def wait_for(happened: Callable[[], bool], what: str, patience: float, pause: float = 1.0) -> float:
    """Wait until something happened; give how long it took (seconds). Raises LabError when it does not."""
    begun = time.monotonic()
    while not happened():
        if time.monotonic() - begun > patience:
            raise LabError(f"{what}: not within {patience:.0f} s")
        time.sleep(pause)
    return time.monotonic() - begun
