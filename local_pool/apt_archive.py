"""The distribution's own HTCondor packages, fetched with apt from where this machine's apt fetches.

No address is written here: `apt-get indextargets` tells the archive that the machine is set up
with.  Everything happens in a private state folder, so the machine's package lists and installed
packages stay untouched and no privilege is needed.  apt checks the archive's signature against the
machine's own keyring and each package against the signed list, as for an installation.

Debian 12 does not package HTCondor and Debian 13 does, so 12 and older take the packages of 13
(suite trixie) from the same archive.  That suite is signed with the keys of 12 as well as of 13,
so the keyring of Debian 12 verifies it without an update.  Where no key of the machine verifies
it, apt refuses, and so do we: the way out is the newest debian-archive-keyring.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_pool.errors import no_pool_here

_FIRST_DEBIAN_WITH_HTCONDOR = 13
_KEYRINGS = {
    "Debian": Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    "Ubuntu": Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}
# What the daemons never load: the closure stops at these, else it brings Python, Perl and a desktop's fonts.
_LEFT_OUT_PREFIXES = ("libjs-", "libperl", "libpython", "libboost-python")
_LEFT_OUT_SUFFIXES = ("-perl", "-common", "-data")
_KEYRING_WAY_OUT = (
    "The archive's key is newer than this machine's keyring: update the package with the archive's keyring."
)
# Hooks of the machine's apt may empty caches or call services; they have no business with a private state folder.
_NO_HOOKS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
"""


@dataclass(frozen=True, slots=True)
class IndexTarget:
    """One list of packages that the machine's apt is set up with."""

    site: str
    """The archive's address, as apt names it."""
    release: str
    """The suite as the machine's sources name it: a codename or a class such as `stable`."""
    component: str
    """`main`, `universe`, ..."""
    origin: str
    """Who made it, from its signed Release file; empty before the machine's first `apt-get update`."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Where to take the HTCondor packages from."""

    site: str
    """The archive's address."""
    suite: str
    """The suite's codename."""
    components: str
    """Separated by spaces."""
    keyring: Path | None
    """The keyring that must have signed the suite; None means the machine's trusted keys."""

    def source_line(self) -> str:
        """Return the line of a `sources.list` for this archive."""
        option = f"[signed-by={self.keyring}] " if self.keyring else ""
        return f"deb {option}{self.site} {self.suite} {self.components}\n"


def parse_index_targets(text: str) -> tuple[IndexTarget, ...]:
    """Return the package lists in the output `text` of `apt-get indextargets`, in its order, without repeats."""
    targets: dict[IndexTarget, None] = {}
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if fields.get("Created-By") == "Packages" and "Site" in fields:
            target = IndexTarget(
                site=fields["Site"],
                release=fields.get("Release", ""),
                component=fields.get("Component", ""),
                origin=fields.get("Origin", ""),
            )
            targets.setdefault(target)
    return tuple(targets)


