"""Merging refuses whatever is not the plan, exactly once and unaltered; then nothing appears at the target."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from scoring.chunk.part import Outcome, Sealed, name_part, read_outcome
from scoring.chunk.plan import BatchPlan, read_batch_plan
from scoring.chunk.score import score_chunk
from scoring.errors import LoansError, ModelError, ProofError
from scoring.results.merge import find_plan_problems, gather_outcomes, join_files
from tests.unit.scoring.conftest import PlanRun, Registry, Run
from tests.unit.scoring.csv_bodies import HEADER

FIRST_LINE = (",".join(HEADER) + "\n").encode()
BODY = b"".join(b"%d,2,3,4,%s,6,CAR,8\n" % (number, b"Z" if number % 5 == 0 else b"A") for number in range(1, 41))


@pytest.fixture
def run(every_rule: Registry, plan_run: PlanRun) -> Run:
    """Give a batch of four chunks, all scored, each with predictions and rejects."""
    run = plan_run(every_rule, FIRST_LINE + BODY, 4)
    run.score()
    assert len(run.batch.plan.chunks) == 4
    return run


def refuse(run: Run, match: str, batch: BatchPlan | None = None) -> ProofError:
    """Give the refusal of a merge, after which nothing is at the target."""
    with pytest.raises(ProofError, match=match) as refused:
        Run(batch or run.batch, run.target).publish()
    assert os.listdir(run.target.predictions.parent) == []
    return refused.value


def part_file(run: Run, chunk: int, kind: str) -> Path:
    """Name one file of a part."""
    path: Path = getattr(name_part(Path(run.batch.parts), chunk), kind)
    return path


def rewrite_outcome(run: Run, chunk: int, **changes: object) -> None:
    """Change an outcome that is on disk."""
    path = part_file(run, chunk, "outcome")
    outcome = read_outcome(path)
    assert outcome is not None
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(outcome, **changes)))


def with_chunk(batch: BatchPlan, place: int, /, **changes: object) -> BatchPlan:
    """Change a chunk of a plan."""
    chunks = list(batch.plan.chunks)
    chunks[place] = msgspec.structs.replace(chunks[place], **changes)
    return msgspec.structs.replace(batch, plan=msgspec.structs.replace(batch.plan, chunks=tuple(chunks)))


def test_sound_parts_are_published(run: Run) -> None:
    """The batch that the tests below damage is published when it is left alone."""
    receipt = run.publish()
    assert (receipt.scored, receipt.rejected) == (32, 8)
    assert all(part.predictions.bytes and part.rejects.bytes for part in receipt.parts)


def test_missing_outcome_is_named(run: Run) -> None:
    """Every chunk without an outcome is named, all at once."""
    part_file(run, 1, "outcome").unlink()
    part_file(run, 3, "outcome").unlink()
    assert "chunk 1 has no part; chunk 3 has no part" in refuse(run, "do not make up the plan").what


@pytest.mark.parametrize("kind", ["predictions", "rejects"])
def test_missing_part_is_refused(run: Run, kind: str) -> None:
    """A part that went missing after its outcome was written is named."""
    part_file(run, 2, kind).unlink()
    refuse(run, f"000002.{kind}.csv is missing")


@pytest.mark.parametrize("kind", ["predictions", "rejects"])
@pytest.mark.parametrize("place", [0, 50, -1])
@pytest.mark.parametrize("chunk", [0, 3])
def test_one_altered_bit_is_refused(run: Run, kind: str, place: int, chunk: int) -> None:
    """One flipped bit anywhere in any part is refused, and the part is named."""
    path = part_file(run, chunk, kind)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    refuse(run, f"{chunk:06d}.{kind}.csv is not what was written")


@pytest.mark.parametrize("kind", ["predictions", "rejects"])
@pytest.mark.parametrize("change", ["cut", "emptied", "longer"])
def test_part_of_another_length_is_refused(run: Run, kind: str, change: str) -> None:
    """A part that was cut by one byte, emptied, or had a byte added is refused."""
    path = part_file(run, 1, kind)
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-1], "emptied": b"", "longer": content + b"\n"}[change])
    refuse(run, rf"000001\.{kind}\.csv has \d+ bytes, its outcome says \d+")


def test_doubled_part_is_refused(run: Run) -> None:
    """The whole part of one chunk copied over that of another is refused, files and outcome alike."""
    for kind in ("predictions", "rejects", "outcome"):
        shutil.copy(part_file(run, 1, kind), part_file(run, 2, kind))
    refuse(run, "the part of chunk 2 is that of chunk 1")


def test_doubled_files_under_own_outcome_are_refused(run: Run) -> None:
    """The predictions of one chunk copied over those of another are refused by hash, though the length is the same."""
    shutil.copy(part_file(run, 1, "predictions"), part_file(run, 2, "predictions"))
    refuse(run, "000002.predictions.csv")


def test_parts_in_the_wrong_places_are_refused(run: Run) -> None:
    """Two parts that changed places, outcomes included, are refused."""
    for kind in ("predictions", "rejects", "outcome"):
        one, other = part_file(run, 1, kind), part_file(run, 2, kind)
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)
    refused = refuse(run, "the part of chunk 1 is that of chunk 2")
    assert "the part of chunk 2 is that of chunk 1" in refused.what


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"batch": "other"}, "that of chunk 2 of batch other"),
        ({"rows_in": 9, "scored": 7}, "chunk 2 read 9 rows"),
        ({"first_row": 1}, "rows from row 1"),
        ({"scored": 9}, "scored 9 and rejected"),
        ({"read_blake3": "0" * 64}, "chunk 2 read other bytes"),
        ({"format": 99}, "has format 99"),
    ],
)
def test_outcome_of_something_else_is_refused(run: Run, changes: dict[str, object], match: str) -> None:
    """An outcome of another batch, other rows or other bytes, or whose sums are wrong, is refused."""
    rewrite_outcome(run, 2, **changes)
    refuse(run, match)


def test_outcome_of_another_model_is_refused(run: Run) -> None:
    """A part that another version scored, or a version of the same name that is not the pinned one, is refused."""
    for pin in (
        msgspec.structs.replace(run.batch.model, version="other"),
        msgspec.structs.replace(run.batch.model, manifest_sha256="0" * 64),
    ):
        rewrite_outcome(run, 0, model=pin)
        refuse(run, "chunk 0 was scored with version")


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"null", b'{"format": 1}'])
def test_unreadable_outcome_is_refused(run: Run, content: bytes) -> None:
    """An outcome that was cut or is something else is a sentence, not a traceback."""
    part_file(run, 1, "outcome").write_bytes(content)
    refuse(run, "does not read")


def test_flipped_bit_in_an_outcome_is_refused(run: Run) -> None:
    """A flipped bit that makes an outcome no text is refused like any other damage."""
    path = part_file(run, 1, "outcome")
    path.write_bytes(path.read_bytes().replace(b'"host":"', b'"host":"\xff'))
    refuse(run, "does not read")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda batch: with_chunk(batch, 1, start=batch.plan.chunks[1].start + 1), "chunk 1 starts at byte"),
        (lambda batch: with_chunk(batch, 1, start=batch.plan.chunks[1].start - 1), "chunk 1 starts at byte"),
        (lambda batch: with_chunk(batch, 0, start=0), "chunk 0 starts at byte 0"),
        (lambda batch: with_chunk(batch, 2, first_row=1), "chunk 2 starts with row 1"),
        (lambda batch: with_chunk(batch, 3, rows=1), "the chunks end with row 3"),
        (lambda batch: with_chunk(batch, 2, number=1), "chunk 1 stands in the place of chunk 2"),
        (
            lambda batch: msgspec.structs.replace(
                batch, plan=msgspec.structs.replace(batch.plan, chunks=batch.plan.chunks[:-1])
            ),
            "the file has 40",
        ),
        (
            lambda batch: msgspec.structs.replace(
                batch, plan=msgspec.structs.replace(batch.plan, chunks=batch.plan.chunks[1:])
            ),
            "chunk 1 stands in the place of chunk 0",
        ),
    ],
)
def test_plan_with_gap_or_overlap_is_refused(run: Run, damage: Callable[[BatchPlan], BatchPlan], problem: str) -> None:
    """A plan whose chunks leave bytes or rows out, or take them twice, is refused whatever the parts say."""
    batch = damage(run.batch)
    assert any(problem in found for found in find_plan_problems(batch)), find_plan_problems(batch)
    refuse(run, "do not make up the plan", batch)


def test_outcomes_come_in_order(run: Run) -> None:
    """Sound outcomes are given in the order of the chunks."""
    assert [outcome.chunk for outcome in gather_outcomes(run.batch)] == [0, 1, 2, 3]
    assert find_plan_problems(run.batch) == []


@pytest.mark.parametrize("kernel", ["copy_file_range", "sendfile"])
def test_files_are_joined_in_order(tmp_path: Path, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts, empty ones too, stand behind the header in order, whichever way the kernel copies."""
    from blake3 import blake3

    if kernel != "copy_file_range":

        def refuse_copy(*_: object) -> int:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr("scoring.results.merge.os.copy_file_range", refuse_copy)
    contents = [b"one\n", b"", b"two\n" * 1000, b"three"]
    parts = []
    for number, content in enumerate(contents):
        path = tmp_path / str(number)
        path.write_bytes(content)
        parts.append((path, Sealed(len(content), blake3(content).hexdigest())))
    with (tmp_path / "target").open("w+b") as target:
        sealed = join_files(parts, b"header\n", target)
    joined = b"header\n" + b"".join(contents)
    assert (tmp_path / "target").read_bytes() == joined
    assert sealed == Sealed(len(joined), blake3(joined).hexdigest())


