"""The champion on a run's held-out loans: its own columns by name, its own categories by text, fresh or not."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.contract import Column, Contract, Role, Type
from scoring.errors import StorageError
from scoring.models.golden import seal_golden
from scoring.models.model import Graph
from scoring.models.registry import GOLDEN, MANIFEST, MODEL, VERSIONS, Pin, publish_version, read_manifest
from tests.unit.scoring.linear_model import linear_graph
from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans
from training.judging.champion import SET_ASIDE, SPLIT, compare_champion, is_fresh, remap_features
from training.records.request import FORMAT, RunRequest

INCOME = Column("income", Role.FEATURE, Type.NUMBER)
AMOUNT = Column("amount", Role.FEATURE, Type.NUMBER)
HOME = Column("home", Role.FEATURE, Type.CATEGORY, categories=("RENT", "OWN", "OTHER"))
AGE = Column("age", Role.MONITOR, Type.INTEGER)
ID = Column("id", Role.ID)
OURS = Contract(1, "ours", (ID, INCOME, HOME, AMOUNT, AGE))


def made_loans(count: int = 400) -> LabelledLoans:
    """Make loans of our contract, some with gaps, some of a category that nobody knows."""
    stream = np.random.default_rng(1)
    features = np.column_stack(
        [stream.normal(50, 10, count), stream.integers(0, 4, count), stream.normal(5_000, 3_000, count)]
    ).astype(np.float32)
    features[::17, 1] = np.nan
    features[::13, 0] = np.nan
    labels = (stream.random(count) < 1 / (1 + np.exp(-(features[:, 2] / 3_000 - 2)))).astype(np.uint8)
    ages = {"age": stream.integers(18, 80, count).astype(np.float32)}
    return LabelledLoans(features, labels, np.arange(count), np.zeros(count, np.int32), ages)


def request_for(contract: Contract = OURS, **changed: object) -> RunRequest:
    """Ask for a run with this contract."""
    request = RunRequest(FORMAT, "run", "/run", "/models", contract, ("/h.csv",), (), ("tree",))
    return msgspec.structs.replace(request, **changed)


def publish(models: Path, contract: Contract, **facts: str) -> Pin:
    """Publish a linear model for a contract."""
    graph = linear_graph(len(contract.features))
    rows = np.arange(2 * len(contract.features), dtype=np.float32).reshape(2, -1)
    return publish_version(
        models,
        version="v-champion",
        candidate="linear",
        contract=contract,
        files={MODEL: graph, GOLDEN: seal_golden(rows, Graph(graph, 1, "linear").predict)},
        metrics={},
        parameters={},
        training=facts,
        packages={},
    )


def predicted(contract: Contract, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Say what the linear model of a contract says."""
    return Graph(linear_graph(len(contract.features)), 1, "linear").predict(features)


def test_the_same_contract_takes_the_same_numbers() -> None:
    """Columns in the same order with the same categories are taken as they are."""
    loans = made_loans()
    taken = remap_features(OURS, OURS, loans)
    assert not isinstance(taken, str)
    assert np.array_equal(taken, loans.features, equal_nan=True)


def test_columns_are_found_by_name_and_categories_by_text() -> None:
    """Another order, fewer columns, other categories, a column that only watches now: the champion gets its own."""
    home = msgspec.structs.replace(HOME, categories=("OWN", "MORTGAGE", "RENT"))
    age = msgspec.structs.replace(AGE, role=Role.FEATURE)
    loans = made_loans()
    taken = remap_features(Contract(1, "theirs", (ID, age, home, INCOME)), OURS, loans)
    assert not isinstance(taken, str)
    assert taken.dtype == np.float32
    assert np.array_equal(taken[:, 0], loans.monitors["age"])
    assert np.array_equal(taken[:, 2], loans.features[:, 0], equal_nan=True)
    texts = {0: "RENT", 1: "OWN", 2: "OTHER", 3: "a stranger"}
    theirs = {"OWN": 0, "MORTGAGE": 1, "RENT": 2}
    for ours, code in zip(loans.features[:, 1].tolist(), taken[:, 1].tolist(), strict=True):
        assert (np.isnan(ours) and np.isnan(code)) or code == theirs.get(texts[int(ours)], 3)


def test_a_column_that_is_not_read_is_named() -> None:
    """A champion that needs what this run does not read, or reads as something else, cannot be compared, in words."""
    loans = made_loans()
    more = Contract(1, "theirs", (ID, INCOME, Column("postcode", Role.FEATURE, Type.NUMBER)))
    assert remap_features(more, OURS, loans) == "it needs postcode, which this run's contract does not have"
    other = Contract(1, "theirs", (ID, msgspec.structs.replace(HOME, type=Type.NUMBER, categories=())))
    assert remap_features(other, OURS, loans) == "home is a number to the one and a category to the other"
    unwatched = LabelledLoans(loans.features, loans.labels, loans.rows, loans.files, {})
    aged = Contract(1, "theirs", (ID, msgspec.structs.replace(AGE, role=Role.FEATURE)))
    assert "it needs age" in str(remap_features(aged, OURS, unwatched))


