"""`loans contract infer`: a proposal on disk, told to people and to programs."""

from pathlib import Path

import pytest

from scoring.contract import load_contract
from tests.other_lender import HEADER, write_loans
from tests.unit.loans.conftest import Loans

WORDS = ("contract", "infer", "labelled.csv", "-o", "contract.toml")


@pytest.fixture(autouse=True)
def _labelled(_alone: None) -> None:
    Path("labelled.csv").write_bytes(write_loans(300, 4))


def test_what_was_guessed_is_told(loans: Loans) -> None:
    """Without names the terminal and the file both say what has to be confirmed; no site is needed."""
    ran = loans(*WORDS)
    assert (ran.code, ran.out) == (0, "")
    text = Path("contract.toml").read_text()
    for guess in ("the target is 'Outcome'", "'bad' in 'Outcome' means default", "the id is 'Loan Ref'"):
        assert f"CONFIRM: {guess}" in ran.err
        assert f"# CONFIRM: {guess}" in text
    assert "ROOT/contract.toml" in ran.err
    assert load_contract(Path("contract.toml")).target is not None


def test_what_was_named_is_not_asked_again(loans: Loans) -> None:
    """With id, target and default named there is nothing to confirm; ids may be several."""
    named = ("--id", "Loan Ref", "--id", "Branch No", "--target", "Outcome", "--positive", "bad")
    ran = loans(*WORDS, *named)
    assert ran.code == 0
    assert "CONFIRM" not in ran.err
    assert [column.name for column in load_contract(Path("contract.toml")).ids] == ["Loan Ref", "Branch No"]


def test_programs_get_the_facts(loans: Loans) -> None:
    """`--json` tells of every column what it was taken for, and no loan's text."""
    facts = loans("--json", *WORDS, "--target", "Outcome").json
    assert (facts["rows"], facts["separator"], facts["usable"]) == (300, ";", True)
    assert [column["name"] for column in facts["columns"]] == list(HEADER)
    roles = {column["name"]: column["role"] for column in facts["columns"]}
    assert (roles["Loan Ref"], roles["Amount"], roles["Applicant Age"], roles["Notes"]) == (
        "id",
        "feature",
        "monitor",
        None,
    )
    assert facts["contract"] == str(Path("contract.toml").absolute())


def test_nothing_is_overwritten(loans: Loans) -> None:
    """A second run leaves the first one's contract, which a person may have mended, alone."""
    assert loans(*WORDS).code == 0
    Path("contract.toml").write_text("mended")
    ran = loans(*WORDS)
    assert (ran.code, ran.reason) == (1, "contract.toml exists already and was left alone.")
    assert Path("contract.toml").read_text() == "mended"
    assert sorted(path.name for path in Path().iterdir()) == ["contract.toml", "labelled.csv"]


def test_a_site_tells_where_the_contract_belongs(loans: Loans, root: Path) -> None:
    """Where there is a site its own folder is named; one that was named and is not there is told."""
    assert f"in the place of {root / 'contract.toml'}" in loans(*WORDS).err
    ran = loans("--site", "other.toml", *WORDS)
    assert (ran.code, ran.reason) == (1, "There is no site file at other.toml.")


def test_troubles_end_in_words(loans: Loans) -> None:
    """A column that is not there, or a file, is told in a sentence; no text of a loan is."""
    ran = loans(*WORDS, "--target", "Notes")
    assert (ran.code, ran.reason) == (1, "The column 'Notes' has 300 different values; a target has two.")
    assert "came by" not in ran.err
    assert loans("contract", "infer", "none.csv", "-o", "c.toml").reason == "There is no file none.csv."
    assert loans("contract", "infer", "labelled.csv").code == 2
