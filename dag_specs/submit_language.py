"""Values in HTCondor's submit language, so that none of them can break out of its place.

Three layers read a line of a submit description one after the other: the line itself (a newline ends
it, a backslash at its end continues it), macros (`$(NAME)`, `$ENV(NAME)`, `$$(NAME)`), and the syntax
of the value.  The first two cannot be escaped alike in descriptions, DAG files and DAGMan's own
submit file, so what could act there is refused; the third is quoted.  See "Submitting jobs" and
`condor_submit` in HTCondor's manual.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from dag_specs.errors import DescriptionError

_IDENTIFIER = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,199}")
_HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._:-]{0,252}[0-9A-Za-z])?")
_VARIABLE = re.compile(r"[A-Za-z_][0-9A-Za-z_]*")
_RENAME = "Rename the file or folder, or point the site file at another one."


def check_identifier(value: str, what: str) -> str:
    """Return `value` if it is an id of ours: 1 to 200 letters, digits, `.`, `_`, `-`, the first a letter or digit.

    `what` names it in the error.  Raises DescriptionError.
    """
    if not _IDENTIFIER.fullmatch(value):
        raise DescriptionError(
            f"The {what} {value!r} cannot be told to HTCondor.",
            "It has to consist of at most 200 ASCII letters, digits, dots, dashes and underscores.",
        )
    return value


def check_host(value: str) -> str:
    """Return `value` if it is the name or address of a machine (at most 254 characters).  Raises DescriptionError."""
    if not _HOST.fullmatch(value):
        raise DescriptionError(f"The machine {value!r} cannot be told to HTCondor: that is no host name.")
    return value


def check_number(value: int, what: str, least: int = 0) -> int:
    """Return `value` if it is a whole number from `least` up.  Raises DescriptionError."""
    # Whatever calls itself a number gets into the text by its own words.
    if type(value) is not int or value < least:
        raise DescriptionError(f"The {what} is {value!r}: it has to be a whole number from {least} up.")
    return value


def check_text(value: str, what: str) -> str:
    """Return `value` if it can stand in a line of a submit description.  Raises DescriptionError.

    Refused are control characters and line ends of any alphabet, `$` (macros), `"` (ends a quoted value),
    blanks at either end (HTCondor drops them), a backslash at the end (joins the next line), and what
    is not valid Unicode.
    """
    if reason := _objection(value):
        raise DescriptionError(f"The {what} {value!r} cannot be told to HTCondor: {reason}.", _RENAME)
    return value


def check_path(path: Path, what: str) -> str:
    """Return `path` as text if it is absolute and can stand in a submit description.  Raises DescriptionError."""
    if not path.is_absolute():
        raise DescriptionError(f"The {what} {str(path)!r} has to be an absolute path.", _RENAME)
    return check_text(str(path), what)


def _objection(value: str) -> str:
    if not value:
        return "it is empty"
    if "$" in value:
        return 'it holds a "$", which HTCondor would take for a macro'
    if '"' in value:
        return "it holds a double quote"
    if value != value.strip():
        return "it begins or ends with a blank"
    if value.endswith("\\"):
        return "it ends with a backslash"
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value):
        return "it holds a line end, another control character or a byte that is not UTF-8"
    return ""


def quote_arguments(arguments: Iterable[str]) -> str:
    """Return the value of `arguments` for a job: the "new" syntax, in double quotes.

    Raises DescriptionError for an argument that `check_text` refuses; an empty argument is fine.
    """
    return '"' + " ".join(_quote_word(argument, "argument") for argument in arguments) + '"'


def quote_environment(variables: Mapping[str, str]) -> str:
    """Return the value of `environment` for a job: the "new" syntax, in double quotes, in the order given.

    Raises DescriptionError for a name that no shell would take or a value that `check_text` refuses.
    """
    return '"' + join_environment(variables) + '"'


def join_environment(variables: Mapping[str, str]) -> str:
    """Return what stands between the double quotes of an `environment`, as `quote_environment`."""
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise DescriptionError(f"{name!r} is not the name of an environment variable.")
    return " ".join(f"{name}={_quote_word(value, f'value of {name}')}" for name, value in variables.items())


def _quote_word(word: str, what: str) -> str:
    if not word:
        return "''"
    check_text(word, what)
    # Blanks and single quotes are all that is special in there once double quotes are refused.
    if any(character.isspace() for character in word) or "'" in word:
        return "'" + word.replace("'", "''") + "'"
    return word


def quote_string(value: str, what: str) -> str:
    """Return `value` as a string of the ClassAd language, for a job's own attributes.  Raises DescriptionError."""
    return '"' + check_text(value, what).replace("\\", "\\\\") + '"'


def join_lines(pairs: Iterable[tuple[str, str | int]]) -> str:
    """Return submit commands as text, one `name = value` per line."""
    return "".join(f"{name} = {value}\n" for name, value in pairs)


# What makes a thread pool as soon as it is loaded, unless told otherwise; each takes all cores of the machine.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def job_environment(threads: str) -> Mapping[str, str]:
    """Return the variables of a job that takes a number of threads, or a submit macro's number of them."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"} | dict.fromkeys(_THREADS, threads)
