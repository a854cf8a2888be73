"""From a file to its published results: ids and row numbers exact, the same bytes for any number of chunks."""

import csv
import hashlib
import io
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.chunk.part import prediction_columns
from scoring.contract import Column, Contract, Role, Type
from scoring.errors import FileRefusedError
from scoring.models.registry import read_manifest
from scoring.results.receipt import quote_name, read_receipt
from tests.unit.scoring.conftest import PlanRun, Registry
from tests.unit.scoring.csv_bodies import HEADER, bodies, mixed_body
from tests.unit.scoring.linear_model import publish_linear
from tests.unit.scoring.naive_grammar import split_records
from tests.unit.scoring.plain_reader import read_plainly, trimmed

FIRST_LINE = (",".join(HEADER) + "\n").encode()
CHUNKS = (1, 2, 7, 64)


def parse(content: bytes, encoding: str = "utf-8") -> list[list[str]]:
    """Read CSV with Python's own reader."""
    return list(csv.reader(io.StringIO(content.decode(encoding), newline=""), strict=True))


def test_number_of_chunks_does_not_show(every_rule: Registry, plan_run: PlanRun) -> None:
    """A file with every kind of record gives byte-identical predictions and rejects at 1, 2, 7 and 64 chunks."""
    content = FIRST_LINE + mixed_body(1_500)
    results = []
    for wanted in CHUNKS:
        run = plan_run(every_rule, content, wanted)
        assert wanted * 0.8 <= len(run.batch.plan.chunks) <= wanted
        predictions, rejects, receipt = run.score_and_publish()
        assert receipt.rows_in == receipt.scored + receipt.rejected == 1_502
        assert receipt.scored > 900
        assert receipt.rejected > 150
        results.append((predictions, rejects))
    assert all(result == results[0] for result in results)


def test_number_of_chunks_does_not_show_on_generated_loans(
    reference: Registry, plan_run: PlanRun, generated: bytes
) -> None:
    """Generated loans, with a last row without a line end, come out the same however they are cut, down to one row."""
    results = {plan_run(reference, generated[:-1], wanted).score_and_publish()[:2] for wanted in CHUNKS}
    head = b"\n".join(generated.split(b"\n")[:13])
    assert len(results) == 1
    assert len({plan_run(reference, head, wanted).score_and_publish()[:2] for wanted in (1, 12)}) == 1


@given(body=bodies, chunks=st.sampled_from([1, 2, 5]))
@settings(max_examples=25)
def test_any_bytes_end_in_a_receipt_that_adds_up(
    every_rule: Registry, plan_run: PlanRun, body: bytes, chunks: int
) -> None:
    """For any bytes, every record is in predictions or rejects once, in input order, ids and raw text as they came."""
    run = plan_run(every_rule, FIRST_LINE + body, chunks)
    predictions, rejects, receipt = run.score_and_publish()
    loans, expected = read_plainly(trimmed(body), HEADER, ",", every_rule.contract)
    assert receipt.rows_in == receipt.scored + receipt.rejected == len(loans) + len(expected)
    header, *rows = parse(predictions)
    assert header == ["id", "branch", "row_number", "pd", "model_version"]
    assert [(row[0], row[1], row[2]) for row in rows] == [(*loan.ids, str(loan.row)) for loan in loans]
    assert all(0 <= float(row[3]) <= 1 for row in rows)
    header, *rows = parse(rejects, "latin-1")
    assert header == ["row_number", "line", "column", "rule", "message", "raw"]
    assert [(int(row[0]), int(row[1]), row[2], row[5].encode("latin-1")) for row in rows] == [
        (reject.row, reject.line, reject.column, reject.raw) for reject in expected
    ]


cells = st.text(st.sampled_from("ab0, ;\"\n\t'é\N{EURO SIGN}\N{GRINNING FACE}\ufeff=-"), max_size=6)
ends = st.sampled_from(["\n", "\r\n"])


