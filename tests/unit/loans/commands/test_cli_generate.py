"""`loans generate`: the same seed, the same bytes."""

import os
from pathlib import Path

from scoring.contract import REFERENCE, load_contract
from tests.unit.loans.conftest import Loans


def test_the_same_seed_gives_the_same_bytes(loans: Loans) -> None:
    """Two runs with one seed write the same file, another seed another one."""
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        ran = loans("generate", 100, "-o", name, "--seed", seed)
        assert (ran.code, ran.out) == (0, "")
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    assert Path("a.csv").read_bytes() != Path("c.csv").read_bytes()
    assert len(Path("a.csv").read_text().splitlines()) == 101


def test_the_label_is_there_only_when_asked_for(loans: Loans) -> None:
    """Without `--labelled` the file is what a lender sends; with it, what a model learns from."""
    contract = load_contract(REFERENCE)
    names = [column.name for column in contract.columns]
    loans("generate", 5, "-o", "plain.csv")
    loans("generate", 5, "-o", "labelled.csv", "--labelled")
    plain = Path("plain.csv").read_text().splitlines()
    labelled = Path("labelled.csv").read_text().splitlines()
    assert contract.target is not None
    assert plain[0].split(",") == [name for name in names if name != contract.target.name]
    assert labelled[0].split(",") == names
    assert [line.rpartition(",")[0] for line in labelled[1:]] == plain[1:]


def test_a_file_that_cannot_be_written_is_told(loans: Loans) -> None:
    """A folder that is not there, a folder or a device in its place end in a sentence, and stay as they are."""
    ran = loans("generate", 5, "-o", "nowhere/loans.csv")
    assert (ran.code, ran.reason) == (1, f"There is no folder {Path('nowhere').absolute()} for loans.csv.")
    Path("pipe.csv").symlink_to("/dev/null")
    for place in (".", "pipe.csv", "/dev/null"):
        ran = loans("generate", 5, "-o", place)
        assert (ran.code, ran.reason) == (1, f"{place} is a folder, a link or a device, and is not replaced.")
    assert Path("/dev/null").is_char_device()
    assert Path("pipe.csv").is_symlink()
    ran = loans("generate", 5, "-o", os.fsdecode(b"Kr\xe9dit.csv"))
    assert (ran.code, ran.reason) == (1, "The name of the file, or of a folder that it is in, is not UTF-8.")


def test_no_rows_are_a_header(loans: Loans) -> None:
    """Zero loans are a file with a header."""
    assert loans("generate", 0, "-o", "none.csv").code == 0
    assert Path("none.csv").read_text().count("\n") == 1
