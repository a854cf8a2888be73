"""What a user may ask of a retrain and cannot have: refused before it begins, in words that name what to mend."""

import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.contract import Contract
from scoring.errors import FileRefusedError, LoansError
from training.history.history_files import describe_history, unpack_history
from training.history.labelled_loans import read_history
from training.judging.bootstrap import find_chance_error
from training.judging.metrics import calibration_error
from training.learners.candidates import CANDIDATES
from training.learners.grid import RANGES, grid_problems
from training.nodes.split import describe_rejected
from training.records.request import RunRequest
from training.run.run_plan import RetrainOrder, plan_run

RunHere = Callable[..., dict[str, int]]
MakeRequest = Callable[..., RunRequest]


@pytest.fixture
def order(tmp_path: Path, history: Path, contract: Contract) -> RetrainOrder:
    """Give an order that can be carried out."""
    return RetrainOrder(
        training=tmp_path / "training",
        models=tmp_path / "models",
        history=(history,),
        contract=contract,
        python=Path("/usr/bin/python3"),
        local_logs=tmp_path / "logs",
        candidates=("tree",),
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"candidates": ("tree", "tree")}, "a candidate is named twice"),
        ({"candidates": ("tree", "blend")}, "candidate blend needs two others"),
        ({"seed": 2**32}, "the seed is 4294967296, it must be 0 to 4294967295"),
        ({"folds": 11}, "there are 11 folds, it must be 2 to 10"),
    ],
)
def test_what_cannot_run_is_refused_when_it_is_planned(
    order: RetrainOrder, changed: dict[str, object], words: str
) -> None:
    """An order that no run can carry out is told in its own words, with a way out, and leaves nothing on disk."""
    with pytest.raises(LoansError) as caught:
        plan_run(replace(order, **changed), ())  # type: ignore[arg-type]
    assert words in caught.value.what
    assert "site file" in caught.value.way_out
    assert not order.training.exists()


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_parameter_has_a_range_that_holds_its_default(name: str) -> None:
    """What a candidate takes by default, and tries by its own grid, lies in the ranges that a site must keep."""
    candidate = CANDIDATES[name]
    for parameter, value in candidate.parameters.items():
        assert all(RANGES[parameter].holds(one) for one in (value, *candidate.grid.get(parameter, ())))


@pytest.mark.parametrize(
    ("candidate", "parameter", "value", "words"),
    [
        ("logistic", "C", 0.0, "grid.logistic.C is 0, it must be a number above 0"),
        ("logistic", "bins", 2.5, "grid.logistic.bins is 2.5, it must be a whole number, 2 to 10,000"),
        ("tree", "min_samples_leaf", 0.0, "it must be a whole number, 1 or more"),
        ("tree", "ccp_alpha", -1.0, "it must be a number, 0 or more"),
        ("boosting", "learning_rate", 2.0, "it must be a number above 0, up to 1"),
        ("forest", "members", 0.0, "it must be a whole number, 1 to 64"),
    ],
)
def test_a_value_that_no_learner_takes_is_told(candidate: str, parameter: str, value: float, words: str) -> None:
    """A nonsense value in a grid is the site's mistake, named by its place, not a fault of the program in some job."""
    (problem,) = grid_problems({candidate: {parameter: [value]}})
    assert words in problem


def test_a_refused_history_file_is_named(tmp_path: Path, order: RetrainOrder) -> None:
    """Of several history files, the one that is wrong is named; one that is absent and a folder are told as such."""
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(FileRefusedError, match=rf"The history file {empty} cannot be learnt from. The file is empty"):
        plan_run(replace(order, history=(*order.history, empty)), ())
    with pytest.raises(LoansError, match=r"There is no history file /no/such\.csv"):
        plan_run(replace(order, history=(Path("/no/such.csv"),)), ())
    with pytest.raises(LoansError, match="is a folder"):
        plan_run(replace(order, history=(tmp_path,)), ())


