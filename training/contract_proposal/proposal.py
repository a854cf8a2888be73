"""From the profiles of a file's columns to a proposed contract: pure decisions, each with its reason in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scoring.contract import FORMAT, OUTPUT_COLUMNS, Column, Contract, Policy, Role, Type
from scoring.errors import ContractError
from training.contract_proposal.column_profile import ColumnProfile
from training.contract_proposal.column_reading import clear_gaps, count_values, read_column
from training.contract_proposal.header_words import (
    CLEARLY_MISSING,
    guess_positive,
    names_something,
    protected_characteristic,
    rate_target,
)

_LABEL_RATING = 2
"""From this rating on a column of two values is guessed to be the label."""


@dataclass(frozen=True)
class Wishes:
    """What the user knows and a file cannot tell."""

    ids: tuple[str, ...] = ()
    """Id columns; empty: guess."""
    target: str = ""
    """The label's column; empty: guess."""
    positive: str = ""
    """The text that means default; empty: guess."""


@dataclass(frozen=True)
class ProposedColumn:
    """One column of the file, and what is proposed for it."""

    header: str
    """Its name in the file."""
    column: Column | None
    """As in the contract; None: there is no way to read it."""
    why: tuple[str, ...]
    """Reasons, for people."""
    profile: ColumnProfile | None = None
    """What was seen of it."""
    left_out: bool = False
    """Whether it is not part of the contract."""


@dataclass(frozen=True)
class Proposal:
    """A proposed contract."""

    contract: Contract
    """What can be used of it; without target or id where nobody knows them."""
    columns: tuple[ProposedColumn, ...]
    """Every column of the file, in its order."""
    confirm: tuple[str, ...] = ()
    """What was guessed."""
    fill_in: tuple[Role, ...] = ()
    """Roles that the user has to fill in before the contract can be used."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Column and rule → records of the file that the contract rejects."""


def propose_contract(
    name: str, header: Sequence[str], profiles: Sequence[ColumnProfile], wishes: Wishes, encoding: str = "utf-8"
) -> Proposal:
    """Propose a contract for a file with this header, whose well-named columns have these profiles.

    Raises ContractError when what the user named does not fit the file, or nothing is left to learn from.
    """
    known = {profile.name: profile for profile in profiles}
    _check_wishes(wishes, known)
    confirm: list[str] = []
    target = _find_target(known, wishes, confirm)
    missing_texts = _missing_texts(known, target)
    ids = wishes.ids or _guess_ids(known, target, confirm)
    columns: list[ProposedColumn] = []
    warnings: list[str] = []
    for title in dict.fromkeys(header):
        if title not in known:
            columns.append(_unreadable(title, Counter(header)[title]))
        elif target is not None and title == target.name:
            columns.append(ProposedColumn(title, target, (), known[title]))
        elif title in ids:
            columns.append(_propose_id(known[title], warnings))
        else:
            columns.append(_propose_input(known[title], missing_texts))
    fill_in = tuple(role for role, found in ((Role.ID, ids), (Role.TARGET, target)) if not found)
    contract = Contract(FORMAT, name, (), tuple(sorted(missing_texts)), encoding)
    proposal = Proposal(contract, tuple(columns), tuple(confirm), fill_in, tuple(warnings))
    proposal = _with_contract(proposal)
    if not proposal.contract.features:
        reasons = "; ".join(f"{column.header!r}: {', '.join(column.why)}" for column in columns if column.why)
        raise ContractError(f"No column of the file can be a feature of a model: {reasons}.")
    return proposal


def leave_out(proposal: Proposal, reasons: Mapping[str, str]) -> Proposal:
    """Take features (header → why) out of a proposal, unless none would be left; warn of them in either case."""
    if not reasons:
        return proposal
    stay = {column.name for column in proposal.contract.features} <= set(reasons)
    columns = tuple(
        replace(column, left_out=not stay, why=(*column.why, reasons[column.header]))
        if column.header in reasons
        else column
        for column in proposal.columns
    )
    act = "kept, because nothing else is left" if stay else "left out"
    warnings = tuple(f"{header!r} is {act}: {why}." for header, why in reasons.items())
    return _with_contract(replace(proposal, columns=columns, warnings=(*proposal.warnings, *warnings)))


def _with_contract(proposal: Proposal) -> Proposal:
    kept = tuple(
        proposed.column for proposed in proposal.columns if proposed.column is not None and not proposed.left_out
    )
    old = proposal.contract
    return replace(proposal, contract=Contract(old.format, old.name, kept, old.missing_texts, old.encoding))


