"""Bytes that look like a CSV body, well or badly made, for hypothesis; and a contract in which every rule occurs."""

import msgspec
import numpy as np
from hypothesis import strategies as st

from scoring.contract import Column, Contract, Policy, Role, Type

CONTRACT = Contract(
    format=1,
    name="every rule",
    columns=(
        Column("id", Role.ID),
        Column("amount", Role.FEATURE, Type.NUMBER, minimum=0, maximum=1000, missing=Policy.REJECT),
        Column("rate", Role.FEATURE, Type.NUMBER),
        Column("years", Role.FEATURE, Type.INTEGER, minimum=-5),
        Column("grade", Role.FEATURE, Type.CATEGORY, categories=("A", "B", "é", 'say "C"', "D,E")),
        Column("branch", Role.ID),
        Column("purpose", Role.FEATURE, Type.CATEGORY, categories=("CAR", "HOME"), unknown=Policy.ALLOW),
        Column("age", Role.MONITOR, Type.INTEGER),
    ),
)
LENIENT = msgspec.structs.replace(
    CONTRACT, columns=tuple(msgspec.structs.replace(column, missing=Policy.ALLOW) for column in CONTRACT.columns)
)
"""The same contract, but that every value may be missing."""
HEADER = ("id", "amount", "rate", "years", "grade", "branch", "purpose", "remark")
WIDTH = len(HEADER)
NUMBERS = ("0", "1", "7.0", "12.5", "1000", "1e2", "+3", "-4", ".5", "5.", "0.1", "-0", "16777217", "1E-3")
BAD_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e39",
    "x",
    "1_0",
    "0x10",
    "1 2",
    "\xa01",
    "٣",
    "1e",
    "--1",
    "true",
    "1,5",
)

_IDS = (
    "1", "0007", " 7 ", "\t", "a,b", 'a"b', '"', "é", "\N{EURO SIGN}", "", "a\nb", "a\r\nb", "\ufeffx", "x\x01y", "xڀ",
    "-", "NULL",
)  # fmt: skip

_FIELDS = {
    "id": _IDS,
    "branch": _IDS,
    "amount": (*NUMBERS, *BAD_NUMBERS, "", " 5 ", "1000.5", "-1", "1001"),
    "rate": (*NUMBERS, *BAD_NUMBERS, "", " ", "\t2"),
    "years": (*NUMBERS, *BAD_NUMBERS, "", "3.0", "3.5", "-6"),
    "grade": ("A", "B", "é", 'say "C"', "D,E", "", " A", "Z", "a"),
    "purpose": ("CAR", "HOME", "BOAT", "", "HOME "),
    "remark": ("", "free text", "a,b", "line\nbreak", "x" * 300),
}


def _enclose(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _field(values: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """Give fields that keep the rules: quoted where they must be, sometimes where they need not be."""

    def write(text: str, quote: bool) -> bytes:  # noqa: FBT001 (drawn, not passed)
        return (_enclose(text) if quote or any(mark in text for mark in ',"\n\r') else text).encode()

    return st.builds(write, st.sampled_from(values), st.booleans())


_CLEAN = tuple(tuple(value for value in values if not set(value) & set(',"\r\n')) for values in _FIELDS.values())
_END = st.sampled_from([b"\n", b"\n", b"\r\n"])

records = st.builds(
    lambda fields, end: b",".join(fields) + end, st.tuples(*(_field(_FIELDS[name]) for name in HEADER)), _END
)
"""Sound records with any value."""

bare_records = st.builds(
    lambda fields, end: ",".join(fields).encode() + end,
    st.tuples(*(st.sampled_from(values) for values in _CLEAN)),
    _END,
)
"""Sound records without a quote."""

good_records = st.builds(
    lambda id_, amount, rate, grade, end: (
        b"%s,%s,%s,4,%s,b1,CAR,\n".replace(b"\n", end) % (id_.encode(), amount.encode(), rate.encode(), grade.encode())
    ),
    st.sampled_from([value for value in _CLEAN[0] if value]),
    st.sampled_from(["0", "1", "12.5", "1000", "1e2", "0.1"]),
    st.sampled_from([*NUMBERS, ""]),
    st.sampled_from(["A", "B", "é", ""]),
    _END,
)
"""Records that a lender's system writes, all accepted."""

broken_records = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"\0\n",
        b"1,2\n",
        b"1,2,3,4,A,6,CAR,8,9\n",
        b'1,"2,3,4,A,6,CAR,8\n',
        b'1,2"2,3,4,A,6,CAR,8\n',
        b'"1"x,2,3,4,A,6,CAR,8\n',
        b'"\n',
        b"1,2,3,4,A,\xff,CAR,8\n",
        b"\xc3,2,3,4,A,6,CAR,8\n",
        b"1,2,3,4,A,6\rCAR,8\n",
        b"1\r\r\n",
        b"a\0b,2,3,4,A,6,CAR,8\n",
        b"1,2,3,4,A,6,CAR," + b"y" * 70_000 + b"\n",
        b"   \n",
        b",,,,,,,\n",
    ]
)
"""Records that are damaged, each in its own way."""


