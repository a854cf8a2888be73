"""Which file of a history was refused: the reader sees one file at a time, and says what is wrong, not with which."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scoring.errors import FileRefusedError, LoansError


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Name the history file in whatever is refused of it.

    Raises FileRefusedError as the block does, LoansError where there is no such file, or it is a folder.
    """
    try:
        yield
    except FileRefusedError as error:
        raise FileRefusedError(
            error.code, f"The history file {path} cannot be learnt from. {error.what}", error.way_out, error.line
        ) from error
    except FileNotFoundError as error:
        raise LoansError(
            f"There is no history file {path}.",
            "Name one that is there, with --history or under [training] in the site file.",
        ) from error
    except IsADirectoryError as error:
        raise LoansError(
            f"The history file {path} is a folder.",
            "Name the files in it, with --history or under [training] in the site file.",
        ) from error
