"""What the words of a column's header, and of its values, hint at: names, outcomes, protected characteristics, gaps.

Hints only: whatever is guessed by them is marked in the proposal, and a person confirms it.
"""

import re
from collections.abc import Mapping
from typing import Final


def _texts(listed: str) -> frozenset[str]:
    return frozenset(listed.split("|"))


NAMING: Final = frozenset({"id", "ids", "uuid", "guid", "key", "ref", "reference", "nr", "nummer"})
"""Words in the header of a column that names a loan, an applicant, a branch."""

_NUMBER_OF: Final = frozenset({"no", "num", "number"})
"""Words that name a loan beside one of `_NAMED`, and count things beside any other (`number_of_dependants`)."""

_NAMED: Final = frozenset({"account", "application", "case", "contract", "customer", "client", "file", "loan", "row"})

OUTCOME_HEADERS: Final = _texts(
    "target|label|outcome|class|y|status|loan status|bad|is bad|bad flag|bad loan|good bad|default|defaulted"
    "|is default|default flag|loan default|charged off|chargeoff|repaid|paid back|not fully paid|risk|credit risk"
    "|creditability|seriousdlqin2yrs|serious dlqin2yrs"
)
"""Whole headers of labels, in words."""

OUTCOME_WORDS: Final = frozenset({"default", "defaulted", "outcome", "target", "label", "bad", "repaid", "chargeoff"})
"""Single words in headers of labels."""

GOOD_HEADERS: Final = frozenset({"repaid", "paid", "good", "performing"})
"""Words in headers of labels where "yes" means that the loan was good."""

BAD_VALUES: Final = _texts(
    "1|1.0|yes|y|true|t|bad|default|defaulted|in default|charged off|chargeoff|written off|write off|late|delinquent"
    "|overdue|arrears|loss|lost|npl|non performing|not paid|unpaid|not repaid|failed|high"
)
"""Texts that mean default."""

GOOD_VALUES: Final = _texts(
    "0|0.0|no|n|false|f|good|paid|fully paid|paid off|repaid|performing|current|ok|non default|no default"
    "|not defaulted|closed|low"
)
"""Texts that mean that a loan was repaid."""

_YES: Final = frozenset({"1", "1.0", "yes", "y", "true", "t"})
_NO: Final = frozenset({"0", "0.0", "no", "n", "false", "f"})

_PROTECTED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("age", "alter"), "age"),
    **dict.fromkeys(("sex", "gender", "geschlecht", "male", "female", "salutation"), "sex"),
    **dict.fromkeys(("birth", "born", "dob", "birthday", "birthdate", "geburtsdatum", "birthyear"), "age"),
    **dict.fromkeys(("marital", "married", "marriage", "spouse", "familienstand", "divorced"), "marital status"),
    **dict.fromkeys(("race", "ethnic", "ethnicity"), "ethnic origin"),
    **dict.fromkeys(("nationality", "citizenship", "citizen", "immigrant", "foreign"), "national origin"),
    **dict.fromkeys(("religion", "religious", "faith"), "religion"),
    **dict.fromkeys(("disability", "disabled", "pregnant", "pregnancy"), "health"),
}
"""Words in headers → the characteristic that lending law protects in many countries (after ECOA, 12 CFR 1002.2(z),
and the EU's Charter, article 21)."""

_AGE_OF_THINGS: Final = _texts(
    "account|accounts|asset|building|business|car|collateral|company|credit|device|file|firm|history|home|house|loan"
    "|property|trade|vehicle"
)
"""Beside one of these the word "age" means no person's."""

CLEARLY_MISSING: Final = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "(null)", "?", "\\n"})
"""Texts (case folded) that databases and statistics programs write for "no value", whatever the column."""

PERHAPS_MISSING: Final = frozenset({"none", "nil", "n.a.", "-", "--", ".", "missing", "unknown", "not available"})
"""Texts (case folded) that mean "no value" among numbers, and may be a category among texts."""

_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN = re.compile(r"[\W_]+")


def split_words(text: str) -> tuple[str, ...]:
    """Give the words of a header or value, case folded: at capitals, underscores, spaces and marks."""
    return tuple(word for word in _BETWEEN.split(_CAPITALS.sub(" ", text).casefold()) if word)


def names_something(header: str) -> bool:
    """Tell whether a header is that of an id."""
    words = set(split_words(header))
    return bool(words & NAMING) or bool(words & _NUMBER_OF and words & _NAMED)


def protected_characteristic(header: str) -> str:
    """Give the protected characteristic that a header speaks of; empty for none."""
    words = split_words(header)
    found = [(word, _PROTECTED[word]) for word in words if word in _PROTECTED]
    if set(words) & _AGE_OF_THINGS:
        found = [(word, what) for word, what in found if word != "age"]
    return found[0][1] if found else ""


def rate_target(header: str, values: Mapping[str, int]) -> int:
    """Say how much a column of two values looks like a label, from 0: by its header, by its values."""
    words = split_words(header)
    kinds = {_kind(value) for value in values}
    telling = kinds == {"good", "bad"} and not {value.casefold() for value in values} & (_YES | _NO)
    return (
        3 * (" ".join(words) in OUTCOME_HEADERS)
        + 2 * telling
        + bool(set(words) & OUTCOME_WORDS)
        + (words[-1:] == ("status",))
    )


def guess_positive(header: str, values: Mapping[str, int]) -> tuple[str, str]:
    """Guess which of two values (value → rows) means default; give it and why."""
    rarer, other = sorted(values, key=lambda value: (values[value], value))
    positive, why = _by_words(header, rarer, other)
    if positive and values[positive] > values[other if positive == rarer else rarer]:
        why += ", although it is the more frequent one"
    if positive:
        return positive, why
    return rarer, "it is the rarer one" if values[rarer] < values[other] else "no word and no count tells them apart"


def _by_words(header: str, rarer: str, other: str) -> tuple[str, str]:
    folded = {value.casefold(): value for value in (rarer, other)}
    no = next((value for text, value in folded.items() if text in _NO), "")
    if no and set(folded) & _YES and set(split_words(header)) & GOOD_HEADERS:
        return no, "the header speaks of good loans"
    if not no and set(folded) & {"1", "1.0"}:
        return "", ""  # 1 and 2, say: a code, not a word
    for value, beside in ((rarer, other), (other, rarer)):
        kind, against = _kind(value), _kind(beside)
        if kind == "bad" and against != "bad":
            return value, "by its word"
        if against == "good" and kind != "good":
            return value, "by the word of the other value"
    return "", ""


def _kind(value: str) -> str:
    text = " ".join(split_words(value)) if len(value) > 1 else value.casefold()
    if value.casefold() in BAD_VALUES or text in BAD_VALUES:
        return "bad"
    return "good" if value.casefold() in GOOD_VALUES or text in GOOD_VALUES else ""
