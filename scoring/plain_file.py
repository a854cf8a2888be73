"""Plain files alone: what is read where strangers may have put it, and what a result may appear as."""

import errno
import os
import stat
import threading
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec

from scoring.errors import FileRefusedError, ProofError

_NOT_PLAIN = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR)
"""What open(2) says of symbolic links, sockets, devices and folders."""


def open_plain(path: Path) -> BinaryIO:
    """Open for reading, unbuffered: a link is not followed, a pipe is not waited for, a second name is refused.

    What is judged is the open file, not its name. Raises FileRefusedError for anything but a plain file with one
    name, OSError as the storage does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_PLAIN:
            raise _refusal() from error
        raise
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
        return os.fdopen(descriptor, "rb", buffering=0)
    os.close(descriptor)
    raise _refusal()


def _refusal() -> FileRefusedError:
    return FileRefusedError(
        "not_a_plain_file",
        "This is no plain file with one name: a link, a second name of another file, a pipe or a device.",
        "Send a copy of the file itself.",
    )


def refuse_odd_source(path: Path) -> None:
    """Refuse to read, by a name that a person gave, what is no plain file; a link to one is followed.

    Raises FileRefusedError, OSError as the storage does.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FileRefusedError("not_a_plain_file", f"{path} is no plain file.", "Save its content as a file first.")
    _refuse_odd_name(path)


def refuse_odd_target(path: Path) -> None:
    """Refuse a name under which no result can appear: without a folder, or of something else than a plain file.

    Raises FileRefusedError, OSError as the storage does.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileRefusedError(
            "no_folder", f"There is no folder {folder} for {path.name}.", "Make it first, or name another place."
        )
    try:
        plain = stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        plain = bool(path.name)
    if not plain:
        raise FileRefusedError(
            "not_a_plain_file", f"{path} is a folder, a link or a device, and is not replaced.", "Name another -o."
        )
    _refuse_odd_name(path)


def _refuse_odd_name(path: Path) -> None:
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise FileRefusedError(
            "name_not_utf8", "The name of the file, or of a folder that it is in, is not UTF-8.", "Rename it."
        ) from error


class Formatted(Protocol):
    """A document that tells the version of its own format."""

    @property
    def format(self) -> int:
        """Version of the format."""


_Document = TypeVar("_Document", bound=Formatted)


_lock = threading.Lock()
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[_Document]) -> "msgspec.json.Decoder[_Document]":
    """Give the decoder of a type, built once: msgspec crashes when several threads are the first to decode one type."""
    with _lock:
        if kind not in _decoders:
            _decoders[kind] = msgspec.json.Decoder(kind)
        return _decoders[kind]


def read_document(path: Path, kind: type[_Document], what: str, wanted: int) -> _Document:
    """Read a document that has to be of the `wanted` format; `what` names it in the error.

    Raises ProofError when it does not read, OSError as the storage does.
    """
    try:
        document = _decoder(kind).decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofError(f"The {what} {path} does not read: {error}.") from error
    if document.format != wanted:
        raise ProofError(f"The {what} {path} has format {document.format}; this version reads {wanted}.")
    return document
