"""A proposed contract: what is found in a file, that it reads back, and that it accepts the file it came from."""

import csv
import gzip
import io
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.contract import REFERENCE, Contract, Role, Type, load_contract
from scoring.csv.chunks import plan_chunks
from scoring.csv.reader import read_loans
from scoring.csv.source import open_source
from scoring.errors import ContractError, FileRefusedError, LoansError
from tests.other_lender import FEATURES, write_loans
from training.contract_proposal.inference import Inference, infer_contract, infer_proposal
from training.contract_proposal.proposal import Wishes
from training.contract_proposal.text import quote, write_contract
from training.history.generate import generate_loans

NOTHING = Wishes()


def infer(content: bytes, folder: Path, wishes: Wishes = NOTHING, encoding: str = "utf-8") -> tuple[Inference, Path]:
    """Infer a contract from a file of this content."""
    (folder / "loans.csv").write_bytes(content)
    output = folder / "contract.toml"
    return infer_contract(folder / "loans.csv", output, wishes, encoding=encoding), output


def read_by(contract: Contract, path: Path) -> tuple[int, Counter[str]]:
    """Read a file by a contract as training does; give the accepted rows, and the rejected ones by rule."""
    source = open_source(path, contract, labelled=contract.target is not None)
    accepted, rules = 0, Counter[str]()
    for chunk in plan_chunks(source, 1 << 20).chunks:
        for block in read_loans(source, chunk, contract, labelled=contract.target is not None):
            accepted += len(block.rows)
            rules.update(reject.rule for reject in block.rejects)
    return accepted, rules


def make_csv(header: list[str], rows: list[list[str]], separator: str = ",") -> bytes:
    """Write a CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([header, *rows])
    return out.getvalue().encode()


def test_another_lenders_file(tmp_path: Path) -> None:
    """Of 20 columns of a lender unlike the reference each gets the role and type that a person would give it."""
    inference, output = infer(write_loans(2_000, 5), tmp_path, Wishes(("Loan Ref",), "Outcome"))
    contract = load_contract(output)
    assert contract == inference.proposal.contract
    assert [column.name for column in contract.ids] == ["Loan Ref"]
    assert tuple(column.name for column in contract.features) == FEATURES
    assert [column.name for column in contract.monitors] == ["Applicant Age", "Marital Status"]
    assert contract.target is not None
    assert (contract.target.categories, contract.target.positive) == (("good", "bad"), "bad")
    assert set(contract.missing_texts) == {"", "NA", "?", "n/a"}
    types = {column.name: column.type for column in contract.features}
    assert types["Branch No"] is types["Residence"] is Type.CATEGORY
    assert types["Term Months"] is Type.INTEGER
    assert types["Monthly Income"] is types["Worst Arrears Days"] is Type.NUMBER
    left_out = {column.header: column.why for column in inference.proposal.columns if column.left_out}
    assert set(left_out) == {"Opened On", "Notes"}
    assert read_by(contract, tmp_path / "loans.csv") == (2_000, Counter())
    assert inference.proposal.confirm == ("'bad' in 'Outcome' means default (by its word)",)
    assert all(column.minimum is None and column.maximum is None for column in contract.columns)


def test_the_reference_loans_are_understood(tmp_path: Path) -> None:
    """Without a word from the user id, target and default of the reference loans are guessed as they are."""
    content = io.BytesIO()
    generate_loans(3_000, 1, labelled=True, sink=content)
    inference, output = infer(content.getvalue(), tmp_path)
    contract, reference = load_contract(output), load_contract(REFERENCE)
    assert [(column.name, column.role) for column in contract.columns] == [
        (column.name, column.role) for column in reference.columns
    ]
    assert contract.target is not None
    assert contract.target.positive == "1"
    assert len(inference.proposal.confirm) == 3


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two runs on one file write the same contract, and so does the file packed."""
    _, output = infer(write_loans(500, 2), tmp_path)
    first = output.read_bytes()
    output.unlink()
    infer(write_loans(500, 2), tmp_path)
    assert output.read_bytes() == first
    output.unlink()
    packed = tmp_path / "loans.csv.gz"
    packed.write_bytes(gzip.compress(write_loans(500, 2)))
    infer_contract(packed, output, NOTHING)
    assert output.read_bytes() == first.replace(b'"loans.csv"', b'"loans.csv.gz"')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contract.toml", "loans.csv", "loans.csv.gz"]