def _check_wishes(wishes: Wishes, known: Mapping[str, ColumnProfile]) -> None:
    named = [*wishes.ids, *([wishes.target] if wishes.target else [])]
    absent = [name for name in named if name not in known]
    if absent:
        raise ContractError(
            f"The file has no column {', '.join(map(repr, absent))}, or more than one of that name.",
            "Names are compared exactly: upper and lower case matter.",
        )
    if wishes.target in wishes.ids:
        raise ContractError(f"The column {wishes.target!r} cannot be both id and target.")
    taken = [name for name in wishes.ids if name in OUTPUT_COLUMNS]
    if taken:
        raise ContractError(
            f"The column {', '.join(map(repr, taken))} cannot be an id: predictions have a column of that name.",
            "Rename it in the lender's files.",
        )


def _label_values(profile: ColumnProfile) -> dict[str, int]:
    """Give the values of a column as a label has them; empty when there are not two."""
    clear = {text for text in profile.gaps if text.casefold() in CLEARLY_MISSING}
    for missing_texts in (clear, set(profile.gaps)):
        values = count_values(profile, missing_texts)
        if values is not None and len(values) == 2:
            return values
    return {}


def _find_target(known: Mapping[str, ColumnProfile], wishes: Wishes, confirm: list[str]) -> Column | None:
    name = wishes.target
    if name and not _label_values(known[name]):
        values = known[name].counts
        number = "very many" if values is None else f"{len(values):,}"
        raise ContractError(
            f"The column {name!r} has {number} different values; a target has two.",
            "Keep only loans in the file that ended well or badly, with one text for each.",
        )
    if not name:
        name = _guess_target(known, wishes)
        if not name:
            return None
        confirm.append(f"the target is {name!r}")
    values = _label_values(known[name])
    positive = wishes.positive
    if positive and positive not in values:
        raise ContractError(
            f"{positive!r} is not a value of the target {name!r}.", f"Its values are {' and '.join(map(repr, values))}."
        )
    if not positive:
        positive, why = guess_positive(name, values)
        confirm.append(f"{positive!r} in {name!r} means default ({why})")
    others = tuple(value for value in values if value != positive)
    return Column(name, Role.TARGET, Type.CATEGORY, categories=(*others, positive), positive=positive)


def _guess_target(known: Mapping[str, ColumnProfile], wishes: Wishes) -> str:
    best, name = _LABEL_RATING - 1, ""
    for profile in known.values():
        values = _label_values(profile)
        if not values or profile.name in wishes.ids or (wishes.positive and wishes.positive not in values):
            continue
        rating = rate_target(profile.name, values)
        # Among equals the last: labels tend to stand at the end.
        if rating >= max(best, _LABEL_RATING):
            best, name = rating, profile.name
    return name


def _guess_ids(known: Mapping[str, ColumnProfile], target: Column | None, confirm: list[str]) -> tuple[str, ...]:
    fit = [
        profile
        for profile in known.values()
        if profile.unique
        and not profile.gaps
        and profile.whole == profile.numbers
        and profile.name not in OUTPUT_COLUMNS
        and (target is None or profile.name != target.name)
        and not profile.dates
    ]
    named = [profile for profile in fit if names_something(profile.name)]
    first = [profile for profile in fit if profile.name == next(iter(known))]
    texts = [profile for profile in fit if profile.others]
    for found in (named, first, texts):
        if found:
            confirm.append(f"the id is {found[0].name!r} (no value came twice)")
            return (found[0].name,)
    return ()


def _missing_texts(known: Mapping[str, ColumnProfile], target: Column | None) -> set[str]:
    """Give the texts that mean "no value" in any column: the contract has one list of them."""
    label = target.categories if target else ()
    seen = {
        text for name, profile in known.items() if not target or name != target.name for text in clear_gaps(profile)
    }
    return ({""} | seen) - set(label)


def _unreadable(title: str, times: int) -> ProposedColumn:
    why = "it has no name" if not title else f"its name stands {times} times in the header"
    return ProposedColumn(title, None, (why,), left_out=True)


def _propose_id(profile: ColumnProfile, warnings: list[str]) -> ProposedColumn:
    if not profile.unique:
        warnings.append(f"the id {profile.name!r} has values that come more than once")
    return ProposedColumn(profile.name, Column(profile.name, Role.ID), (), profile)


def _propose_input(profile: ColumnProfile, missing_texts: set[str]) -> ProposedColumn:
    reading = read_column(profile, missing_texts)
    protected = protected_characteristic(profile.name)
    law = f"it seems to tell {protected}, which law protects in many countries"
    if reading.type is None:
        why = (law, reading.why) if protected else (reading.why,)
        return ProposedColumn(profile.name, None, why, profile, left_out=True)
    why = (f"{law}: watched, never scored with", reading.why) if protected else (reading.why,)
    role = Role.MONITOR if protected else Role.FEATURE
    column = Column(
        profile.name,
        role,
        reading.type,
        categories=reading.categories,
        missing=Policy.ALLOW,
        unknown=reading.unknown,
    )
    return ProposedColumn(profile.name, column, why, profile)
