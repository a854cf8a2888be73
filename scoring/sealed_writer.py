"""Write and hash in one go: what is sealed is what was written."""

from typing import BinaryIO

from blake3 import blake3

from scoring.part import Sealed


class SealedWriter:
    """Writes to a file and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        """Start with nothing written."""
        self._file = file
        self._hash = blake3()
        self._bytes = 0

    def write(self, content: bytes | memoryview) -> None:
        """Write and hash some bytes. Raises OSError as the storage does."""
        self._file.write(content)
        self._hash.update(content)
        self._bytes += len(content)

    def seal(self) -> Sealed:
        """Tell what was written."""
        return Sealed(self._bytes, self._hash.hexdigest())