@pytest.mark.parametrize("place", [0, 17, -1])
def test_job_refuses_a_range_that_changed(every_rule: Registry, plan_run: PlanRun, place: int) -> None:
    """When one byte of the input changes after planning, the job of that range refuses and leaves no part of it."""
    run = plan_run(every_rule, FIRST_LINE + BODY, 4)
    chunk = run.batch.plan.chunks[2]
    path = Path(run.batch.plan.source.path)
    content = bytearray(path.read_bytes())
    at = (chunk.start if place >= 0 else chunk.stop) + place
    content[at] = ord("7") if content[at] != ord("7") else ord("9")
    path.write_bytes(content)
    for number in (0, 1, 3):
        score_chunk(run.batch, number, threads=1)
    with pytest.raises(ProofError):
        score_chunk(run.batch, 2, threads=1)
    assert not [name for name in os.listdir(run.batch.parts) if name.startswith(("000002", "."))]
    refuse(run, "chunk 2 has no part")


def test_job_that_fails_again_leaves_the_good_part(run: Run) -> None:
    """A job that runs a second time and fails does not take away the part that was already good."""
    before = {name: (Path(run.batch.parts) / name).read_bytes() for name in os.listdir(run.batch.parts)}
    source = Path(run.batch.plan.source.path)
    source.write_bytes(source.read_bytes()[:-5])
    with pytest.raises(ProofError):
        score_chunk(run.batch, 3, threads=1)
    assert {name: (Path(run.batch.parts) / name).read_bytes() for name in os.listdir(run.batch.parts)} == before
    run.publish()


