"""The data contract: which columns a lender's file has, what their values mean, and which role each plays.

Read from TOML for training; carried inside each published model from then on, so that a file is always judged by the
contract of the model that scores it.
"""

import math
from collections import Counter
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import msgspec

from scoring.errors import ContractError

FORMAT = 1

OUTPUT_COLUMNS = ("row_number", "pd", "score", "band", "decision", "model_version")
"""Names that scoring itself writes."""

REFERENCE = Path(__file__).with_name("reference_contract.toml")
"""The contract of the reference loans, which `loans generate` writes and new sites start from."""


class Role(StrEnum):
    """What a column is for."""

    ID = "id"
    """Echoed byte for byte; never seen by a model."""
    FEATURE = "feature"
    """An input of the model."""
    TARGET = "target"
    """The label, in histories only; `positive` is the text that means default."""
    MONITOR = "monitor"
    """Never a model input; used to watch how a model treats groups (age, for example)."""


class Type(StrEnum):
    """How the text of a value is read."""

    TEXT = "text"
    """Bytes as they are."""
    NUMBER = "number"
    """A finite decimal number; spaces and tabs around it are ignored."""
    INTEGER = "integer"
    """A number without a fractional part (`7` and `7.0` alike)."""
    CATEGORY = "category"
    """One of `categories`; spaces and tabs around it are ignored."""


class Policy(StrEnum):
    """What becomes of a row with a missing value or an unknown category."""

    ALLOW = "allow"
    """The model has an answer for it."""
    REJECT = "reject"
    """The row is rejected, and says so."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column of the lender's files."""

    name: str
    """As in the header, byte for byte."""
    role: Role
    """What it is for."""
    type: Type = Type.TEXT
    """How its text is read."""
    minimum: float | None = None
    """Smallest accepted number (inclusive)."""
    maximum: float | None = None
    """Largest accepted number (inclusive)."""
    categories: tuple[str, ...] = ()
    """The accepted texts; their order is the code that a model sees (0, 1, ...)."""
    missing: Policy = Policy.ALLOW
    """Whether a missing value is accepted (the model imputes) or rejects the row."""
    unknown: Policy = Policy.REJECT
    """Whether a text outside `categories` is accepted (code = number of categories) or rejects the row."""
    positive: str = ""
    """For the target: the text that means default."""
    about: str = ""
    """For people: unit and meaning."""

    @property
    def is_numeric(self) -> bool:
        """Tell whether values are numbers."""
        return self.type in (Type.NUMBER, Type.INTEGER)


class Contract(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    dict=True,
):
    """All columns of a lender's files, in the order in which a model takes its features."""

    format: int
    """Version of this very format."""
    name: str
    """What the loans are called."""
    columns: tuple[Column, ...]
    """Every column that is known; others in a file are tolerated and ignored."""
    missing_texts: tuple[str, ...] = ("",)
    """Texts that mean "no value", after spaces and tabs around them are taken away."""
    encoding: str = "utf-8"
    """The encoding of the files: `utf-8`, or one that Python knows by name."""

    def _with_role(self, role: Role) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role is role)

    @cached_property
    def ids(self) -> tuple[Column, ...]:
        """Columns echoed to the output."""
        return self._with_role(Role.ID)

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """Columns of the model's float32 matrix, in its order."""
        return self._with_role(Role.FEATURE)

    @cached_property
    def monitors(self) -> tuple[Column, ...]:
        """Columns that only watch."""
        return self._with_role(Role.MONITOR)

    @cached_property
    def target(self) -> Column | None:
        """The label's column, where the contract names one."""
        return next(iter(self._with_role(Role.TARGET)), None)

    @cached_property
    def required(self) -> tuple[Column, ...]:
        """Columns that a file to be scored must have."""
        return self.ids + self.features


