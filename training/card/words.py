"""Numbers and metrics as a reader who is no statistician wants them: rounded, with a unit, in a phrase."""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NONE: Final = "\N{EN DASH}"
"""Stands where there is no number."""

MINUS: Final = "\N{MINUS SIGN}"

PER_CENT: Final = "\N{NO-BREAK SPACE}%"
"""A line never ends between a number and this."""


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share (0 to 1) as per cent; a share that is neither 0 nor 1 is never written as 0 % or 100 %."""
    if share is None or not math.isfinite(share):
        return NONE
    smallest = 10.0**-digits
    value = share * 100
    if 0 < value < smallest / 2:
        return f"< {smallest:.{digits}f}{PER_CENT}"
    if 100 - smallest / 2 < value < 100:
        return f"> {100 - smallest:.{digits}f}{PER_CENT}"
    return f"{value:.{digits}f}{PER_CENT}"


def count(number: float) -> str:
    """Write a whole number with thousands apart."""
    return f"{number:,.0f}" if math.isfinite(number) else NONE


def figure(value: float | None, digits: int = 3) -> str:
    """Write a number with fixed decimals."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    # A minus in front of nothing but zeros says something that is not there.
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", MINUS)


def signed(value: float, digits: int = 4) -> str:
    """Write a difference, with its sign."""
    text = figure(abs(value), digits)
    return text if not text.strip("0.") else ("+" if value > 0 else MINUS) + text


def plural(number: int, one: str, many: str = "") -> str:
    """Write a number of things: `1 row`, `2 rows`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def when(created: str) -> str:
    """Write a time (UTC, ISO 8601) as people do; whatever does not look like one stays as it is."""
    day, mark, hour = created.partition("T")
    return f"{day}, {hour[:5]} UTC" if mark and len(hour) >= 5 else created


def shorten(text: str, most: int) -> str:
    """Cut a text to at most `most` characters, with an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1] + "…"


def listed(words: list[str]) -> str:
    """Join words as a sentence does: `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a metric is called and what it says."""

    name: str
    """As people call it."""
    phrase: str
    """What it says, in a phrase."""
    better: str
    """Which way is good, and where it ends."""


METRICS: Final = MappingProxyType(
    {
        "auc": Meaning(
            "AUC",
            "of two loans, one that defaulted and one repaid, how often the defaulted one is ranked as the riskier",
            "0.5 guessing, 1 perfect",
        ),
        "gini": Meaning(
            "Gini", "the same on a scale that starts at nought: 2 times AUC, less 1", "0 guessing, 1 perfect"
        ),
        "ks": Meaning(
            "KS",
            "at the best possible cut, the share of defaults caught less the share of good loans caught with them",
            "0 guessing, 1 perfect",
        ),
        "average_precision": Meaning(
            "Average precision",
            "going down from the riskiest loan, how pure the defaults are that are found, on average",
            "the share of defaults is guessing, 1 perfect",
        ),
        "accuracy": Meaning("Accuracy", "share of loans called rightly at the threshold", "higher is better"),
        "precision": Meaning(
            "Precision", "of the loans called defaults, the share that did default", "higher is better"
        ),
        "recall": Meaning("Recall", "of the loans that defaulted, the share that was called so", "higher is better"),
        "f1": Meaning("F1", "precision and recall in one number (their harmonic mean)", "0 to 1, higher is better"),
        "log_loss": Meaning(
            "Log loss",
            "how surprised the model is by what happened; sure and wrong costs most",
            "0 perfect, lower is better",
        ),
        "brier": Meaning(
            "Brier score",
            "mean squared distance between the probability and what happened (0 or 1)",
            "0 perfect, lower is better",
        ),
        "ece": Meaning(
            "Calibration error (ECE)",
            "how far foretold shares of default are from those seen, on average",
            "0 perfect, lower is better",
        ),
    }
)
"""Every metric of `training.records.findings.Metrics`, in the order of a card."""

CALIBRATIONS: Final = MappingProxyType(
    {
        "none": "none: the model's own probabilities were the best calibrated",
        "sigmoid": "sigmoid: a smooth S-shaped curve maps the model's output to a probability (Platt scaling)",
        "isotonic": "isotonic: a rising line of straight pieces maps the model's output to a probability",
    }
)
"""What a kind of calibration is."""
