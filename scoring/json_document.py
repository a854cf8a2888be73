"""Reads what scoring writes as JSON: one document of a known kind and format a file."""

from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from scoring.errors import ProofError


class Formatted(Protocol):
    """A document that tells the version of its own format."""

    @property
    def format(self) -> int:
        """Version of the format."""


_Document = TypeVar("_Document", bound=Formatted)


def read_document(path: Path, kind: type[_Document], what: str, wanted: int) -> _Document:
    """Read a document that has to be of the `wanted` format; `what` names it in the error.

    Raises ProofError when it does not read, OSError as the storage does.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofError(f"The {what} {path} does not read: {error}.") from error
    if document.format != wanted:
        raise ProofError(f"The {what} {path} has format {document.format}; this version reads {wanted}.")
    return document