def load_contract(path: Path) -> Contract:
    """Read a contract from a TOML file.

    Raises ContractError with every problem that the file has, named at once.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ContractError(
            f"The contract {path} cannot be read: {error.strerror}.",
            "Name another as `contract` under [training] in the site file; `loans contract infer` proposes one.",
        ) from error
    try:
        contract = msgspec.toml.decode(content, type=Contract)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError(
            f"The contract {path} does not read as a contract: {error}.",
            "Correct it there; `loans contract infer` shows what one looks like.",
        ) from error
    problems = find_problems(contract)
    if problems:
        raise ContractError(
            f"The contract {path} has {len(problems)} problem(s): {'; '.join(problems)}.", "Correct it."
        )
    return contract


def find_problems(contract: Contract) -> list[str]:
    """List everything that makes a contract unusable, in words; an empty list means it can be used."""
    problems = []
    if contract.format != FORMAT:
        problems.append(f"its format is {contract.format}, this version reads {FORMAT}")
    repeated = [name for name, count in Counter(column.name for column in contract.columns).items() if count > 1]
    if repeated:
        problems.append(f"named more than once: {', '.join(repeated)}")
    if not contract.features:
        problems.append("no column has the role feature")
    if len([column for column in contract.columns if column.role is Role.TARGET]) > 1:
        problems.append("more than one column has the role target")
    if not _keeps_ascii(contract.encoding):
        problems.append(f"the encoding {contract.encoding} is neither utf-8 nor a single-byte superset of ASCII")
    taken = [column.name for column in contract.ids if column.name in OUTPUT_COLUMNS]
    if taken:
        problems.append(f"an id column has the name of an output column: {', '.join(taken)}")
    if not contract.ids:
        problems.append("no column has the role id")
    problems += [
        f"{column.name}: {text!r} cannot be written in {contract.encoding}"
        for column in contract.columns
        for text in (column.name, *column.categories)
        if not _can_be_written(text, contract.encoding)
    ]
    for column in contract.columns:
        problems += [f"{column.name}: {problem}" for problem in _column_problems(column)]
    return problems


def _keeps_ascii(encoding: str) -> bool:
    """Tell whether an encoding is UTF-8, or one byte a character with ASCII where it belongs."""
    if encoding == "utf-8":
        return True
    try:
        # Each byte alone: an encoding with shift sequences does not decode an escape without what follows.
        low = all(
            bytes([byte]).decode(encoding) == chr(byte) and chr(byte).encode(encoding) == bytes([byte])
            for byte in range(128)
        )
        return low and all(_is_plain(bytes([byte]), encoding) for byte in range(128, 256))
    except (LookupError, UnicodeError):
        return False


def _is_plain(byte: bytes, encoding: str) -> bool:
    """Tell whether a byte beyond ASCII is a character of its own beyond ASCII, or nothing at all."""
    try:
        text = byte.decode(encoding)
    except UnicodeError:
        return len((byte + b"A").decode(encoding, errors="replace")) == 2
    return len(text) == 1 and text >= "\x80" and text.encode(encoding) == byte


def _can_be_written(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (LookupError, UnicodeError):
        return False
    return True


def _column_problems(column: Column) -> list[str]:
    problems = []
    if not column.name:
        problems.append("a column has no name")
    elif column.name != column.name.strip():
        problems.append("its name has spaces around it, which no header can show")
    if any(bound is not None and not math.isfinite(bound) for bound in (column.minimum, column.maximum)):
        problems.append("a bound of its range is not a finite number")
    if column.role is Role.FEATURE and column.type is Type.TEXT:
        problems.append("a feature is a number, an integer or a category, not text")
    if column.type is Type.CATEGORY and column.role is not Role.TARGET and not column.categories:
        problems.append("a category needs its categories")
    if len(set(column.categories)) != len(column.categories):
        problems.append("a category stands twice")
    if any(text != text.strip(" \t") or not text for text in column.categories):
        problems.append("a category is empty or has spaces around it")
    if column.minimum is not None and column.maximum is not None and column.minimum > column.maximum:
        problems.append("its minimum is above its maximum")
    if column.role is Role.TARGET and not column.positive:
        problems.append("the target needs `positive`, the text that means default")
    if column.role is Role.TARGET and (len(column.categories) != 2 or column.positive not in column.categories):
        problems.append("the target needs two `categories`, one of them `positive`")
    return problems
