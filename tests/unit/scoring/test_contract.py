"""The data contract: the reference is sound, and whatever would go wrong later is refused when it is read."""

import encodings.aliases
from pathlib import Path

import msgspec
import pytest

from scoring.contract import REFERENCE, Column, Contract, Policy, Role, Type, find_problems, load_contract
from scoring.errors import ContractError

ID = Column("id", Role.ID)
NUMBER = Column("amount", Role.FEATURE, Type.NUMBER)


def problems_of(*columns: Column, encoding: str = "utf-8", version: int = 1) -> list[str]:
    """List the problems of a contract of these columns."""
    return find_problems(Contract(version, "made up", columns, encoding=encoding))


def test_reference_contract_is_sound() -> None:
    """The contract that ships with the product has no problem, 11 required columns, and keeps age from the model."""
    contract = load_contract(REFERENCE)
    assert find_problems(contract) == []
    assert [column.name for column in contract.ids] == ["id"]
    assert len(contract.features) == 10
    assert [column.name for column in contract.monitors] == ["person_age"]
    assert contract.required == contract.ids + contract.features
    assert contract.target is not None
    assert (contract.target.name, contract.target.positive) == ("loan_status", "1")


def test_small_contract_is_sound() -> None:
    """An id and one feature are enough, and there is no target then."""
    assert problems_of(ID, NUMBER) == []
    assert Contract(1, "made up", (ID, NUMBER)).target is None


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ((ID,), "no column has the role feature"),
        ((NUMBER,), "no column has the role id"),
        ((ID, NUMBER, NUMBER), "named more than once: amount"),
        ((Column("pd", Role.ID), NUMBER), "an id column has the name of an output column: pd"),
        ((Column("row_number", Role.ID), NUMBER), "an id column has the name of an output column: row_number"),
        ((ID, Column("", Role.FEATURE, Type.NUMBER)), ": a column has no name"),
        ((ID, Column("a", Role.FEATURE)), "a: a feature is a number, an integer or a category, not text"),
        ((ID, Column("a", Role.FEATURE, Type.CATEGORY)), "a: a category needs its categories"),
        ((ID, Column("a", Role.FEATURE, Type.CATEGORY, categories=("x", "x"))), "a: a category stands twice"),
        ((ID, Column("a", Role.FEATURE, Type.CATEGORY, categories=("",))), "a: a category is empty or has spaces"),
        ((ID, Column("a", Role.FEATURE, Type.CATEGORY, categories=("x ",))), "a: a category is empty or has spaces"),
        ((ID, Column("a", Role.FEATURE, Type.NUMBER, minimum=2, maximum=1)), "a: its minimum is above its maximum"),
        (
            (ID, NUMBER, Column("t", Role.TARGET, Type.CATEGORY, categories=("0", "1"))),
            "t: the target needs `positive`",
        ),
        (
            (ID, NUMBER, Column("t", Role.TARGET, Type.CATEGORY, categories=("0", "1", "2"), positive="1")),
            "t: the target needs two `categories`",
        ),
        (
            (
                ID,
                NUMBER,
                *(Column(name, Role.TARGET, Type.CATEGORY, categories=("0", "1"), positive="1") for name in "tu"),
            ),
            "more than one column has the role target",
        ),
    ],
)
def test_each_problem_is_found(columns: tuple[Column, ...], problem: str) -> None:
    """Each way to make a contract unusable is told in words."""
    assert any(found.startswith(problem) for found in problems_of(*columns)), problems_of(*columns)


def test_other_format_is_a_problem() -> None:
    """A contract of a format that this version does not know is not read as if it were of this one."""
    assert problems_of(ID, NUMBER, version=2) == ["its format is 2, this version reads 1"]


def test_column_name_that_no_header_can_show_is_a_problem() -> None:
    """Spaces around names in a header do not count, so a name with spaces around it could never be found."""
    assert problems_of(ID, Column(" amount", Role.FEATURE, Type.NUMBER))


@pytest.mark.parametrize("bound", [{"minimum": float("nan")}, {"maximum": float("nan")}])
def test_range_that_holds_no_number_is_a_problem(bound: dict[str, float]) -> None:
    """A bound that is not a number would reject every row."""
    assert problems_of(ID, msgspec.structs.replace(NUMBER, **bound))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "iso8859-15", "cp437"])
def test_usual_encodings_are_accepted(encoding: str) -> None:
    """UTF-8 and the single-byte encodings that lenders' systems write can be declared."""
    assert problems_of(ID, NUMBER, encoding=encoding) == []


@pytest.mark.parametrize(
    "encoding",
    ["utf-16", "utf-7", "utf-8-sig", "shift_jis", "gb18030", "cp037", "rot13", "hex", "no such", "", "mac_arabic"],
)
def test_other_encodings_are_a_problem(encoding: str) -> None:
    """What is not a single-byte superset of ASCII cannot be declared."""
    assert any("the encoding" in problem for problem in problems_of(ID, NUMBER, encoding=encoding))


def test_every_accepted_encoding_gives_bytes_back() -> None:
    """In each encoding of Python's that a contract accepts, bytes come back as they were and none poses as ASCII."""
    accepted = 0
    for encoding in sorted(set(encodings.aliases.aliases.values())):
        if problems_of(ID, NUMBER, encoding=encoding) or encoding == "utf_8":
            continue
        accepted += 1
        for byte in range(256):
            try:
                text = bytes([byte]).decode(encoding)
            except UnicodeDecodeError:
                assert byte > 127
                continue
            assert text.encode(encoding) == bytes([byte]), encoding
            assert text.isascii() == (byte < 128), (encoding, byte)
    assert accepted > 20


def test_category_that_the_encoding_cannot_write_is_a_problem() -> None:
    """A category outside the declared encoding could never come in a file, nor be named in a reject."""
    column = Column("town", Role.FEATURE, Type.CATEGORY, categories=("Łódź", "Köln"))
    assert problems_of(ID, column) == []
    assert any("town" in problem for problem in problems_of(ID, column, encoding="cp1252"))


def test_file_is_read_with_every_problem_named(tmp_path: Path) -> None:
    """All problems of a contract file are told in one error."""
    path = tmp_path / "contract.toml"
    path.write_text(
        'format = 3\nname = "x"\nencoding = "utf-16"\n[[columns]]\nname = "a"\nrole = "feature"\ntype = "category"\n'
    )
    with pytest.raises(ContractError) as refused:
        load_contract(path)
    for part in ("its format is 3", "utf-16", "a: a category needs its categories"):
        assert part in refused.value.what


@pytest.mark.parametrize(
    "content",
    [b"", b"format = ", b"\xff", b'format = 1\nname = "x"\ncolumns = []\nextra = 1\n', b'format = "1"\nname = 1\n']
)  # fmt: skip
def test_what_is_no_contract_is_refused(tmp_path: Path, content: bytes) -> None:
    """Broken TOML, unknown keys and wrong types are a sentence that names the file, not a traceback."""
    path = tmp_path / "contract.toml"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=r"contract\.toml"):
        load_contract(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A contract that is not there is a sentence with a way out."""
    with pytest.raises(ContractError) as refused:
        load_contract(tmp_path / "none.toml")
    assert refused.value.way_out


def test_contract_survives_the_manifest() -> None:
    """A contract that is written into a manifest and read again is the same."""
    contract = Contract(
        1,
        "made up",
        (ID, NUMBER, Column("c", Role.FEATURE, Type.CATEGORY, categories=("é",), unknown=Policy.ALLOW)),
        ("", "NA"),
        "latin-1",
    )
    assert msgspec.json.decode(msgspec.json.encode(contract), type=Contract) == contract
