"""A proposed contract as a commented TOML file that people read and edit."""

from collections.abc import Collection, Iterator, Sequence
from textwrap import wrap

from scoring.contract import Column, Policy, Role, Type
from training.contract_proposal.column_reading import count_values
from training.contract_proposal.proposal import Proposal, ProposedColumn

_WIDTH = 118

_SHORT = {'"': '"', "\\": "\\", "\n": "n", "\r": "r", "\t": "t"}
"""Marks that TOML escapes with one letter."""

_HOW_TO_READ = """\
role     id        echoed to the output byte for byte, never seen by a model
         feature   an input of the model
         target    the label, in histories only; `positive` is the text that means default
         monitor   never a model input; only for watching how a model treats groups
type     text, number, integer (a number without a fractional part) or category
minimum, maximum   accepted range (inclusive); a row outside it is rejected. None is proposed: what was seen says
                   nothing of next month's loans. Add one where a value outside it can only be a mistake.
missing  allow (the model imputes) or reject
unknown  for a category that is not listed: reject, or allow (the model has an "unknown")
Columns that are not named here are tolerated in a file, and ignored."""


def quote(text: str) -> str:
    """Give a TOML basic string of one line that reads back as exactly this text; it shows no control character."""
    return '"' + "".join(_escape(mark) for mark in text) + '"'


def _escape(mark: str) -> str:
    if mark in _SHORT:
        return "\\" + _SHORT[mark]
    if mark.isprintable():
        return mark
    return f"\\u{ord(mark):04x}" if ord(mark) < 1 << 16 else f"\\U{ord(mark):08x}"


def write_contract(proposal: Proposal, file_name: str, separator: str) -> str:
    """Give the text of the contract's file; the same proposal gives the same text."""
    return "\n".join(_lines(proposal, file_name, separator)) + "\n"


def describe_profile(proposed: ProposedColumn, missing_texts: Collection[str]) -> str:
    """Say in one line what was seen of a column, when `missing_texts` mean "no value"; empty where nothing was."""
    seen = proposed.profile
    if seen is None:
        return ""
    values = count_values(seen, set(missing_texts))
    different = "many different values" if values is None else _plural(len(values), "different value")
    parts = [f"{different} in {_plural(seen.rows, 'row')}"]
    gaps = [text for text in seen.gaps if text in missing_texts]
    if gaps:
        share = sum(seen.gaps[text] for text in gaps) / seen.rows
        parts.append(f"{share:.1%} missing: {', '.join(map(quote, gaps))}")
    if seen.low is not None and seen.high is not None and seen.numbers >= seen.others and not seen.codes:
        parts.append(f"from {seen.low:.12g} to {seen.high:.12g}")
    return "; ".join(parts)


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _lines(proposal: Proposal, file_name: str, separator: str) -> Iterator[str]:
    contract = proposal.contract
    rows = next((column.profile.rows for column in proposal.columns if column.profile), 0)
    yield from _comment(
        f"A proposal for the data contract of {quote(file_name)}, made by `loans contract infer` from all "
        f"{_plural(rows, 'record')} of it (separated by {quote(separator)}). Read it and change what you know better."
    )
    yield "#"
    for role in proposal.fill_in:
        yield from _comment(f"FILL IN: nobody knows the {role} yet; see below. Until then this contract is refused.")
    for guess in proposal.confirm:
        yield from _comment(f"CONFIRM: {guess}.")
    for warning in proposal.warnings:
        yield from _comment(f"WARNING: {warning}")
    for reason, count in proposal.rejected.items():
        yield from _comment(f"WARNING: {_plural(count, 'record')} of the file would be rejected: {reason}.")
    if proposal.fill_in or proposal.confirm or proposal.warnings or proposal.rejected:
        yield "#"
    yield from ("# " + line for line in _HOW_TO_READ.splitlines())
    yield f"format = {contract.format}"
    yield f"name = {quote(contract.name)}"
    if contract.encoding != "utf-8":
        yield f"encoding = {quote(contract.encoding)}"
    if contract.missing_texts != ("",):
        yield '# Texts that mean "no value", in every column; any beside "" makes reading slower.'
        yield f"missing_texts = [{', '.join(quote(text) for text in contract.missing_texts)}]"
    for role in proposal.fill_in:
        yield ""
        yield from _unfilled(role)
    for proposed in proposal.columns:
        yield ""
        yield from _column(proposed, contract.missing_texts)


def _column(proposed: ProposedColumn, missing_texts: Collection[str]) -> Iterator[str]:
    told = describe_profile(proposed, missing_texts)
    if told:
        yield from _comment(told)
    for reason in proposed.why:
        yield from _comment(("Left out: " if proposed.left_out else "") + reason)
    if proposed.column is None:
        yield f"# name = {quote(proposed.header)}"
        return
    sign = "# " if proposed.left_out else ""
    for line in _settings(proposed.column):
        yield sign + line


def _settings(column: Column) -> Iterator[str]:
    yield "[[columns]]"
    yield f"name = {quote(column.name)}"
    yield f"role = {quote(column.role)}"
    if column.role is not Role.ID:
        yield f"type = {quote(column.type)}"
    if column.categories:
        yield from _list("categories", column.categories)
    if column.type is Type.CATEGORY and column.role is not Role.TARGET:
        yield f"unknown = {quote(column.unknown)}"
    if column.missing is not Policy.ALLOW:
        yield f"missing = {quote(column.missing)}"
    if column.positive:
        yield f"positive = {quote(column.positive)}"


def _list(name: str, texts: Sequence[str]) -> Iterator[str]:
    line = f"{name} = [{', '.join(quote(text) for text in texts)}]"
    if len(line) <= _WIDTH:
        yield line
        return
    yield f"{name} = ["
    for text in texts:
        yield f"    {quote(text)},"
    yield "]"


def _unfilled(role: Role) -> Iterator[str]:
    if role is Role.ID:
        yield "# FILL IN: the column that names a loan; its values are echoed to the output."
        yield from ("[[columns]]", 'name = ""', 'role = "id"')
        return
    yield "# FILL IN: the column that tells how a loan ended, its two values, and which of them means default."
    yield "# Where the column stands below already, take it away there."
    yield from ("[[columns]]", 'name = ""', 'role = "target"', 'type = "category"', "categories = []", 'positive = ""')


def _comment(text: str) -> Iterator[str]:
    # A break inside a quoted text would be no harm: every line is a comment of its own.
    yield from wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)
