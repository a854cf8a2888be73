"""What values mean: the quick and the careful way agree with each other and with Python's own reading of the text."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scoring.contract import Column, Contract, Policy, Role, Type
from scoring.csv.records import GOOD, index_records
from scoring.csv.rejects import Reject, encode_rejects
from scoring.csv.source import Source
from scoring.csv.values import ValueReader, Values
from tests.unit.scoring.csv_bodies import CONTRACT, HEADER, LENIENT, bare_records, good_records, records
from tests.unit.scoring.plain_reader import read_plainly, read_value

FLOAT32_MAX = float(np.finfo(np.float32).max)

TEXTS = [
    "1", "+1", "-1", "1.", "+.5", ".5", "-.5", "1e5", "1E5", "1e+5", "1e-5", "-0", "00012", "0.1", "1e0005", "1.5e3 ",
    "1" * 400, "0." + "0" * 400 + "1", "123456789012345678901234567890", "0.30000000000000004", "9007199254740993",
    "2.2250738585072011e-308", "8.5e-46", "1e23", "1e400", "-1e400", "1e-400", "1e99999999999999999999",
    "1e-99999999999999999999", "3.4028235e38", "3.4028236e38", "3.4028234663852886e38", "3.4028235677973366e38",
    "inf", "+inf", "-inf", "Inf", "INF", "infinity", "nan", "NaN", "-nan", "+nan", "NAN", "nan(1)", "1_0", "1d5",
    "0x10", "0b1", "1f", "1e", "e5", "1e5.0", "--1", "++1", "+-1", "-", "+", ".", "true", "null", "None", "NA",
    "1 2", "1,5", "1.000,5", "\x0b1", "1\x0b", "\x0c1", "1\x1f", "\xa01", "\u200b1", "\u3000",
    "٣", "\uff11", "½", "∞", '"', "1'",
    "", " ", "\t", " \t ", " 1", "1\t", "\t1 ",
]  # fmt: skip


def reader_of(*columns: Column, missing_texts: tuple[str, ...] = ("",), labelled: bool = False) -> ValueReader:
    """Make a reader of these columns, in this order in the file."""
    contract = Contract(1, "made up", columns, missing_texts)
    header = tuple(column.name for column in columns)
    return ValueReader(Source("loans.csv", 1, ",", header, 0, 1, "utf-8"), contract, labelled=labelled)


def written(text: str) -> bytes:
    """Write one field, quoted."""
    return b'"' + text.encode().replace(b'"', b'""') + b'"'


def bits(values: np.ndarray) -> list[int]:
    """Give float32 numbers as their bits, every NaN alike, so that -0 and 0 differ."""
    whole = np.where(np.isnan(values), np.float32(np.nan), values)
    return np.ascontiguousarray(whole, np.float32).view(np.uint32).ravel().tolist()


def assert_same(one: Values, other: Values) -> None:
    """Compare ids (null and empty apart) and feature bits."""
    assert one.ids.equals(other.ids)
    assert bits(one.features) == bits(other.features)


NUMBER = Column("n", Role.FEATURE, Type.NUMBER)
COLUMNS = [
    NUMBER,
    Column("n", Role.FEATURE, Type.NUMBER, minimum=0.1, maximum=1e5, missing=Policy.REJECT),
    Column("n", Role.FEATURE, Type.INTEGER),
    Column("n", Role.FEATURE, Type.INTEGER, minimum=-1),
]


@pytest.mark.parametrize("column", COLUMNS, ids=["number", "bounded", "integer", "bounded integer"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_of_a_number(text: str, column: Column) -> None:
    """Every way to write a number, well or badly, is read as Python reads decimals, the quick way and the careful."""
    reader = reader_of(Column("id", Role.ID), column)
    expected = read_value(text, column, ("",))
    fields = [written(text)] if set(text) & set('",') else [written(text), text.encode()]
    for field in fields:
        record, quoted = b"7," + field + b"\n", field.startswith(b'"')
        values, faults = reader.read_carefully(record, quoted=quoted)
        if expected is None:
            assert len(faults) == 1
        else:
            assert not faults
            assert bits(values.features) == bits(np.array([expected], np.float32))
        quick = reader.read_quickly(record, quoted=quoted)
        assert quick is None or not faults
        if quick is not None:
            assert_same(quick, values)


@given(
    text=st.one_of(
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
        st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
        st.text("0123456789+-.eE", max_size=12),
        st.text("0123456789+-.eEnaifx_ \t", max_size=8),
        st.from_regex(r"[+-]?[0-9]{0,30}\.?[0-9]{0,30}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    )
)
@settings(max_examples=200)
def test_any_number_is_read_to_the_last_bit(text: str) -> None:
    """Numbers of any length and exponent are rounded once to float64, once to float32, both ways, or are no numbers."""
    reader = reader_of(Column("id", Role.ID), NUMBER)
    expected = read_value(text, NUMBER, ("",))
    record = b"7," + text.encode() + b"\n"
    values, faults = reader.read_carefully(record, quoted=False)
    assert bool(faults) == (expected is None)
    if expected is not None:
        assert bits(values.features) == bits(np.array([expected], np.float32))
    quick = reader.read_quickly(record, quoted=False)
    if quick is not None:
        assert expected is not None
        assert_same(quick, values)


def _reader() -> ValueReader:
    source = Source("loans.csv", 1, ",", HEADER, 0, 1, "utf-8")
    return ValueReader(source, CONTRACT, labelled=False)


@given(body=st.lists(st.one_of(records, bare_records, good_records), min_size=1, max_size=12).map(b"".join))
@settings(max_examples=120)
def test_ways_agree(body: bytes) -> None:
    """On records of sound structure the quick way gives the values of the careful way, or refuses to answer."""
    index = index_records(body, Source("", 1, ",", HEADER, 0, 1, "utf-8").shape, final=True)
    assume((index.verdicts == GOOD).all())
    careful, faults = _reader().read_carefully(body, quoted=index.quoted)
    quick = _reader().read_quickly(body, quoted=index.quoted)
    if quick is not None:
        assert not faults
        assert_same(quick, careful)


@given(body=st.lists(good_records, min_size=1, max_size=12).map(b"".join))
def test_quick_way_takes_good_loans(body: bytes) -> None:
    """Loans as a lender's system writes them are read the quick way, with the values of a plain reading."""
    loans, rejects = read_plainly(body, HEADER, ",", CONTRACT)
    quick = _reader().read_quickly(body, quoted=False)
    assert not rejects
    assert quick is not None
    assert bits(quick.features) == bits(np.array([loan.features for loan in loans], np.float32))
    assert [tuple(text or "" for text in row) for row in quick.ids.rows()] == [loan.ids for loan in loans]


