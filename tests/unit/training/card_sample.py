"""Facts of made-up versions, for the tests of the model card: their numbers hang together as those of a real run do.

    python -m tests.unit.training.card_sample FOLDER

writes the card of such a version into FOLDER, to be looked at.
"""

import hashlib
import sys
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from scoring.contract import REFERENCE, Column, Contract, load_contract
from scoring.models.policy import FORMAT as POLICY_FORMAT
from scoring.models.policy import Band, Policy
from scoring.models.registry import HistoryFile
from training.card.model_card import CardFacts, DataFacts, RunFacts, make_card
from training.records.findings import (
    Comparison,
    Curves,
    Evaluation,
    Fitted,
    Importance,
    Interval,
    Metrics,
    ParameterSet,
    Part,
    Proof,
    Segment,
    SplitFigures,
    Validation,
)

HOSTILE = '</style><script>document.title="taken"</script>"\'&<img src=x onerror=alert(1)>'
"""A name that would be markup wherever it is not escaped."""

ROWS, SHARE, THRESHOLD = 9_383, 0.1423, 0.32
Floats = NDArray[np.float64]

SEPARATIONS = {"logistic": 1.86, "tree": 1.98, "forest": 2.15, "boosting": 2.52, "blend": 2.58}
SPEEDS = {"logistic": 391_000.0, "tree": 402_000.0, "forest": 58_000.0, "boosting": 93_500.0, "blend": 61_200.0}


def seal(text: str) -> str:
    """Give a hash that looks like one."""
    return hashlib.sha256(text.encode()).hexdigest()


