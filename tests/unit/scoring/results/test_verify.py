"""Proving a receipt again from the files: what is sound is found sound, and whatever was altered is named."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.chunk.part import Sealed
from scoring.results.receipt import Receipt
from scoring.results.verify import verify_result
from tests.unit.scoring.conftest import PlanRun, Registry, Run
from tests.unit.scoring.csv_bodies import HEADER, bodies
from tests.unit.scoring.linear_model import publish_linear

FIRST_LINE = (",".join(HEADER) + "\n").encode()
BODY = b"".join(
    b'%d,2,3,4,%s,"6\n,%d",CAR,8\r\n' % (number, b"Z" if number % 5 == 0 else b"A", number) for number in range(1, 31)
)


@pytest.fixture
def published(every_rule: Registry, plan_run: PlanRun) -> tuple[Run, Receipt]:
    """Give a published batch of three chunks with 24 predictions and 6 rejects."""
    run = plan_run(every_rule, FIRST_LINE + BODY, 3)
    run.score()
    return run, run.publish()


def find_problems(run: Run, receipt: Receipt, models: Path | None = None) -> dict[str, str]:
    """Verify; give what is wrong, by what was checked."""
    checks = verify_result(Path(run.batch.plan.source.path), receipt, run.target, models or Path(run.batch.models))
    assert len({check.what for check in checks}) == len(checks)
    return {check.what: check.problem for check in checks if check.problem}


def reseal(path: Path) -> Sealed:
    """Seal a file as it is, as a forger would."""
    return Sealed(path.stat().st_size, blake3(path.read_bytes()).hexdigest())


ACCOUNT = "every record once, in order"


@given(body=bodies, chunks=st.sampled_from([1, 4]))
@settings(max_examples=40)
def test_any_result_is_found_sound(every_rule: Registry, plan_run: PlanRun, body: bytes, chunks: int) -> None:
    """For any bytes as input, the independent reader finds every record where the engine put it."""
    run = plan_run(every_rule, FIRST_LINE + body, chunks)
    run.score()
    assert find_problems(run, run.publish()) == {}


@pytest.mark.parametrize("separator", [b";", b"\t"])
def test_other_separators_are_found_sound(every_rule: Registry, plan_run: PlanRun, separator: bytes) -> None:
    """A file with another separator, and commas in its ids, is proved as well."""
    body = b"a|b|c,d|4|A|x|CAR|\nz,z|2|3|4|A|x,y|CAR|\n".replace(b"|", separator)
    run = plan_run(every_rule, FIRST_LINE.replace(b",", separator) + body)
    run.score()
    receipt = run.publish()
    assert (receipt.scored, receipt.rejected) == (1, 1)
    assert find_problems(run, receipt) == {}


def test_what_is_checked_is_told(published: tuple[Run, Receipt]) -> None:
    """A sound result passes every check, and each says what it was."""
    run, receipt = published
    checks = verify_result(Path(run.batch.plan.source.path), receipt, run.target, Path(run.batch.models))
    assert [check.problem for check in checks] == [""] * len(checks)
    assert {"input", "predictions", "rejects", "model", ACCOUNT} <= {check.what for check in checks}


@pytest.mark.parametrize("what", ["input", "predictions", "rejects"])
@pytest.mark.parametrize("place", [0, 90, -2])
def test_one_altered_bit_is_named(published: tuple[Run, Receipt], what: str, place: int) -> None:
    """One flipped bit anywhere in the input or a published file: verifying says which file it is."""
    run, receipt = published
    path = Path(run.batch.plan.source.path) if what == "input" else getattr(run.target, what)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    problems = find_problems(run, receipt)
    assert str(path) in problems[what]
    assert not {"input", "predictions", "rejects"} - {what} & problems.keys()


@pytest.mark.parametrize("what", ["input", "predictions", "rejects"])
def test_missing_file_is_named(published: tuple[Run, Receipt], what: str) -> None:
    """A file that is gone is named, and the others are checked all the same."""
    run, receipt = published
    path = Path(run.batch.plan.source.path) if what == "input" else getattr(run.target, what)
    path.unlink()
    problems = find_problems(run, receipt)
    assert problems[what] == f"{path} is missing"
    assert not {"input", "predictions", "rejects"} - {what} & problems.keys()


@pytest.mark.parametrize(
    ("what", "forge"),
    [
        ("predictions", lambda content: content.replace(b'\n2,"6', b'\n3,"6', 1)),
        ("predictions", lambda content: content.replace(b'7",7,', b'7",8,', 1)),
        ("predictions", lambda content: content[: content.index(b'\n29,"6') + 1]),
        ("predictions", lambda content: content + content[content.index(b'\n29,"6') + 1 :]),
        ("predictions", lambda text: text.replace(text[text.index(b'\n1,"6') : text.index(b'\n2,"6')], b"")),
        ("rejects", lambda content: content.replace(b"\n10,", b"\n11,", 1)),
        ("rejects", lambda content: content.replace(b"5,2,3", b"5,2,4", 1)),
        ("rejects", lambda content: content[: content.index(b"\n30,") + 1]),
        ("rejects", lambda content: content + content[content.index(b"\n30,") + 1 :]),
        ("rejects", lambda content: content.replace(b"\n5,", b"\nfive,", 1)),
        ("rejects", lambda _: b""),
    ],
)  # fmt: skip
def test_forged_seals_do_not_help(published: tuple[Run, Receipt], what: str, forge: Callable[[bytes], bytes]) -> None:
    """Rows that were dropped, doubled, renumbered or given other ids are found though the seals were forged to fit."""
    run, receipt = published
    path: Path = getattr(run.target, what)
    content = path.read_bytes()
    forged = forge(content)
    assert forged != content
    path.write_bytes(forged)
    problems = find_problems(run, msgspec.structs.replace(receipt, **{what: reseal(path)}))
    assert what not in problems
    assert ACCOUNT in problems


@pytest.mark.parametrize("cut", [1, 3])
def test_rows_that_the_input_has_besides_are_found(published: tuple[Run, Receipt], cut: int) -> None:
    """Rows at the end of the input that no result names are found, though the input's seal was forged to fit."""
    run, receipt = published
    path = Path(run.batch.plan.source.path)
    path.write_bytes(path.read_bytes() + b"31,2,3,4,A,6,CAR,8\n" * cut)
    assert "goes on after row 30" in find_problems(run, msgspec.structs.replace(receipt, input=reseal(path)))[ACCOUNT]