@given(
    table=st.lists(st.tuples(cells, cells, cells, st.booleans(), ends), min_size=1, max_size=12),
    chunks=st.sampled_from([1, 3, 40]),
    last=st.booleans(),
)
@settings(max_examples=40)
def test_merging_undoes_splitting(
    every_rule: Registry,
    plan_run: PlanRun,
    table: list[tuple[str, str, str, bool, str]],
    chunks: int,
    last: bool,  # noqa: FBT001 (drawn, not passed)
) -> None:
    """Tables with quotes, line ends, empty fields and either line end: ids come out as they went in, rows 1 to n."""
    text = io.StringIO(newline="")
    for id_, branch, remark, everything, end in table:
        writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL)
        writer.writerow([id_, 2, 3, 4, "A", branch, "CAR", remark])
    body = text.getvalue().encode()
    run = plan_run(every_rule, FIRST_LINE + (body if last else body.rstrip(b"\r\n")), chunks)
    predictions, rejects, receipt = run.score_and_publish()
    assert receipt.rejected == 0, rejects
    assert [row[:3] for row in parse(predictions)[1:]] == [
        [id_, branch, str(number)] for number, (id_, branch, *_) in enumerate(table, 1)
    ]


IDS = [
    "007", "0", "", " 7 ", "\t7", "1e5", "1.0", "é", "\N{EURO SIGN}", "\ufeff7", "x\x01y", "xڀ", "NULL", "nan", "'",
    "=1+1", "-", "\\", "\\n", "a;b", "\u2028", "\x85", "\x1f", "\x0b7", "\xa07",
]  # fmt: skip
QUOTED_IDS = [",", '"', 'a""b', "a\nb", "a\r\nb", ", ", ' "', '""', "a,b;c"]


@pytest.mark.parametrize("quoted", [False, True], ids=["bare", "quoted"])
@pytest.mark.parametrize("first", IDS)
def test_ids_are_echoed_byte_for_byte(every_rule: Registry, plan_run: PlanRun, first: str, quoted: bool) -> None:  # noqa: FBT001
    """Leading zeros, spaces, other alphabets and odd marks survive, also as the very first bytes of a chunk."""
    ids = [first, *IDS, *(QUOTED_IDS if quoted else [])]
    rows = [
        ('"' + text.replace('"', '""') + '"' if quoted else text) + ",2,3,4,A," + ("" if quoted else text) + ",CAR,\n"
        for text in ids
    ]
    predictions, _, receipt = plan_run(every_rule, FIRST_LINE + "".join(rows).encode()).score_and_publish()
    assert receipt.scored == len(ids)
    assert [row[0] for row in parse(predictions)[1:]] == ids
    if not quoted:
        lines = predictions.split(b"\n")[1:-1]
        assert [line.rsplit(b",", 3)[0] for line in lines] == [f"{text},{text}".encode() for text in ids]


def test_empty_and_quoted_empty_ids_stay_apart(every_rule: Registry, plan_run: PlanRun) -> None:
    """An empty id comes out empty, a pair of quotes comes out as a pair of quotes."""
    body = b',2,3,4,A,b,CAR,\n"",2,3,4,A,b,CAR,\n'
    predictions, _, _ = plan_run(every_rule, FIRST_LINE + body).score_and_publish()
    assert [line.split(b",")[0] for line in predictions.split(b"\n")[1:3]] == [b"", b'""']


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("chunks", [1, 4])
def test_declared_encoding_is_kept(
    tmp_path_factory: pytest.TempPathFactory, plan_run: PlanRun, encoding: str, chunks: int
) -> None:
    """In a declared encoding, categories are understood, and ids, names and rejects come out in that encoding."""
    contract = Contract(
        1,
        "made up",
        (
            Column("größe,id", Role.ID),
            Column("straße", Role.FEATURE, Type.CATEGORY, categories=("Öd", "Nördlich")),
            Column("n", Role.FEATURE, Type.NUMBER),
        ),
        encoding=encoding,
    )
    models = tmp_path_factory.mktemp("encoded") / "models"
    registry = Registry(models, publish_linear(models, contract), contract)
    content = '"größe,id",straße,n\nü1,Öd,7\n"ä,""2",Nördlich,2\nß3,Süd,3\nö4,Öd,x\n'.encode(encoding)
    predictions, rejects, receipt = plan_run(registry, content, chunks).score_and_publish()
    assert (receipt.scored, receipt.rejected) == (2, 2)
    rows = parse(predictions, encoding)
    assert rows[0][0] == "größe,id"
    assert [row[0] for row in rows[1:]] == ["ü1", 'ä,"2']
    assert rows[1][2] != rows[2][2]
    rows = parse(rejects, encoding)
    assert [row[2] for row in rows[1:]] == ["straße", "n"]
    assert rows[1][4] == "straße is none of Öd, Nördlich."
    assert [row[5] for row in rows[1:]] == ["ß3,Süd,3", "ö4,Öd,x"]
    with pytest.raises(UnicodeDecodeError):
        predictions.decode()