def draw_loans(separation: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw probabilities and outcomes of loans, well calibrated: two normal distributions `separation` apart."""
    stream = np.random.default_rng(7)
    bad = stream.random(ROWS) < SHARE
    score = stream.standard_normal(ROWS) + separation * bad
    odds = np.log(SHARE / (1 - SHARE)) + separation * score - separation**2 / 2
    return 1 / (1 + np.exp(-odds)), bad


def measure(pd: Floats, bad: NDArray[np.bool_]) -> tuple[Metrics, Curves]:
    """Measure loans as a run does, in a few lines and well enough for a picture."""
    order = np.argsort(-pd, kind="stable")
    caught = np.concatenate([[0.0], np.cumsum(bad[order]) / bad.sum()])
    hit = np.concatenate([[0.0], np.cumsum(~bad[order]) / (~bad).sum()])
    auc = float(np.trapezoid(caught, hit))
    counts = np.arange(1, len(pd) + 1)
    purity = np.cumsum(bad[order]) / counts
    called = pd >= THRESHOLD
    precision, recall = float(bad[called].mean()), float(called[bad].mean())
    bins = np.array_split(np.argsort(pd, kind="stable"), 10)
    calibration = tuple((float(pd[one].mean()), float(bad[one].mean()), len(one)) for one in bins)
    edges = np.linspace(0, 1, 21)
    good_counts, bad_counts = np.histogram(pd[~bad], edges)[0], np.histogram(pd[bad], edges)[0]
    picked = np.unique(np.linspace(0, len(pd), 200).astype(int))
    metrics = Metrics(
        auc=auc,
        gini=2 * auc - 1,
        ks=float((caught - hit).max()),
        average_precision=float(purity[bad[order]].mean()),
        accuracy=float((called == bad).mean()),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall),
        log_loss=float(-np.log(np.where(bad, pd, 1 - pd)).mean()),
        brier=float(((pd - bad) ** 2).mean()),
        ece=float(np.mean([abs(foretold - seen) for foretold, seen, _ in calibration])),
    )
    curves = Curves(
        roc=tuple((float(hit[one]), float(caught[one])) for one in picked),
        precision_recall=tuple((float(caught[one + 1]), float(purity[one])) for one in picked if one < len(pd)),
        calibration=calibration,
        distribution=tuple(
            (float(low), float(high), int(good), int(ill))
            for low, high, good, ill in zip(edges[:-1], edges[1:], good_counts, bad_counts, strict=True)
        ),
        gains=tuple((share / 20, float(caught[round(share / 20 * len(pd))])) for share in range(21)),
    )
    return metrics, curves


def _segment(
    column: str,
    group: str,
    rows: int,
    defaulted: float,
    foretold: float,
    approved: float,
    ratio: float,
    *,
    monitor: bool = False,
) -> Segment:
    defaults = round(rows * defaulted)
    return Segment(
        column=column,
        monitor=monitor,
        group=group,
        rows=rows,
        defaults=defaults,
        mean_pd=foretold,
        approved=approved,
        approval_ratio=ratio,
        error=0.051,
        auc=0.955 if 0 < defaults < rows else None,
    )


def make_segments(contract: Contract) -> tuple[Segment, ...]:
    """Make groups: of the columns that only watch some of each kind, of one column that the model sees."""
    homes = next(column for column in contract.features if column.categories)
    figures = [
        (4_712, 0.223, 0.221, 0.802, 0.82),
        (3_401, 0.056, 0.059, 0.978, 1.0),
        (1_204, 0.014, 0.013, 0.968, 0.99),
        (66, 0.17, 0.15, 0.86, 0.88),
    ]
    return (
        *(_segment(homes.name, name, *numbers) for name, numbers in zip(homes.categories, figures, strict=False)),
        _segment("loan_grade", "A", 3_310, 0.049, 0.05, 0.981, 1.0),
        _segment("loan_grade", "D", 942, 0.589, 0.511, 0.392, 0.4),
        _segment("loan_grade", "G", 7, 0.8571, 0.83, 0.0, 0.0),
        _segment("person_age", "18 to 24", 3_962, 0.151, 0.15, 0.881, 0.97, monitor=True),
        _segment("person_age", "25 to 34", 4_233, 0.135, 0.134, 0.905, 1.0, monitor=True),
        _segment("person_age", "35 to 49", 1_051, 0.137, 0.139, 0.896, 0.99, monitor=True),
        _segment("person_age", "50 to 64", 124, 0.31, 0.298, 0.702, 0.776, monitor=True),
        _segment("person_age", "65 and older", 13, 0.0, 0.12, 0.846, 0.935, monitor=True),
    )


def evaluate(candidate: str, contract: Contract) -> Evaluation:
    """Make the figures of a candidate."""
    metrics, curves = measure(*draw_loans(SEPARATIONS[candidate]))
    lost = [0.0832 / (place + 1) ** 1.15 - 0.0011 for place in range(len(contract.features))]
    return Evaluation(
        candidate=candidate,
        rows=ROWS,
        test_sha256=seal("test"),
        threshold=THRESHOLD,
        metrics=metrics,
        intervals={
            name: Interval(max(value - 0.0061, 0.0), min(value + 0.0057, 1.0))
            for name, value in msgspec.to_builtins(metrics).items()
        },
        segments=make_segments(contract),
        curves=curves,
        importance=tuple(
            Importance(column.name, value, 0.0009 + value / 30)
            for column, value in zip(contract.features, lost, strict=True)
        ),
        rows_per_second=SPEEDS[candidate],
        proof=Proof(rows=ROWS, built=40_212, thresholds=8_230, largest=3.1e-7, largest_built=4.4e-7),
        graph_sha256=seal(f"graph {candidate}"),
        golden_sha256=seal(f"golden {candidate}"),
    )


def fit(candidate: str) -> Fitted:
    """Make what is told of a fitted candidate."""
    tried = tuple(
        ParameterSet({"trees": float(trees), "leaves": 24.0}, 0.9601 + trees / 1e5, 0.0021, 0.1422, trees / 60)
        for trees in (100, 300, 600)
    )
    return Fitted(
        candidate=candidate,
        run_id="20261122-150801-a1b2c3",
        rows=37_533,
        train_sha256=seal("train"),
        fit_seconds=11.4,
        converged=True,
        parameters={"leaves": "24", "learning_rate": "0.06", "trees": "300"},
        pickle_sha256=seal(f"pickle {candidate}"),
        packages={"numpy": "2.4.6", "onnxruntime": "1.32.0", "scikit-learn": "1.9.1", "skl2onnx": "1.20.0"},
        validation=Validation(
            auc=0.9648,
            log_loss=0.1419,
            ece=0.0067,
            f1=0.812,
            threshold=THRESHOLD,
            calibration="isotonic",
            tried=tried,
            chosen=1,
        ),
        members={"boosting": 0.7, "forest": 0.3} if candidate == "blend" else {},
    )


def make_policy() -> Policy:
    """Make a lender's policy."""
    return Policy(
        format=POLICY_FORMAT,
        base_score=600.0,
        base_odds=30.0,
        points_to_double=20.0,
        lowest_score=300,
        highest_score=850,
        bands=(Band("A", 680), Band("B", 640), Band("C", 600), Band("D", 560), Band("E", 300)),
        refer_from=0.12,
        decline_from=THRESHOLD,
    )


def make_facts(candidate: str = "boosting") -> CardFacts:
    """Make the facts of a version that won, was compared and promoted."""
    contract = load_contract(REFERENCE)
    evaluations = tuple(evaluate(name, contract) for name in SEPARATIONS)
    old, _ = measure(*draw_loans(SEPARATIONS["forest"]))
    best = next(one for one in evaluations if one.candidate == candidate).metrics.auc
    gain = best - old.auc
    return CardFacts(
        version=f"20261122-150801-a1b2c3-{candidate}",
        created="2026-11-22T15:14:09Z",
        candidate=candidate,
        contract=contract,
        data=DataFacts(
            files=(
                HistoryFile(
                    "loans 2019 to 2025.csv", 2_998_112, ROWS + 37_533 + 141, seal("history"), "2026-01-05T08:30:00Z"
                ),
            ),
            rejected={"below_minimum": 7, "unknown_category": 134},
            split=SplitFigures(
                Part(37_533, 5_342, seal("train")), Part(ROWS, int(draw_loans(1.0)[1].sum()), seal("test"))
            ),
        ),
        run=RunFacts("20261122-150801-a1b2c3", seed=0, held_out=0.2, folds=5, code_version="0.1.0"),
        evaluations=evaluations,
        fitted=tuple(map(fit, SEPARATIONS)),
        promoted=True,
        chosen="Boosting ranks best out of fold among those that score 60,000 rows a second or more.",
        why="it ranks better than the champion beyond chance, is calibrated, and keeps every gate.",
        policy=make_policy(),
        comparison=Comparison(
            "20260803-091500-9f8e7d-forest", old, gain, Interval(gain - 0.0042, gain + 0.0039), fresh=True
        ),
    )


def make_hostile_facts() -> CardFacts:
    """Make facts in which every text that a lender chooses would be markup."""
    facts = make_facts()
    columns = (
        Column(name=HOSTILE, role=facts.contract.columns[0].role),
        *facts.contract.columns[1:],
    )
    structs = msgspec.structs
    winner = facts.winner
    hostile = structs.replace(
        winner,
        segments=(structs.replace(winner.segments[0], column=HOSTILE, group=HOSTILE), *winner.segments[1:]),
        importance=(Importance(HOSTILE, 0.1, 0.01), *winner.importance[1:]),
    )
    policy = make_policy()
    return structs.replace(
        facts,
        version=HOSTILE,
        why=HOSTILE,
        contract=structs.replace(facts.contract, name=HOSTILE, columns=columns),
        data=structs.replace(
            facts.data,
            files=(structs.replace(facts.data.files[0], name=HOSTILE),),
            rejected={HOSTILE: 3},
        ),
        evaluations=tuple(hostile if one is winner else one for one in facts.evaluations),
        policy=structs.replace(policy, bands=(Band(HOSTILE, 600), Band("E", 300))),
        limits=(HOSTILE,),
    )


if __name__ == "__main__":
    for file_name, content in make_card(make_facts()).items():
        (Path(sys.argv[1]) / file_name).write_bytes(content)