@pytest.mark.parametrize("change", [{"rows_in": 31}, {"scored": 25}, {"rejected": 5}, {"scored": 23, "rejected": 7}])
def test_sums_that_do_not_add_up_are_found(published: tuple[Run, Receipt], change: dict[str, int]) -> None:
    """A receipt whose counts are not those of its parts is found out."""
    run, receipt = published
    assert "rows in = scored + rejected, part by part" in find_problems(run, msgspec.structs.replace(receipt, **change))


def test_parts_that_were_not_published_are_found(published: tuple[Run, Receipt]) -> None:
    """A part whose hash is not found at its place in the published file is named."""
    run, receipt = published
    parts = list(receipt.parts)
    parts[1] = msgspec.structs.replace(parts[1], rejects=Sealed(parts[1].rejects.bytes, "0" * 64))
    problems = find_problems(run, msgspec.structs.replace(receipt, parts=parts))
    assert problems == {
        "every part in the published files": "the rejects of chunk 1 are not the ones that were written"
    }


def test_altered_model_is_named(published: tuple[Run, Receipt], tmp_path: Path, every_rule: Registry) -> None:
    """A model that was altered, or is gone, is named."""
    run, receipt = published
    models = tmp_path / "models"
    pin = publish_linear(models, every_rule.contract)
    there = msgspec.structs.replace(receipt, model=pin)
    assert find_problems(run, there, models) == {}
    path = models / "versions" / pin.version / "model.onnx"
    path.write_bytes(path.read_bytes() + b"x")
    assert "model.onnx was altered" in find_problems(run, there, models)["model"]
    assert "cannot be read" in find_problems(run, there, tmp_path / "none")["model"]


HOLLOW = b',,,,,,,\n\n" ",,\t,"",,,,\r\n,,\n'


def test_records_without_content_are_accounted_for(every_rule: Registry, plan_run: PlanRun) -> None:
    """Within the file they are rejects, at its end no rows; a row with content among those at the end is found."""
    run = plan_run(every_rule, FIRST_LINE + BODY + HOLLOW + BODY + HOLLOW * 9 + b",,,,,,,", 3)
    run.score()
    receipt = run.publish()
    assert (receipt.rows_in, receipt.scored, receipt.rejected) == (64, 48, 16)
    assert find_problems(run, receipt) == {}
    path = Path(run.batch.plan.source.path)
    path.write_bytes(path.read_bytes() + b"\n,,,,,x,,\n")
    assert find_problems(run, msgspec.structs.replace(receipt, input=reseal(path))).keys() == {ACCOUNT}