def test_job_may_run_twice(run: Run) -> None:
    """A second run of a chunk gives the same part, and the merge takes it."""
    before = part_file(run, 1, "predictions").read_bytes()
    outcome = score_chunk(run.batch, 1, threads=2)
    assert part_file(run, 1, "predictions").read_bytes() == before
    assert isinstance(outcome, Outcome)
    run.publish()


def test_job_refuses_what_it_was_not_given(run: Run) -> None:
    """A chunk that the plan does not have, and a model that is not the pinned one, are refused."""
    for number in (-1, 4):
        with pytest.raises(LoansError, match=f"no chunk {number}"):
            score_chunk(run.batch, number, threads=1)
    pin = msgspec.structs.replace(run.batch.model, manifest_sha256="0" * 64)
    with pytest.raises(ModelError, match="was altered"):
        score_chunk(msgspec.structs.replace(run.batch, model=pin), 0, threads=1)


def test_plan_is_read_back(tmp_path: Path, run: Run) -> None:
    """A plan on disk reads back as it was written; another format, damage and a flipped bit are refused in words."""
    path = tmp_path / "plan.json"
    content = msgspec.json.encode(run.batch)
    path.write_bytes(content)
    assert read_batch_plan(path) == run.batch
    for damaged in (content[:-1], b"", content.replace(b'"batch":"', b'"batch":"\xff'), content[1:], b"[]"):
        path.write_bytes(damaged)
        with pytest.raises(ProofError, match="does not read"):
            read_batch_plan(path)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(run.batch, format=99)))
    with pytest.raises(ProofError, match="has format 99"):
        read_batch_plan(path)