def test_a_packed_history_is_read_as_what_it_holds(tmp_path: Path, order: RetrainOrder, history: Path) -> None:
    """A .csv.gz gives the very shards of the file that was packed, and a version remembers what and when."""
    packed = tmp_path / "loans.csv.GZ"
    packed.write_bytes(gzip.compress(history.read_bytes()))
    os.utime(packed, (10**9, 10**9))
    plain, unpacked = (plan_run(replace(order, history=(path,)), ()) for path in (history, packed))
    assert unpacked.shards == plain.shards
    assert Path(unpacked.history[0]).is_relative_to(unpacked.folder)
    assert Path(unpacked.history[0]).read_bytes() == history.read_bytes()
    (told,), (known,) = describe_history(unpacked), describe_history(plain)
    assert (told.name, told.sha256, told.rows) == ("loans.csv", known.sha256, known.rows)
    assert told.modified == "2001-09-09T01:46:40Z"
    assert read_history((packed,), order.contract).loans.height == read_history((history,), order.contract).loans.height


def test_a_packed_history_that_does_not_unpack_leaves_nothing(tmp_path: Path, order: RetrainOrder) -> None:
    """A damaged .csv.gz is refused by name, one that holds too much as well, and no run's folder stays behind."""
    packed = tmp_path / "loans.csv.gz"
    packed.write_bytes(gzip.compress(b"id\n" * 1000)[:-10])
    with pytest.raises(FileRefusedError, match=r"loans\.csv\.gz cannot be learnt from"):
        plan_run(replace(order, history=(packed,)), ())
    packed.write_bytes(gzip.compress(b"id\n" * 1000))
    with pytest.raises(FileRefusedError, match="unpacks to more than 100 bytes"):
        plan_run(replace(order, history=(packed,), max_unpacked_bytes=100), ())
    assert not list(order.training.glob("*"))


def test_the_same_loans_twice_are_refused(tmp_path: Path) -> None:
    """A file that is there packed and plain, or named twice, would count its loans twice."""
    plain = tmp_path / "loans.csv"
    for files in ([plain, tmp_path / "loans.csv.gz"], [plain, plain]):
        with pytest.raises(LoansError, match=r"loans.csv is there twice"):
            unpack_history(files, tmp_path / "unpacked")


def test_a_history_of_other_labels_says_what_became_of_its_rows(
    tmp_path: Path, history: Path, make_request: MakeRequest, run_here: RunHere, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the contract rejects every row, the split tells so and by which rule, not only that loans are lacking."""
    head, *lines = history.read_text().splitlines()
    words = {"0": "repaid", "1": "defaulted"}
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("\n".join([head, *(f"{line[:-1]}{words[line[-1]]}" for line in lines[:300])]) + "\n")
    codes = run_here(make_request(foreign), "preprocess-1", "preprocess-2", "split")
    assert codes == {"preprocess-1": 0, "preprocess-2": 0, "split": 3}
    told = capsys.readouterr().err
    assert "has 0 loans that were repaid" in told
    assert "Of its 300 rows, 300 broke the contract and were left out (unknown_category 300)." in told
    assert describe_rejected([]) == ""


@pytest.mark.parametrize(("loans", "share"), [(600, 0.3), (9_000, 0.15)])
def test_chance_alone_makes_a_calibration_error(loans: int, share: float) -> None:
    """Of models that are right in every probability, about 39 in 40 show no more error than chance is said to make."""
    stream = np.random.default_rng(3)
    right = stream.beta(1, 1 / share - 1, loans)
    bound = find_chance_error(right, seed=1)
    shown = [calibration_error(right, (stream.random(loans) < right).astype(np.uint8)) for _ in range(400)]
    assert 0.94 <= np.mean(np.array(shown) <= bound) <= 1
    assert bound < 0.015 if loans > 5_000 else bound > 0.03