def test_undefined_byte_of_an_encoding_costs_its_row(tmp_path: Path, plan_run: PlanRun) -> None:
    """A byte that the declared encoding does not have rejects its row and comes out verbatim."""
    contract = Contract(
        1, "made up", (Column("id", Role.ID), Column("n", Role.FEATURE, Type.NUMBER)), encoding="cp1252"
    )
    registry = Registry(tmp_path / "models", publish_linear(tmp_path / "models", contract), contract)
    _, rejects, receipt = plan_run(registry, b"id,n\n\xe9,1\n\x81,2\n\x80,3\n").score_and_publish()
    assert (receipt.scored, receipt.rejected) == (2, 1)
    assert rejects.endswith(b',"\x81,2"\n')


def test_receipt_seals_what_was_published(every_rule: Registry, plan_run: PlanRun) -> None:
    """Every hash, size and count of the receipt is that of the files, and it reads back as it was given."""
    content = FIRST_LINE + mixed_body(300)
    run = plan_run(every_rule, content, 5)
    predictions, rejects, receipt = run.score_and_publish()
    assert read_receipt(run.target.receipt) == receipt
    assert (receipt.predictions.bytes, receipt.predictions.blake3) == (
        len(predictions),
        blake3(predictions).hexdigest(),
    )
    assert (receipt.rejects.bytes, receipt.rejects.blake3) == (len(rejects), blake3(rejects).hexdigest())
    assert (receipt.input.bytes, receipt.input.blake3) == (len(content), blake3(content).hexdigest())
    assert receipt.plan_sha256 == hashlib.sha256(msgspec.json.encode(run.batch)).hexdigest()
    assert receipt.model == every_rule.pin
    manifest, _ = read_manifest(every_rule.models, every_rule.pin.version)
    graph = (every_rule.models / "versions" / every_rule.pin.version / "model.onnx").read_bytes()
    assert receipt.model_sha256 == manifest.files["model.onnx"].sha256 == hashlib.sha256(graph).hexdigest()
    assert [part.chunk for part in receipt.parts] == list(range(len(run.batch.plan.chunks)))
    assert receipt.scored == sum(part.scored for part in receipt.parts) == len(parse(predictions)) - 1
    assert receipt.rejected == sum(part.rejected for part in receipt.parts) == len(parse(rejects, "latin-1")) - 1
    at = predictions.index(b"\n") + 1
    for part in receipt.parts:
        piece = predictions[at : at + part.predictions.bytes]
        assert blake3(piece).hexdigest() == part.predictions.blake3
        at += len(piece)
    assert at == len(predictions)
    assert set(receipt.packages) == {"numpy", "onnxruntime", "polars"}
    assert sorted(os.listdir(run.target.receipt.parent)) == [
        "loans.predictions.csv", "loans.receipt.json", "loans.rejects.csv",
    ]  # fmt: skip


