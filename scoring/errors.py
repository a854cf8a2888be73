"""What a user can cause, as sentences: what happened, to which file, row or job, and the way out."""

import errno


class LoansError(Exception):
    """A failure that a person can act on.

    `str(error)` is its first line: what happened and to what. `way_out` is what to do about it.
    """

    def __init__(self, what: str, way_out: str = "") -> None:
        """Keep one sentence on what happened and, where there is one, the way out."""
        super().__init__(what)
        self.what = what
        self.way_out = way_out

    def explain(self) -> str:
        """Give the whole text for a person: one line first, then the way out."""
        return f"{self.what}\n{self.way_out}" if self.way_out else self.what


def describe_defect(error: BaseException) -> str:
    """Say of an unexpected error which it is and where it arose; its own text may quote a loan and is left out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "an unknown place" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__} at {place}"


class FileRefusedError(LoansError):
    """A whole input file cannot be scored; `code` names the rule for programs."""

    def __init__(self, code: str, what: str, way_out: str = "", line: int | None = None) -> None:
        """Add to the sentence a stable code and, where one is to blame, the physical line (1-based)."""
        super().__init__(what, way_out)
        self.code = code
        self.line = line


class ContractError(LoansError):
    """A data contract is not usable as written."""


class ModelError(LoansError):
    """A model version is missing, altered, or does not fit its contract; `code`, where there is one, names the rule."""

    def __init__(self, what: str, way_out: str = "", code: str = "") -> None:
        """Add to the sentence a stable code for programs."""
        super().__init__(what, way_out)
        self.code = code


class ProofError(LoansError):
    """Parts, plan or results do not add up: something was lost, doubled or altered."""


class StorageError(LoansError):
    """The storage refused a read or a write that has to succeed."""


REFUSALS = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
"""What storage says that will not let this account write or read (errno), for a while or for good."""

TRANSIENT = REFUSALS | {errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT}
"""What shared storage in trouble says (errno): no file's fault, waited for as long as it takes.

An export that was made read-only says EROFS. A kernel NFS server (7.2) says EPERM of a file of another account for as
long as the machine that wrote it keeps its content to itself (a write delegation), two minutes when it is left alone.
"""


def is_storage_trouble(error: BaseException) -> bool:
    """Tell whether an error is trouble of the storage that may pass, not a fault of a file, a model or a plan."""
    return isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno in TRANSIENT)