def test_a_champion_is_measured_on_these_loans(tmp_path: Path) -> None:
    """Its figures are those of its own graph on these loans; the gain is the difference, with an interval."""
    theirs = Contract(1, "theirs", (ID, AMOUNT, INCOME))
    pin, loans = publish(tmp_path, theirs), made_loans()
    candidate = predicted(OURS, loans.features)
    found = compare_champion(tmp_path, pin, request_for(), loans, candidate)
    assert not isinstance(found, str)
    assert found.champion == "v-champion"
    from sklearn.metrics import roc_auc_score

    champion = predicted(theirs, np.ascontiguousarray(loans.features[:, [2, 0]]))
    assert found.metrics.auc == pytest.approx(roc_auc_score(loans.labels, champion))
    assert found.auc_gain == pytest.approx(roc_auc_score(loans.labels, candidate) - found.metrics.auc)
    assert found.gain.low <= found.auc_gain <= found.gain.high
    assert not found.fresh


def test_a_champion_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    """Missing, altered or of other columns: there is no comparison, and the reason says why; storage trouble raises."""
    loans = made_loans()
    candidate = predicted(OURS, loans.features)
    missing = compare_champion(tmp_path, Pin("v0", "0" * 64), request_for(), loans, candidate)
    assert "it cannot be compared with the champion v0" in str(missing)
    pin = publish(tmp_path, Contract(1, "theirs", (ID, Column("postcode", Role.FEATURE, Type.NUMBER))))
    assert "it needs postcode" in str(compare_champion(tmp_path, pin, request_for(), loans, candidate))
    (tmp_path / VERSIONS / "v-champion" / MODEL).write_bytes(b"altered")
    contract = msgspec.structs.replace(OURS, columns=(*OURS.columns, Column("postcode", Role.FEATURE, Type.NUMBER)))
    wider = LabelledLoans(
        np.column_stack([loans.features, loans.features[:, 0]]), loans.labels, loans.rows, loans.files, loans.monitors
    )
    assert "altered" in str(compare_champion(tmp_path, pin, request_for(contract), wider, candidate))
    manifest = tmp_path / VERSIONS / "v-champion" / MANIFEST
    manifest.unlink()
    manifest.mkdir()
    with pytest.raises(StorageError):
        compare_champion(tmp_path, pin, request_for(), loans, candidate)


@pytest.mark.parametrize(
    ("facts", "contract", "fresh"),
    [
        ({"split": SPLIT, "seed": "0", "held_out": "0.2"}, OURS, True),
        ({"split": SPLIT, "seed": "0", "held_out": "0.3"}, OURS, True),
        ({"split": SPLIT, "seed": "0", "held_out": "0.1"}, OURS, False),
        ({"split": SPLIT, "seed": "1", "held_out": "0.2"}, OURS, False),
        ({"split": "by row", "seed": "0", "held_out": "0.2"}, OURS, False),
        ({"split": SPLIT, "seed": "0", "held_out": "a fifth"}, OURS, False),
        ({}, OURS, False),
        (
            {"split": SPLIT, "seed": "0", "held_out": "0.2"},
            Contract(1, "x", (ID, msgspec.structs.replace(INCOME, maximum=1e9, about="a year"), HOME, AMOUNT)),
            True,
        ),
        ({"split": SPLIT, "seed": "0", "held_out": "0.2"}, Contract(1, "x", (ID, HOME, INCOME, AMOUNT)), False),
    ],
)
def test_only_the_same_draw_is_fresh(tmp_path: Path, facts: dict[str, str], contract: Contract, *, fresh: bool) -> None:
    """Held-out loans are fresh to a champion only if its own were the same draw on features that read the same."""
    publish(tmp_path, contract, **facts)
    manifest, _ = read_manifest(tmp_path, "v-champion")
    assert is_fresh(manifest, request_for(held_out=0.2)) is fresh


def test_a_large_group_that_the_champion_learnt_from_is_not_fresh(tmp_path: Path) -> None:
    """A group that was large when the champion was trained, and is held out now, makes the comparison not fresh."""
    loans = made_loans()
    keys = [f"{number:016x}" for number in hash_loans(loans.features, 0).tolist()]
    same_draw = {"split": SPLIT, "seed": "0", "held_out": "0.2"}
    for learnt_from, fresh in ((f"{'0' * 16} {keys[7]}", False), ("0" * 16, True)):
        models = tmp_path / learnt_from
        pin = publish(models, OURS, **same_draw, **{SET_ASIDE: learnt_from})
        found = compare_champion(models, pin, request_for(), loans, predicted(OURS, loans.features))
        assert not isinstance(found, str)
        assert found.fresh is fresh