def test_predictions_come_last(every_rule: Registry, plan_run: PlanRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees the predictions sees rejects and receipt: they are renamed into place before."""
    run = plan_run(every_rule, FIRST_LINE + b"1,2,3,4,A,6,CAR,8\n")
    run.score()
    order: list[str] = []
    real = os.rename

    def rename(source: str | Path, target: str | Path) -> None:
        real(source, target)
        order.append(Path(target).name)

    monkeypatch.setattr("scoring.atomic.os.rename", rename)
    run.publish()
    assert order[-1] == "loans.predictions.csv"
    assert sorted(order[:-1]) == ["loans.receipt.json", "loans.rejects.csv"]


def test_failing_receipt_publishes_no_predictions(
    every_rule: Registry, plan_run: PlanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the receipt cannot be written, no predictions appear."""
    run = plan_run(every_rule, FIRST_LINE + b"1,2,3,4,A,6,CAR,8\n")
    run.score()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scoring.results.receipt.write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        run.publish()
    assert "loans.predictions.csv" not in os.listdir(run.target.predictions.parent)
    assert not [name for name in os.listdir(run.target.predictions.parent) if name.endswith(".tmp")]


def test_header_alone_is_published_empty(every_rule: Registry, plan_run: PlanRun) -> None:
    """A file without rows gives predictions and rejects that are headers alone, and a receipt of zero rows."""
    predictions, rejects, receipt = plan_run(every_rule, FIRST_LINE).score_and_publish()
    assert predictions == b"id,branch,row_number,pd,model_version\n"
    assert rejects == b"row_number,line,column,rule,message,raw\n"
    assert (receipt.rows_in, receipt.scored, receipt.rejected, receipt.parts) == (0, 0, 0, [])


def test_rejects_can_be_told_from_the_input(every_rule: Registry, plan_run: PlanRun) -> None:
    """Each reject names the physical line, behind records of several lines, where its text really stands."""
    content = FIRST_LINE + mixed_body(400)
    _, rejects, _ = plan_run(every_rule, content, 6).score_and_publish()
    records = split_records(content[len(FIRST_LINE) :], ord(","), len(HEADER))
    for row, line, *_, raw in parse(rejects, "latin-1")[1:]:
        start = len(FIRST_LINE) + records[int(row) - 1][0]
        assert content.count(b"\n", 0, start) + 1 == int(line)
        assert content[start:].startswith(raw.encode("latin-1"))


def test_pd_is_written_exactly(reference: Registry, plan_run: PlanRun, generated: bytes) -> None:
    """Each written probability reads back as the very float32 that the model gave."""
    from scoring.csv.reader import read_loans
    from scoring.models.model import open_model

    run = plan_run(reference, generated)
    predictions, _, _ = run.score_and_publish()
    model = open_model(reference.models, reference.pin.version)
    plan = run.batch.plan
    expected = np.concatenate(
        [
            model.graph.predict(block.values.features)
            for block in read_loans(plan.source, plan.chunks[0], reference.contract)
        ]
    )
    written = np.array([row[2] for row in parse(predictions)[1:]]).astype(np.float64)
    np.testing.assert_array_equal(written.astype(np.float32), expected)
    assert len(np.unique(expected)) > 1_000


def test_names_of_columns_are_quoted_where_needed(every_rule: Registry) -> None:
    """Names with separators, quotes or line ends are quoted in the published header."""
    assert [quote_name(name) for name in ("id", "a,b", 'a"b', "a\nb", "a b")] == [
        "id", '"a,b"', '"a""b"', '"a\nb"', "a b",
    ]  # fmt: skip
    manifest, _ = read_manifest(every_rule.models, every_rule.pin.version)
    assert prediction_columns(manifest) == ["id", "branch", "row_number", "pd", "model_version"]


def test_too_long_line_is_no_publication(every_rule: Registry, plan_run: PlanRun) -> None:
    """A file with a line that no loan has ends as a refusal, and nothing is published."""
    with pytest.raises(FileRefusedError):
        plan_run(every_rule, FIRST_LINE + b"x" * (3 << 20) + b"\n").score_and_publish()
