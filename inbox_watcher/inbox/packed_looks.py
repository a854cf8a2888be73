"""Whether packed files in the inbox are all there: they are read to their end, beside the listing of the inbox."""

from concurrent.futures import Future, ThreadPoolExecutor
from os import fstat
from pathlib import Path
from typing import BinaryIO

from scoring.csv.gzip_input import is_packed_cut
from scoring.plain_file import open_plain


class PackedLooks:
    """Looks at one packed file after the other, in a thread of its own: a large one takes seconds, and others wait."""

    def __init__(self, max_unpacked_bytes: int) -> None:
        """Give a file up as too large where its refusal would."""
        self._max_bytes = max_unpacked_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gzip")
        self._looks: dict[str, tuple[tuple[int, int, int], Future[bool]]] = {}

    def is_cut(self, path: Path) -> bool | None:
        """Tell whether a file's end is missing; None until it was read. A file that changed is read again.

        Raises FileRefusedError for anything but a plain file, OSError as the storage does.
        """
        file = open_plain(path)
        facts = fstat(file.fileno())
        this = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        known = self._looks.get(path.name)
        if known is None or known[0] != this:
            if known is not None:
                known[1].cancel()
            self._looks[path.name] = this, self._thread.submit(self._read, file)
            return None
        file.close()
        if not known[1].done():
            return None
        del self._looks[path.name]
        return known[1].result()

    def _read(self, file: BinaryIO) -> bool:
        with file:
            return is_packed_cut(file, self._max_bytes)

    def forget_absent(self, names: set[str]) -> None:
        """Forget the files of the inbox that are gone."""
        for name in self._looks.keys() - names:
            self._looks.pop(name)[1].cancel()
