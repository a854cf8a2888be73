"""What `loans retrain` prints and gives to programs when a run has ended."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from loans.terminal.retrain_output import facts, print_result
from tests.unit.training.made_findings import made_fitted, made_metrics
from training.records.auc_gap import CODE, AucGap
from training.records.findings import EqualGroup, Part, SplitFigures
from training.run.retrain import CandidateResult, RetrainResult

FAR = AucGap(0.488, 0.648, 0.1201, 0.1999)
NEAR = AucGap(0.701, 0.703, -0.01, 0.014)


def _result(gaps: dict[str, AucGap | None], *groups: EqualGroup) -> RetrainResult:
    candidates = {
        name: CandidateResult(
            parameters={},
            members={},
            validation=made_fitted(name, 0.7).validation,
            metrics=made_metrics(0.7),
            rows_per_second=90_000.0,
            gap=gap,
        )
        for name, gap in gaps.items()
    }
    return RetrainResult(
        run_id="run",
        folder=Path("/run"),
        resumed=False,
        version="run-tree",
        candidate="tree",
        promoted=False,
        why="made up",
        comparison=None,
        candidates=candidates,
        split=SplitFigures(Part(4_000, 900, ""), Part(1_000, 220, ""), groups),
        rows_in=5_000,
        rejected={},
        nodes=(),
        planning_seconds=0.1,
        wall_seconds=2.0,
        critical_path_seconds=1.0,
    )


def _document(result: RetrainResult) -> Any:
    """Give what a program reads."""
    return msgspec.json.decode(msgspec.json.encode(facts(result)))


def test_a_significant_difference_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """Candidates whose AUC differs by more than chance are named in a warning with figures, for programs as well."""
    result = _result({"tree": FAR, "logistic": NEAR, "blend": None})
    document = _document(result)
    (warning,) = document["warnings"]
    assert (warning["code"], warning["candidates"]) == (CODE, ["tree"])
    assert document["candidates"]["tree"]["gap"] == {
        "out_of_fold": 0.488,
        "held_out": 0.648,
        "low": 0.1201,
        "high": 0.1999,
    }
    print_result(result)
    shown = capsys.readouterr().out
    assert f"WARNING: {warning['message']}" in shown
    for figure in ("0.4880", "0.6480", "+0.1201", "+0.1999"):
        assert figure in warning["message"]


def test_without_a_significant_difference_there_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """A difference within chance, and one that is not known, are no warning."""
    result = _result({"tree": NEAR, "blend": None})
    assert _document(result)["warnings"] == []
    print_result(result)
    assert "WARNING" not in capsys.readouterr().out


def test_large_groups_of_equal_loans_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Loans that no figure covers are counted in the output, and their groups are in the document."""
    groups = (EqualGroup("0" * 16, 1_300, 700), EqualGroup("f" * 16, 134, 9))
    result = _result({"tree": NEAR}, *groups)
    print_result(result)
    assert "1,434 of the other 4,000 loans lie in 2 large groups" in capsys.readouterr().out
    assert [group["rows"] for group in _document(result)["split"]["set_aside"]] == [1_300, 134]
    print_result(_result({"tree": NEAR}))
    assert "large group" not in capsys.readouterr().out
