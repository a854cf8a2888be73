"""From a dropped file to the CSV that is planned: packed files unpacked, mended rejects unwrapped, others kept."""

import csv
import gzip
import io
from pathlib import Path

import pytest

from scoring.errors import FileRefusedError
from scoring.results.content import prepare_content
from tests.unit.scoring.conftest import PlanRun, Registry, Run
from tests.unit.scoring.csv_bodies import HEADER, mixed_body

FIRST_LINE = (",".join(HEADER) + "\n").encode()
ROOMY = 1 << 30


@pytest.fixture
def published(every_rule: Registry, plan_run: PlanRun) -> Run:
    """Give a published batch with rejects of every kind."""
    run = plan_run(every_rule, FIRST_LINE + mixed_body(200), 2)
    run.score_and_publish()
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder that a batch prepares its input in."""
    (tmp_path / "batch").mkdir()
    return tmp_path / "batch"


def raw_records(run: Run) -> list[str]:
    """List the rejected records, bytes as characters."""
    text = io.StringIO(run.target.rejects.read_bytes().decode("latin-1"), newline="")
    return [record[5] for record in csv.reader(text)][1:]


def test_plain_file_is_planned_as_it_is(folder: Path, tmp_path: Path) -> None:
    """A CSV is not copied."""
    path = tmp_path / "loans.csv"
    path.write_bytes(FIRST_LINE)
    assert prepare_content(path, "loans.csv", folder, tmp_path, ROOMY) == path
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["loans.csv.gz", "LOANS.CSV.GZ"])
def test_packed_file_is_unpacked(folder: Path, tmp_path: Path, name: str) -> None:
    """What is called .gz is unpacked into the batch's folder; what is not gzip inside is refused."""
    path = tmp_path / "dropped"
    path.write_bytes(gzip.compress(FIRST_LINE))
    assert prepare_content(path, name, folder, tmp_path, ROOMY).read_bytes() == FIRST_LINE
    path.write_bytes(FIRST_LINE)
    with pytest.raises(FileRefusedError):
        prepare_content(path, name, folder, tmp_path, ROOMY)


@pytest.mark.parametrize("packed", [False, True])
def test_rejects_come_back_as_their_records(published: Run, folder: Path, packed: bool) -> None:  # noqa: FBT001
    """A rejects file that is dropped again gives the header of its file and each record byte for byte."""
    rejects = published.target.rejects
    name = "loans.rejects.csv"
    if packed:
        rejects.write_bytes(gzip.compress(rejects.read_bytes()))
        name += ".gz"
    prepared = prepare_content(rejects, name, folder, published.target.receipt.parent, ROOMY)
    if packed:
        rejects.write_bytes(gzip.decompress(rejects.read_bytes()))
    records = raw_records(published)
    assert len(records) > 20
    assert prepared.read_bytes() == FIRST_LINE + "".join(record + "\n" for record in records).encode("latin-1")


def test_mended_rejects_are_scored(published: Run, folder: Path, every_rule: Registry, plan_run: PlanRun) -> None:
    """Rejects whose records were mended in a spreadsheet, which saves its own way, are scored with their ids."""
    mended = io.StringIO(newline="")
    writer = csv.writer(mended, delimiter=";", lineterminator="\r\n")
    writer.writerow(["row_number", "line", "column", "rule", "message", "raw"])
    ids = [f"00{number}" for number in range(len(raw_records(published)))]
    writer.writerows([7, 8, "", "stray_quote", "x", f'{id_},2,3,4,A,"b ""1""",CAR,'] for id_ in ids)
    path = folder / "loans.rejects.csv"
    path.write_bytes(b"\xef\xbb\xbf" + mended.getvalue().encode())
    prepared = prepare_content(path, path.name, folder, published.target.receipt.parent, ROOMY)
    predictions, _, receipt = plan_run(every_rule, prepared.read_bytes()).score_and_publish()
    assert (receipt.scored, receipt.rejected) == (len(ids), 0)
    assert [line.split(b",")[0].decode() for line in predictions.splitlines()[1:]] == ids


def test_empty_lines_in_mended_rejects_do_not_matter(published: Run, folder: Path) -> None:
    """Empty lines that an editor left between or behind the rejects are passed over."""
    rejects = published.target.rejects
    content = rejects.read_bytes()
    first = content.index(b"\n") + 1
    rejects.write_bytes(content[:first] + b"\n" + content[first:] + b"\r\n\n")
    prepared = prepare_content(rejects, rejects.name, folder, published.target.receipt.parent, ROOMY)
    rejects.write_bytes(content)
    assert prepared.read_bytes().count(b"\n") == 1 + sum(1 + record.count("\n") for record in raw_records(published))


@pytest.mark.parametrize("damage", [b"1,2\n", b'1,2,"",rule,"x","never closed\n', b'1,2,"x"y,rule,"x",raw\n'])
def test_damaged_rejects_are_refused(published: Run, folder: Path, damage: bytes) -> None:
    """A rejects file that lost a column or a quote while it was mended is refused, and nothing is prepared."""
    rejects = published.target.rejects
    rejects.write_bytes(rejects.read_bytes() + damage)
    with pytest.raises(FileRefusedError) as refused:
        prepare_content(rejects, rejects.name, folder, published.target.receipt.parent, ROOMY)
    assert refused.value.code == "rejects_damaged"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["other.rejects.csv", "rejects", "loans.rejects.csv.csv"])
def test_rejects_without_their_receipt_are_refused(published: Run, folder: Path, name: str) -> None:
    """Under a name that leads to no receipt, nobody can tell how the records are read, and that is said."""
    with pytest.raises(FileRefusedError) as refused:
        prepare_content(published.target.rejects, name, folder, published.target.receipt.parent, ROOMY)
    assert refused.value.code == "rejects_without_receipt"
    assert refused.value.way_out


def test_lines_without_content_in_mended_rejects_do_not_matter(
    published: Run, folder: Path, every_rule: Registry, plan_run: PlanRun
) -> None:
    """Lines of separators that a spreadsheet left in a rejects file are passed over; empty records stay rejected."""
    rejects = published.target.rejects
    lines = [b"row_number,line,column,rule,message,raw", b"", b",,,,,", b'5,6,"",empty_record,"x",",,,,,,,"']
    lines += [
        b',,,," ",""',
        b'7,8,"",stray_quote,"x","7,2,3,4,A,6,CAR,8"',
        b",,",
        b'9,9,"",empty_record,"x",",,"',
        b",,",
    ]
    rejects.write_bytes(b"\r\n".join(lines) + b"\r\n")
    prepared = prepare_content(rejects, rejects.name, folder, published.target.receipt.parent, ROOMY)
    assert prepared.read_bytes() == FIRST_LINE + b",,,,,,,\n7,2,3,4,A,6,CAR,8\n,,\n"
    _, again, receipt = plan_run(every_rule, prepared.read_bytes()).score_and_publish()
    assert (receipt.rows_in, receipt.scored, receipt.rejected) == (2, 1, 1)
    assert again.splitlines()[1].startswith(b'1,2,"",empty_record,')