def test_empty_and_quoted_empty_ids_stay_apart() -> None:
    """An id that is empty is not the id that is a pair of quotes with nothing between."""
    reader = reader_of(Column("id", Role.ID), NUMBER)
    record = b',1\n"",2\n'
    quick = reader.read_quickly(record, quoted=True)
    assert quick is not None
    assert quick.ids["id"].to_list() == [None, ""]
    assert_same(quick, reader.read_carefully(record, quoted=True)[0])


def test_every_fault_of_a_record_is_told() -> None:
    """A record is blamed on its first bad column, by a stable rule, and the message tells all that is wrong."""
    reader = reader_of(
        Column("id", Role.ID),
        Column("amount", Role.FEATURE, Type.NUMBER, minimum=1, maximum=5),
        Column("years", Role.FEATURE, Type.INTEGER, missing=Policy.REJECT),
        Column("grade", Role.FEATURE, Type.CATEGORY, categories=("A", "B")),
    )
    body = b"1,9,1.5,C\n2,x,,A\n3,2,3,A\n4,2,2.5,A\n5,2,3,b\n6,0.5,3,B\n7,1e999,1,A\n"
    values, faults = reader.read_carefully(body, quoted=False)
    assert [(fault.record, fault.column, fault.rule) for fault in faults] == [
        (0, "amount", "out_of_range"),
        (1, "amount", "not_a_number"),
        (3, "years", "not_whole"),
        (4, "grade", "unknown_category"),
        (5, "amount", "out_of_range"),
        (6, "amount", "out_of_range"),
    ]
    assert faults[0].message == (
        "amount is outside its range from 1 up to 5. years is not a whole number. grade is none of A, B."
    )
    assert faults[1].message == "amount is not a number. years is missing."
    assert values.ids["id"].to_list() == ["3"]
    assert reader.read_quickly(body, quoted=False) is None


def test_further_texts_for_missing() -> None:
    """Texts that mean "no value" are honoured in every column, and only the careful way reads such a contract."""
    reader = reader_of(
        Column("id", Role.ID),
        NUMBER,
        Column("c", Role.FEATURE, Type.CATEGORY, categories=("A", "B")),
        missing_texts=("", "NA", "nan"),
    )
    body = b"1,NA,NA\n2, nan ,\n3,,A\n4,na,B\n"
    assert reader.read_quickly(body, quoted=False) is None
    values, faults = reader.read_carefully(body, quoted=False)
    assert [fault.record for fault in faults] == [3]
    assert np.isnan(values.features).tolist() == [[True, True], [True, True], [True, False]]