def _write_empty(fields: list[bytes], end: bytes) -> bytes:
    return b",".join(fields) + end


_empty_fields = st.sampled_from([b"", b"", b" ", b"\t \t", b'""', b'"  "', b'"\t"'])

empty_records = st.one_of(
    st.builds(_write_empty, st.lists(_empty_fields, min_size=8, max_size=8), _END),
    st.builds(_write_empty, st.lists(_empty_fields, min_size=1, max_size=11), _END),
    st.sampled_from([b"\n", b"\r\n", b"\r\r\n", b",,,,,,,\n", b'"","","","","","","",""\r\n']),
)
"""Records without content, most of them with the header's number of fields, and empty lines."""

almost_empty_records = st.sampled_from(
    [
        b',,,,,,,","\n',
        b',,,,,,,""""\n',
        b',,, "",,,,\n',
        b',,,"" ,,,,\n',
        b',,,,,,,"\n"\n',
        b'"\n,,,\n",,,,,,,\n',
        b'1,2,3,4,A,6,CAR,"\n,,,,,,,\n\n"\n',
        b'1,2,3,4,A,6,CAR,"x\n',
        b'"\n',
        b",,,,,,,x\n",
        b",,,,,b,,\n",
        b"0,,,,,,,\n",
        b",,,0,,,,\n",
        b",,,,\r,,,\n",
        b",,,,,,,\r\r\n",
        b",,,\0,,,,\n",
        b",,,\xa0,,,,\n",
        b",,,\xc2\xa0,,,,\n",
        b"\x0b,,,,,,,\n",
    ]
)
"""Records that look empty at a glance, or whose quotes reach over lines that do."""

noise = st.lists(st.sampled_from([bytes([byte]) for byte in b'",,,\n\n\rab1. \t\0\xc3\xa9']), max_size=40).map(b"".join)
"""Bytes that mean something to the grammar, in any order."""

hollow_bodies = st.builds(
    lambda pieces, end, cut: (b"".join(pieces) + b"".join(end))[: -cut or None],
    st.lists(st.one_of(empty_records, almost_empty_records, good_records), max_size=8),
    st.lists(empty_records, max_size=8),
    st.integers(0, 3),
)
"""Bodies with records without content anywhere, and at the end."""

bodies = st.one_of(
    st.binary(max_size=200),
    noise,
    hollow_bodies,
    st.lists(good_records, max_size=12).map(b"".join),
    st.lists(bare_records, max_size=8).map(b"".join),
    st.builds(
        lambda pieces, cut: b"".join(pieces)[: -cut or None],
        st.lists(st.one_of(records, bare_records, good_records, broken_records, noise), max_size=10),
        st.integers(0, 3),
    ),
)
"""Any bytes as the body of a file of CONTRACT, most of them nearly right."""


def mixed_body(rows: int) -> bytes:
    """Make a body in which every kind of record, sound and damaged, comes up again and again."""
    draw = np.random.default_rng(3)
    kinds = [
        b"%d,%d,3.25,4,A,b1,CAR,\n",
        b"%d,%d,,,,,,\n",
        b'"0%d","%d",3,4,"D,E","x\ny",HOME,"free, text"\r\n',
        b'"q""%d",%d,3,4,B,"a\r\n\r\nb",BOAT,\n',
        b" %d ,%d,3,4,A,,CAR,x\r\n",
        b"%d,%d,nan,4,A,b1,CAR,\n",
        b"%d,%d,3,4.5,A,b1,CAR,\n",
        b"%d,-%d,3,4,Z,b1,CAR,\n",
        b'%d,%d,3,4,A,6" pipe,CAR,\n',
        b'%d,%d,3,4,A,"never closed,CAR,\n',
        b"%d,%d,3\n",
        b"%d,%d,3,4,A,b1,CAR,,,\n",
        b"%d,%d,3,4,A,\xff,CAR,\n",
        b"%d,%d\0,3,4,A,b1,CAR,\n",
    ]
    weights = np.array([30, 10, 8, 8, 4, *[1] * 9], float)
    chosen = draw.choice(len(kinds), rows, p=weights / weights.sum())
    lines = [kinds[kind] % (number, number % 999 + 1) for number, kind in enumerate(chosen.tolist(), 1)]
    return b"".join(lines[: rows // 2]) + b"\n\n" + b"".join(lines[rows // 2 :])
