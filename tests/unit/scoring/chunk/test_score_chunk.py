"""The program that a job runs: a part and exit code 0, or one line on stderr that holds nothing of a loan."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from scoring.chunk.job import EXIT_STORAGE, main
from scoring.chunk.part import name_part, read_outcome
from scoring.chunk.plan import CHUNK_LIST_FORMAT, BatchPlan, ChunkList, ListedChunk
from scoring.errors import TRANSIENT
from scoring.models.model import Model, open_model
from tests.unit.scoring.conftest import PlanRun, Registry, Run
from tests.unit.scoring.csv_bodies import HEADER

REPOSITORY = Path(__file__).parents[4]
FIRST_LINE = (",".join(HEADER) + "\n").encode()
SECRET = b"SECRET"
ROWS = b"".join(b"SECRET%d,2,3,4,A,SECRET%d,CAR,SECRET\n" % (number, number) for number in range(20))


def write_plan(run: Run, batch: BatchPlan | None = None) -> Path:
    """Write a batch's plan where a job would find it."""
    path = Path(run.batch.parts).parent / "plan.json"
    path.write_bytes(msgspec.json.encode(batch or run.batch))
    return path


def run_program(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the program as a job does."""
    return subprocess.run(
        [sys.executable, "-m", "scoring.chunk.job", *arguments],
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fails_with_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """Run the program in this process and give its one line; the umask that it sets is put back."""
    before = os.umask(0o022)
    try:
        assert main([*arguments, "--patience", "0"]) == code
    finally:
        os.umask(before)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "SECRET" not in told.err
    return told.err


@pytest.fixture(autouse=True)
def _same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what the program sets for its own process."""
    monkeypatch.setenv("POLARS_MAX_THREADS", os.environ.get("POLARS_MAX_THREADS", "1"))


def test_job_leaves_a_part(every_rule: Registry, plan_run: PlanRun) -> None:
    """As a process, it ends with 0, says nothing, leaves a part that the world cannot read, and the batch publishes."""
    run = plan_run(every_rule, FIRST_LINE + ROWS, 2)
    plan = write_plan(run)
    for chunk in ("0", "1"):
        done = run_program("--plan", str(plan), "--chunk", chunk, "--threads", "2")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    files = name_part(Path(run.batch.parts), 1)
    outcome = read_outcome(files.outcome)
    assert outcome is not None
    assert (outcome.chunk, outcome.batch, outcome.model) == (1, run.batch.batch, every_rule.pin)
    assert set(outcome.seconds) == {"open model", "read", "predict", "write"}
    for path in (files.predictions, files.rejects, files.outcome):
        assert path.stat().st_mode & 0o007 == 0
    assert run.publish().scored == 20


def test_failing_job_says_why_on_one_line(every_rule: Registry, plan_run: PlanRun) -> None:
    """As a process, on an input that was changed, it ends with 1 and one line without a cell, and leaves no part."""
    run = plan_run(every_rule, FIRST_LINE + ROWS)
    plan = write_plan(run)
    Path(run.batch.plan.source.path).write_bytes(FIRST_LINE + ROWS.replace(b"SECRET3", b"SECRETx"))
    done = run_program("--plan", str(plan), "--chunk", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Chunk 0 failed on ")
    assert "SECRET" not in done.stderr
    assert list(Path(run.batch.parts).iterdir()) == []


@pytest.mark.parametrize("threads", ["", "2,1", "x", "0", "2"])
def test_odd_thread_counts_of_a_slot_are_no_traceback(tmp_path: Path, threads: str) -> None:
    """Whatever OMP_NUM_THREADS says, the program ends with a line on what is really wrong."""
    done = run_program("--plan", str(tmp_path / "none.json"), "--chunk", "0", OMP_NUM_THREADS=threads)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No such file" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"SECRET7,2,3", b"SECRET7,SECRET,3"),
        lambda content: content.replace(b"SECRET7,2,3", b'SECRET7,"2,3'),
        lambda content: content.replace(b"\nSECRET7", b"SECRET7"),
        lambda content: content[:-9],
        lambda content: content.replace(b"SECRET7,", b"SECRET7,\xff\0"),
        lambda content: content.replace(b"SECRET7", b"SECRET" * 400_000),
        lambda _: b"",
        lambda content: content.replace(b"A,SECRET7", b"SECRET,A"),
    ],
)
def test_line_holds_no_cell(
    every_rule: Registry, plan_run: PlanRun, capsys: pytest.CaptureFixture[str], change: object
) -> None:
    """However the input was changed after planning, the one line names the chunk and holds no cell."""
    run = plan_run(every_rule, FIRST_LINE + ROWS)
    plan = write_plan(run)
    assert callable(change)
    changed = change(FIRST_LINE + ROWS)
    assert changed != FIRST_LINE + ROWS
    Path(run.batch.plan.source.path).write_bytes(changed)
    assert "Chunk 0 failed on" in fails_with_one_line(["--plan", str(plan), "--chunk", "0"], capsys)
    assert list(Path(run.batch.parts).iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        ValueError("cell SECRET\nline"),
        MemoryError(),
        UnicodeDecodeError("utf-8", b"SECRET\xff", 6, 7, "bad SECRET"),
        OSError(28, "No space left on device", "/shared/part"),
        OSError("SECRET"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_foreign_errors_are_not_quoted(
    every_rule: Registry, plan_run: PlanRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:  # fmt: skip
    """Errors of other libraries, which may quote a cell, are told by their kind and place alone."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("scoring.csv.values.pl.read_csv", fail)
    run = plan_run(every_rule, FIRST_LINE + ROWS)
    code = EXIT_STORAGE if isinstance(error, OSError) and error.errno == errno.ENOSPC else 1
    told = fails_with_one_line(["--plan", str(write_plan(run)), "--chunk", "0"], capsys, code)
    assert "cell" not in told


def test_file_name_with_a_line_end_is_one_line(
    every_rule: Registry, plan_run: PlanRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file whose name holds a line end still gives one line."""
    run = plan_run(every_rule, FIRST_LINE + ROWS)
    source = msgspec.structs.replace(run.batch.plan.source, path=str(Path(run.batch.parts).parent / "lo\nans.csv"))
    Path(source.path).write_bytes(FIRST_LINE)
    batch = msgspec.structs.replace(run.batch, plan=msgspec.structs.replace(run.batch.plan, source=source))
    fails_with_one_line(["--plan", str(write_plan(run, batch)), "--chunk", "0"], capsys)


def test_wrong_arguments_are_told(
    every_rule: Registry, plan_run: PlanRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing plan, one that does not read, and a chunk that is not in it are each one line; no arguments is use."""
    run = plan_run(every_rule, FIRST_LINE + ROWS)
    plan = write_plan(run)
    assert "No such file" in fails_with_one_line(["--plan", str(tmp_path / "none"), "--chunk", "0"], capsys)
    assert "has no chunk 5" in fails_with_one_line(["--plan", str(plan), "--chunk", "5"], capsys)
    for content in (b"", b"SECRET", plan.read_bytes().replace(b'"batch":"', b'"batch":"\xff')):
        plan.write_bytes(content)
        assert "does not read" in fails_with_one_line(["--plan", str(plan), "--chunk", "0"], capsys)
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2


def list_chunks(run: Run, *chunks: int, plan: Path | None = None) -> tuple[Path, Path]:
    """Write a list of chunks of one batch; give it and the folder for the words of those that fail."""
    words = Path(run.batch.parts).parent
    path = words / "chunks.json"
    plan = plan or write_plan(run)
    items = tuple(ListedChunk(str(plan), chunk, str(words / f"{chunk}.err")) for chunk in chunks)
    path.write_bytes(msgspec.json.encode(ChunkList(CHUNK_LIST_FORMAT, items)))
    return path, words


def test_a_list_is_scored_in_one_process(every_rule: Registry, plan_run: PlanRun) -> None:
    """As a process, it scores every chunk of a list, says nothing, and leaves what single jobs would."""
    run = plan_run(every_rule, FIRST_LINE + ROWS, 2)
    path, words = list_chunks(run, 1, 0)
    done = run_program("--list", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(words.glob("*.err"))
    assert run.publish().scored == 20


def test_a_bad_chunk_of_a_list_stops_no_other(
    every_rule: Registry, plan_run: PlanRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chunk that fails says why in its own file, without a cell; the others are scored; stderr has one line."""
    run = plan_run(every_rule, FIRST_LINE + ROWS, 2)
    path, words = list_chunks(run, 0, 7, 1)
    Path(run.batch.plan.source.path).write_bytes(FIRST_LINE + ROWS.replace(b"SECRET3", b"SECRETx"))
    told = fails_with_one_line(["--list", str(path)], capsys)
    assert told.startswith("2 chunk(s) of the list failed")
    assert {file.name for file in words.glob("*.err")} == {"0.err", "7.err"}
    assert (words / "0.err").read_text().startswith("Chunk 0 failed on ")
    assert "SECRET" not in (words / "0.err").read_text()
    assert "has no chunk 7" in (words / "7.err").read_text()
    assert [file.name for file in Path(run.batch.parts).glob("*.outcome.json")] == ["000001.outcome.json"]


def test_a_model_is_opened_once_for_a_list(
    every_rule: Registry, plan_run: PlanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is verified and opened once in a process, however many chunks it scores."""
    run = plan_run(every_rule, FIRST_LINE + ROWS, 2)
    path, _ = list_chunks(run, 0, 1)
    opened = []

    def count(*arguments: object) -> Model:
        opened.append(arguments)
        return open_model(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("scoring.models.model.open_model", count)
    before = os.umask(0o022)
    try:
        assert main(["--list", str(path)]) == 0
    finally:
        os.umask(before)
    assert len(opened) == 1
    assert run.publish().scored == 20


def test_a_list_that_does_not_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing list, one that does not read, and one of another format are each one line."""
    path = tmp_path / "chunks.json"
    assert "No such file" in fails_with_one_line(["--list", str(path)], capsys)
    for content in (b"", b"SECRET", b'{"format":1}', b'{"format":2,"chunks":[]}'):
        path.write_bytes(content)
        assert "The list failed on" in fails_with_one_line(["--list", str(path)], capsys)
    for arguments in (["--plan", "p"], ["--list", "l", "--chunk", "1"], ["--plan", "p", "--list", "l"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2


class Refusal:
    """A storage that refuses the next calls, and a clock that nobody waits for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> None:
        """Refuse reading `times` times with `number`."""
        self.left, self.number = times, number
        self.slept: list[float] = []
        real = Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            if path.name == "plan.json" and self.left:
                self.left -= 1
                raise OSError(self.number, os.strerror(self.number), str(path))
            return real(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        monkeypatch.setattr("scoring.chunk.job.time.sleep", self.slept.append)


@pytest.mark.parametrize("number", sorted(TRANSIENT))
def test_trouble_of_the_storage_is_waited_out_and_told_by_its_code(
    every_rule: Registry,
    plan_run: PlanRun,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """Seven trials within a minute; then exit code 75. Where the storage is well again before, the part is there."""
    run = plan_run(every_rule, FIRST_LINE + ROWS)
    arguments = ["--plan", str(write_plan(run)), "--chunk", "0"]
    storage = Refusal(monkeypatch, number, 1000)
    mask = os.umask(0o022)
    try:
        assert main(arguments) == EXIT_STORAGE == 75
        assert storage.slept == [1, 2, 4, 8, 16, 29]
        assert os.strerror(number) in capsys.readouterr().err
        storage.left = 3
        assert main(arguments) == 0
    finally:
        os.umask(mask)
    assert run.publish().scored == 20


def test_a_list_that_storage_stops_says_nothing_of_its_chunks(
    every_rule: Registry, plan_run: PlanRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its patience is spent once, not for each chunk; a chunk that storage kept off has no words that would count."""
    run = plan_run(every_rule, FIRST_LINE + ROWS, 2)
    path, words = list_chunks(run, 0, 7, 1)
    storage = Refusal(monkeypatch, errno.ESTALE, 1000)
    mask = os.umask(0o022)
    try:
        assert main(["--list", str(path)]) == EXIT_STORAGE
        assert sum(storage.slept) == 60
        assert "3 chunk(s) of the list met trouble of the storage" in capsys.readouterr().err
        assert not list(words.glob("*.err"))
        # One trial of each, and as many as the first chunk has then: the others are scored, or fail by themselves.
        storage.left = 3 + 7
        assert main(["--list", str(path)]) == EXIT_STORAGE
    finally:
        os.umask(mask)
    assert [file.name for file in words.glob("*.err")] == ["7.err"]
    assert [file.name for file in Path(run.batch.parts).glob("*.outcome.json")] == ["000001.outcome.json"]


def test_nobody_waits_for_one_file_that_cannot_be_read(
    every_rule: Registry, plan_run: PlanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others of a list get through, trouble with one is not waited out while they stand in its slot."""
    run = plan_run(every_rule, FIRST_LINE + ROWS, 2)
    path, words = list_chunks(run, 0, 1)
    other = words / "other.json"
    other.write_bytes((words / "plan.json").read_bytes())
    items = (
        ListedChunk(str(words / "plan.json"), 0, str(words / "0.err")),
        ListedChunk(str(other), 1, str(words / "1.err")),
    )
    path.write_bytes(msgspec.json.encode(ChunkList(CHUNK_LIST_FORMAT, items)))
    storage = Refusal(monkeypatch, errno.EACCES, 1000)
    mask = os.umask(0o022)
    try:
        assert main(["--list", str(path)]) == EXIT_STORAGE
        assert sum(storage.slept) == 2
        assert [file.name for file in Path(run.batch.parts).glob("*.outcome.json")] == ["000001.outcome.json"]
        storage.left = 3  # trouble that is over soon is still waited out
        assert main(["--list", str(path)]) == 0
    finally:
        os.umask(mask)
    assert run.publish().scored == 20


def test_what_it_prints_to_may_be_in_trouble_too(every_rule: Registry, plan_run: PlanRun) -> None:
    """As a process whose stderr takes nothing, it still ends with the code that says what happened."""
    run = plan_run(every_rule, FIRST_LINE + ROWS)
    plan = write_plan(run)
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "scoring.chunk.job", "--plan", str(plan), "--chunk", "7"]
        done = subprocess.run(command, cwd=REPOSITORY, stderr=full, timeout=120, check=False)
    assert done.returncode == 1
