"""A contract as text: whatever it holds reads back as it was."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from scoring.contract import Column, Contract, Role, Type
from training.contract_proposal.proposal import Proposal, ProposedColumn
from training.contract_proposal.text import quote, write_contract


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_reads_back(text: str) -> None:
    """A quoted text stands on one line, shows no control character, and reads back as it was."""
    quoted = quote(text)
    assert quoted.isprintable()
    assert tomllib.loads(f"x = {quoted}") == {"x": text}
    assert tomllib.loads(f"# {quoted}\nx = 1") == {"x": 1}


def test_a_long_list_stands_on_lines_of_its_own() -> None:
    """Many categories are written one a line, and no comment runs beyond the page."""
    column = Column("c", Role.FEATURE, Type.CATEGORY, categories=tuple(f"category {number}" for number in range(50)))
    contract = Contract(1, "any", (Column("id", Role.ID), column))
    columns = tuple(ProposedColumn(each.name, each, ("a reason " * 40,)) for each in contract.columns)
    text = write_contract(Proposal(contract, columns, warnings=("beware",)), "a\nfile.csv", "\t")
    assert max(map(len, text.splitlines())) <= 120
    assert tomllib.loads(text)["columns"][1]["categories"] == list(column.categories)
    assert '"a\\nfile.csv"' in text
    assert "# WARNING: beware" in text