_TOLD = Wishes(("Loan Ref",), "Outcome")
_TITLES = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
_NAMES = st.one_of(
    _TITLES, st.sampled_from(["id", "status", "age", 'a"b', "back\\slash", "\x7f", "é\u2028", "^x$", "[x]#", "'"])
)
_GAPS = ("", "NA", "null", "?", "-", "none", "unknown")
_LABELS = st.sampled_from([["good", "bad"], ["0", "1"], ["no", "no", "yes"], ["é\n", '"'], ["none", "late", ""]])
_CELLS = (
    st.one_of(st.integers(-9, 99).map(str), st.sampled_from(_GAPS)),
    st.one_of(st.floats(allow_nan=False, width=32).map(repr), st.sampled_from(_GAPS)),
    st.sampled_from(["a b", 'q"', "\\", "#", "é", "x\ny", "\t\x01", "\x7f", "' '", "A", " A ", "", "NA", "none"]),
    st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(["007", "7", "2020-01-31", "1,5", "12 %", "nan", "1e999", "1e39", "x"]),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], Wishes]:
    """Give a header of any names, rows whose columns each hold one kind of cells, and what the user says of them."""
    unique = draw(st.integers(0, 9)) > 0
    header = draw(st.lists(_NAMES, min_size=3, max_size=7, unique_by=str.strip if unique else None))
    kinds = [draw(st.sampled_from(_CELLS)) for _ in header[2:]]
    count = draw(st.integers(1, 12)) * draw(st.sampled_from([2, 12, 12]))
    few = [draw(st.lists(kind, min_size=1, max_size=6)) for kind in kinds]
    label = draw(_LABELS)
    rows = [
        [
            f"{row:03d}",
            label[row % len(label)],
            *(cells[row * (place + 1) % len(cells)] for place, cells in enumerate(few)),
        ]
        for row in range(count)
    ]
    named = draw(st.booleans())
    return header, rows, Wishes((header[0].strip(),), header[1].strip()) if named else NOTHING


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(",;\t|"))
def test_whatever_the_file_its_contract_accepts_it(
    table: tuple[list[str], list[list[str]], Wishes], separator: str
) -> None:
    """A contract that is proposed reads back with the very names, and rejects no row but those that it tells of."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        file, output = folder / "loans.csv", folder / "contract.toml"
        header, rows, wishes = table
        file.write_bytes(make_csv(header, rows, separator))
        try:
            inference = infer_proposal(file, file.name, wishes)
        except LoansError:
            return  # told in words, and nothing is proposed
        output.write_text(write_contract(inference.proposal, file.name, inference.separator), encoding="utf-8")
        proposal = inference.proposal
        if proposal.fill_in:
            with pytest.raises(ContractError, match="a column has no name"):
                load_contract(output)
            return
        contract = load_contract(output)
        assert contract == proposal.contract
        assert wishes is NOTHING or ([column.name for column in contract.ids] == [*wishes.ids] and contract.target)
        names = {title.strip() for title in header}
        assert {column.name for column in contract.columns} <= names
        accepted, rules = read_by(contract, file)
        assert accepted + rules.total() == inference.rows
        assert rules.total() == sum(proposal.rejected.values())
        # A text among numbers, a number too large for a model, and what is no label: nothing else may cost a row.
        label = quote(contract.target.name) if contract.target else ""
        for told in proposal.rejected:
            rule, _, column = told.partition(" in ")
            assert rule in ("not_a_number", "out_of_range") or (
                rule in ("missing_value", "unknown_category") and column == label
            )


def test_what_a_column_cost_that_is_left_out_is_not_told(tmp_path: Path) -> None:
    """A column that tells the outcome goes, and its broken cells cost no row; where it has to stay, they do."""
    rows = []
    for row in range(4_000):
        late = "x" if row % 2_000 == 0 else str(row % 2 * 1_000 + row % 200)
        rows.append([f"{row:04d}", "bad" if row % 2 else "good", late, str(row // 2 * 7 % 50)])
    inference, output = infer(make_csv(["Loan Ref", "Outcome", "Late", "Amount"], rows), tmp_path, _TOLD)
    assert [column.name for column in inference.proposal.contract.features] == ["Amount"]
    assert inference.proposal.rejected == {}
    assert read_by(load_contract(output), tmp_path / "loans.csv") == (4_000, Counter())
    output.unlink()
    alone = make_csv(["Loan Ref", "Outcome", "Late"], [row[:3] for row in rows])
    inference, _ = infer(alone, tmp_path, _TOLD)
    assert [column.name for column in inference.proposal.contract.features] == ["Late"]
    assert inference.proposal.rejected == {'not_a_number in "Late"': 2}


def test_what_nobody_knows_has_to_be_filled_in(tmp_path: Path) -> None:
    """Where neither id nor target can be guessed the file holds lines to fill, and is refused in words until then."""
    rows = [[str(number % 7 / 2), "red" if number % 3 else "blue"] for number in range(60)]
    inference, output = infer(make_csv(["weight", "colour"], rows), tmp_path)
    assert inference.proposal.fill_in == (Role.ID, Role.TARGET)
    with pytest.raises(ContractError, match=r"a column has no name.*the target needs `positive`"):
        load_contract(output)
    text = output.read_text()
    assert text.count("# FILL IN:") == 4
    text = text.replace('name = ""\nrole = "id"', 'name = "number"\nrole = "id"')
    text = text.replace('name = ""\nrole = "target"', 'name = "end"\nrole = "target"')
    text = text.replace("categories = []", 'categories = ["good", "bad"]').replace('positive = ""', 'positive = "bad"')
    output.write_text(text)
    assert load_contract(output).target is not None


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (Wishes(ids=("loan ref",)), "no column 'loan ref'"),
        (Wishes(target="End"), "no column 'End'"),
        (Wishes(ids=("Outcome",), target="Outcome"), "both id and target"),
        (Wishes(target="Region"), "'Region' has 8 different values; a target has two"),
        (Wishes(target="Loan Ref"), "'Loan Ref' has 400 different values"),
        (Wishes(target="Outcome", positive="BAD"), "'BAD' is not a value of the target 'Outcome'"),
    ],
)
def test_wishes_that_do_not_fit_are_told(tmp_path: Path, wishes: Wishes, words: str) -> None:
    """What the user named and the file does not have is told, and nothing is written."""
    with pytest.raises(LoansError, match=words):
        infer(write_loans(400, 3), tmp_path, wishes)
    assert [path.name for path in tmp_path.iterdir()] == ["loans.csv"]


def test_the_user_may_name_everything(tmp_path: Path) -> None:
    """Several ids, target and default as named are taken as they are, with nothing left to confirm."""
    wishes = Wishes(("Branch No", "Loan Ref"), "Outcome", "good")
    inference, output = infer(write_loans(400, 3), tmp_path, wishes)
    contract = load_contract(output)
    assert [column.name for column in contract.ids] == ["Loan Ref", "Branch No"]
    assert contract.target is not None
    assert contract.target.positive == "good"
    assert inference.proposal.confirm == ()
    assert inference.proposal.warnings == ("the id 'Branch No' has values that come more than once",)


def test_a_column_that_tells_the_outcome_is_left_out(tmp_path: Path) -> None:
    """What is known only after the end (a number or a text) is no feature; it stays in the file as a comment."""
    header = ["id", "amount", "recovered", "closed as", "bad"]
    rows = [
        [f"L{number}", str(number % 37), str(number % 50 + 1) if bad else "0", "legal" if bad else "paid", str(bad)]
        for number in range(600)
        for bad in [int(number % 7 == 0)]
    ]
    inference, output = infer(make_csv(header, rows), tmp_path)
    assert [column.name for column in load_contract(output).features] == ["amount"]
    assert [warning.split()[0] for warning in inference.proposal.warnings] == ["'recovered'", "'closed"]
    assert '# name = "recovered"' in output.read_text()
    assert "known only afterwards" in output.read_text()


def test_where_only_a_leak_is_left_it_stays_and_is_told(tmp_path: Path) -> None:
    """A contract needs a feature: the only one stays, however much it tells."""
    rows = [[f"L{number}", str(number % 2 * 7.5), "bad" if number % 2 else "good"] for number in range(200)]
    inference, output = infer(make_csv(["id", "x", "end"], rows), tmp_path)
    assert [column.name for column in load_contract(output).features] == ["x"]
    assert "kept, because nothing else is left" in inference.proposal.warnings[0]


def test_rows_that_would_be_rejected_are_told(tmp_path: Path) -> None:
    """A damaged record, a text among numbers and a loan without a label are counted by rule in the file."""
    content = make_csv(
        ["id", "x", "end"], [[f"L{number}", f"{number}.5", "bad" if number % 4 else "good"] for number in range(300)]
    )
    content += b"L300,twelve,good\nL301,1\nL302,3.5,\nL303,4.5,maybe\n"
    inference, output = infer(content.replace(b"maybe", b""), tmp_path, Wishes(("id",), "end", "bad"))
    assert inference.proposal.rejected == {
        'missing_value in "end"': 2,
        'not_a_number in "x"': 1,
        "too_few_fields": 1,
    }
    assert '2 records of the file would be rejected: missing_value in "end".' in output.read_text()


def test_records_without_content_are_not_looked_at(tmp_path: Path) -> None:
    """Records without content change nothing that is proposed: no gap, no share, no lost id."""
    rows = [[f"L{number}", f"{number % 7}.5", "bad" if number % 4 else "good"] for number in range(300)]
    plain = make_csv(["id", "x", "end"], rows)
    lines = plain.splitlines(keepends=True)
    inference, output = infer(plain, tmp_path)
    text = output.read_text()
    output.unlink()
    at_the_end, output = infer(plain + b",,\n" * 200 + b'\n"",,\n', tmp_path)
    assert at_the_end == inference
    assert output.read_text() == text
    output.unlink()
    within, output = infer(b"".join([*lines[:9], b",,\n" * 200, b" ,\t,\n", *lines[9:]]), tmp_path)
    assert within.rows == 501
    assert within.proposal.rejected == {"empty_record": 201}
    assert within.proposal.columns == inference.proposal.columns
    assert within.proposal.contract == inference.proposal.contract


def test_file_without_content_holds_no_loans(tmp_path: Path) -> None:
    """A header and records without content are refused as a header alone is."""
    reasons = set()
    for rest in (b"", b",\n" * 30 + b'\n"", \n,'):
        (tmp_path / "none.csv").write_bytes(b"id,x\n" + rest)
        with pytest.raises(LoansError) as caught:
            infer_contract(tmp_path / "none.csv", tmp_path / "none.toml", NOTHING)
        reasons.add(caught.value.what)
    assert len(reasons) == 1


def test_other_encodings_are_named_by_the_user(tmp_path: Path) -> None:
    """Text that is not UTF-8 is told as such, and read with `encoding`; an encoding that cannot be is refused."""
    rows = [
        [f"L{number}", ["Süd", "Nord", "Ost"][number // 2 % 3], "bad" if number % 3 else "good"] for number in range(90)
    ]
    content = make_csv(["id", "Ort", "end"], rows).decode().encode("cp1252")
    inference, output = infer(content, tmp_path, Wishes(target="end"))
    assert inference.proposal.rejected == {"not_utf8": 30}
    output.unlink()
    _, output = infer(content, tmp_path, Wishes(target="end"), "cp1252")
    contract = load_contract(output)
    assert (contract.encoding, contract.features[0].categories) == ("cp1252", ("Nord", "Ost", "Süd"))
    output.unlink()
    (tmp_path / "all.csv").write_bytes(b"id,x\n1,\xfc\n2,\xfc\n")
    with pytest.raises(LoansError, match="None of the 2 records") as caught:
        infer_contract(tmp_path / "all.csv", output, NOTHING)
    assert "--encoding" in caught.value.way_out
    with pytest.raises(ContractError, match="utf-16 is neither utf-8 nor"):
        infer(content, tmp_path, encoding="utf-16")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"a,b\n", "no loans"),
        (b",\n1,2\n", "no column .* name|No column of the file has a name"),
        (b"\x1f\x8b123", "gzip"),
        (b"raw\n1\n2\n", "No column of the file can be a feature"),
        (b"id,name\n1,Ann\n2,Bo\n", "a feature of a model: .name.: almost every row"),
    ],
)
def test_a_file_of_which_nothing_can_be_made(tmp_path: Path, content: bytes, words: str) -> None:
    """A file without loans, without names or without a feature is refused in words; nothing is left behind."""
    with pytest.raises(LoansError, match=words):
        infer(content, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["loans.csv"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Whatever stands at the output, a broken link included, is left alone; a missing folder or file is told."""
    output = tmp_path / "contract.toml"
    output.symlink_to(tmp_path / "nowhere")
    with pytest.raises(LoansError, match="exists already and was left alone"):
        infer(write_loans(50, 1), tmp_path)
    assert output.is_symlink()
    with pytest.raises(LoansError, match="There is no folder"):
        infer_contract(tmp_path / "loans.csv", tmp_path / "no" / "c.toml", NOTHING)
    with pytest.raises(LoansError, match="There is no file"):
        infer_contract(tmp_path / "other.csv", tmp_path / "c.toml", NOTHING)
    (tmp_path / "loans.csv").write_bytes(b'"a\n')
    with pytest.raises(FileRefusedError, match="quote"):
        infer_contract(tmp_path / "loans.csv", tmp_path / "c.toml", NOTHING)


def test_names_that_stand_twice_are_left_out(tmp_path: Path) -> None:
    """A column without a name of its own cannot be asked for; the rest of the file can."""
    rows = [[f"L{number}", "1.5", str(number), "", "bad" if number % 3 else "good"] for number in range(60)]
    rows = [[*row, str(place % 11)] for place, row in enumerate(rows)]
    inference, output = infer(make_csv(["id", "x", "x", "", "end", "y"], rows), tmp_path)
    assert [column.name for column in load_contract(output).features] == ["y"]
    why = {column.header: column.why[0] for column in inference.proposal.columns if column.left_out}
    assert why == {"x": "its name stands 2 times in the header", "": "it has no name"}