def parse_os_release(text: str) -> dict[str, str]:
    """Return the settings in the `text` of an os-release file."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def choose_archives(targets: Iterable[IndexTarget], os_release: Mapping[str, str]) -> tuple[Archive, ...]:
    """Return the archives that may hold HTCondor for this machine, likeliest first; empty when there is none.

    `targets` are what the machine's apt is set up with, `os_release` is what the machine says it is.
    """
    own_suite = os_release.get("VERSION_CODENAME", "")
    if os_release.get("ID") == "debian":
        origin, components = "Debian", "main"
        number = os_release.get("VERSION_ID", "").partition(".")[0]
        # Debian testing and unstable have no number; they package HTCondor themselves.
        old = number.isdigit() and int(number) < _FIRST_DEBIAN_WITH_HTCONDOR
        suite = "trixie" if old else own_suite
    elif os_release.get("ID") == "ubuntu" or "UBUNTU_CODENAME" in os_release:
        origin, components = "Ubuntu", "main universe"
        own_suite = suite = os_release.get("UBUNTU_CODENAME", own_suite)
    else:
        return ()
    keyring = _KEYRINGS[origin]
    own_names = {own_suite, "oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"}
    # Before the first `apt-get update` apt does not know who made an archive, only which suites it is to take.
    fitting = (
        target
        for target in targets
        if target.component == "main" and target.release in own_names and target.origin in ("", origin)
    )
    return tuple(
        Archive(site, suite, components, keyring if keyring.exists() else None)
        for site in dict.fromkeys(target.site for target in fitting)
    )


def package_closure(depends: str, roots: Iterable[str]) -> tuple[str, ...]:
    """Return the packages that HTCondor's daemons need: `roots` and the libraries under them, sorted.

    `depends` is the output of `apt-cache depends --recurse`: a package's name at the margin,
    its dependencies indented below it.
    """
    edges: dict[str, list[str]] = {}
    current: list[str] = []
    for line in depends.splitlines():
        if not line.startswith((" ", "|")):
            current = edges.setdefault(line.strip(), [])
        else:
            name = line.rpartition(":")[2].strip() if "Depends: " in line else line.strip()
            if not name.startswith("<"):
                current.append(name)
    found: set[str] = set()
    waiting = [root for root in roots if root in edges]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(below for below in edges.get(name, ()) if _is_library(below))
    return tuple(sorted(found))


def _is_library(name: str) -> bool:
    return name.startswith("lib") and not name.startswith(_LEFT_OUT_PREFIXES) and not name.endswith(_LEFT_OUT_SUFFIXES)


def find_archives() -> tuple[Archive, ...]:
    """Return the archives of this machine's apt that may hold HTCondor, likeliest first.

    Raises `PoolError` when the machine has no apt or dpkg, or its apt names no archive of Debian or Ubuntu.
    """
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise no_pool_here(f"it has no condor_master, and no {tool} to fetch one with")
    listing = _run(["apt-get", "indextargets"])
    try:
        os_release = parse_os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    except OSError:
        os_release = {}
    archives = choose_archives(parse_index_targets(listing.stdout), os_release)
    if not archives:
        system = os_release.get("PRETTY_NAME", "an unknown system")
        raise no_pool_here(f"it has no condor_master, and apt on {system} names no archive that packages one")
    return archives


def download(archive: Archive, work: Path) -> tuple[Path, ...]:
    """Fetch HTCondor's packages and the libraries they need from `archive` into `work`; return the files.

    `work` is an existing private folder.  Raises `PoolError` when the archive cannot be reached or
    verified, or does not have HTCondor; the details are apt's own words.
    """
    for name in ("state/lists/partial", "cache/archives/partial", "debs"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "state" / "status").touch()
    (work / "sources.list").write_text(archive.source_line(), encoding="utf-8")
    (work / "apt.conf").write_text(_NO_HOOKS, encoding="utf-8")
    options = [f"--config-file={work / 'apt.conf'}"]
    for key, value in {
        "Dir::State": work / "state",
        "Dir::State::status": work / "state" / "status",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        # As root apt would become a user of its own, who cannot enter a private folder.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "true",
    }.items():
        options += ["-o", f"{key}={value}"]
    updated = _run(["apt-get", *options, "-q", "update"])
    if updated.returncode != 0:
        raise no_pool_here(
            f"apt could not read the package list of suite {archive.suite}",
            details=_complaints(updated),
            way_out=_KEYRING_WAY_OUT if "NO_PUBKEY" in updated.stderr + updated.stdout else "",
        )
    walk = ["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-enhances"]
    walk += ["--no-conflicts", "--no-breaks", "--no-replaces"]
    # Debian 13 calls the package condor; other releases have called it htcondor.
    for root in ("condor", "htcondor"):
        packages = package_closure(_run(["apt-cache", *options, *walk, root]).stdout, [root])
        if packages:
            break
    else:
        raise no_pool_here(f"suite {archive.suite} has no HTCondor package")
    fetched = _run(["apt-get", *options, "-q", "download", *packages], cwd=work / "debs")
    if fetched.returncode != 0:
        raise no_pool_here("apt could not fetch HTCondor's packages", details=_complaints(fetched))
    return tuple(sorted((work / "debs").glob("*.deb")))


def _run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    # LC_ALL: the words are looked at, and shown in one language with ours.
    env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _complaints(result: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W:"))]
    return "\n".join(lines or result.stderr.splitlines())[:2000]