def test_categories_are_their_places() -> None:
    """Codes are the places in the contract; an unknown one that is allowed is the number of categories."""
    column = Column("c", Role.FEATURE, Type.CATEGORY, categories=("z", "a", "é", 'q"q', "x\ny"), unknown=Policy.ALLOW)
    reader = reader_of(Column("id", Role.ID), column)
    body = '1,a\n2,z\n3,é\n4,"q""q"\n5,"x\ny"\n6,\n7,"a "\n'.encode()
    for part, expected in ((body, [1, 0, 2, 3, 4, np.nan, 1]), (body + b"8,A\n", [1, 0, 2, 3, 4, np.nan, 1, 5])):
        values, faults = reader.read_carefully(part, quoted=True)
        assert not faults
        np.testing.assert_array_equal(values.features[:, 0], np.array(expected, np.float32))
        quick = reader.read_quickly(part, quoted=True)
        assert quick is None or bits(quick.features) == bits(values.features)


def test_labels_and_monitors_are_read_for_training() -> None:
    """With labels asked for, a bad label rejects its row, and a monitor column that is bad is only NaN."""
    reader = reader_of(
        Column("id", Role.ID),
        NUMBER,
        Column("age", Role.MONITOR, Type.INTEGER, minimum=18),
        Column("bad", Role.TARGET, Type.CATEGORY, categories=("no", "yes"), positive="yes"),
        labelled=True,
    )
    values, faults = reader.read_carefully(b"1,1,30,yes\n2,1,x,no\n3,1,30,\n4,1,30,maybe\n", quoted=False)
    assert [(fault.record, fault.rule) for fault in faults] == [(2, "missing_value"), (3, "unknown_category")]
    assert values.labels is not None
    assert values.labels.tolist() == [1, 0]
    assert bits(values.monitors["age"]) == bits(np.array([30, np.nan], np.float32))
    assert reader.read_quickly(b"1,1,30,yes\n", quoted=False) is None


def test_columns_may_stand_in_any_order() -> None:
    """Columns are found by the header's names, whatever their order and whatever stands between them."""
    contract = Contract(1, "made up", (Column("a", Role.FEATURE, Type.NUMBER), Column("id", Role.ID), NUMBER))
    source = Source("loans.csv", 1, ";", ("x", "n", "y", "id", "a"), 0, 1, "utf-8")
    reader = ValueReader(source, contract, labelled=False)
    quick = reader.read_quickly(b"p;2;q;r,s;1\n", quoted=False)
    assert quick is not None
    assert quick.features.tolist() == [[1, 2]]
    assert quick.ids["id"].to_list() == ["r,s"]
    assert_same(quick, reader.read_carefully(b"p;2;q;r,s;1\n", quoted=False)[0])


def test_rejects_keep_any_record_verbatim() -> None:
    """A reject's fields are quoted, so that quotes, separators and line ends in the record survive."""
    line = encode_rejects([Reject(3, 9, 'a"b', "rule", "It, is.", b'x,"\r\n\xff\0')])
    assert line == b'3,9,"a""b",rule,"It, is.","x,""\r\n\xff\0"\n'


def test_only_a_record_without_content_costs_the_quick_way() -> None:
    """Where all features may be missing, loans that have none are still read quickly, if anything else is there."""
    reader = ValueReader(Source("loans.csv", 1, ",", HEADER, 0, 1, "utf-8"), LENIENT, labelled=False)
    full = b"1,2,3,4,A,6,CAR,8\n"
    for bare in (b"7,,,,,,,\n", b",,,,,7,,\n", b",,,,,,,7\n", b",,,,,,,\xc2\xa0\n", b",,,,4,,,\n".replace(b"4", b"A")):
        for body in (bare, full + bare * 3 + full):
            values = reader.read_quickly(body, quoted=False)
            assert values is not None
            assert len(values.features) == body.count(b"\n")
        for empty in (b",,,,,,,\n", b" ,,,,,\t,,\n"):
            assert reader.read_quickly(full + bare + empty, quoted=False) is None


def test_contract_without_features_notices_records_without_content() -> None:
    """With ids alone, a record counts as soon as any column has a text."""
    contract = Contract(1, "made up", (Column("id", Role.ID),))
    reader = ValueReader(Source("loans.csv", 1, ",", ("id", "x"), 0, 1, "utf-8"), contract, labelled=False)
    assert reader.read_quickly(b"1,2\n,2\n", quoted=False) is not None
    assert reader.read_quickly(b"1,2\n, \n", quoted=False) is None
