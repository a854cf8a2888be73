"""The whole DAG, node by node as processes of their own, on real loans."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scoring.model import open_model
from scoring.production import read_promotion
from training.findings import Conclusion, Evaluation, Fitted, ShardCounts, SplitFigures
from training.labelled_loans import load_loans
from training.learnt import load_fitted
from training.nodes import Node, plan_nodes
from training.outcome import read_details, read_outcome
from training.request import RunRequest

REPOSITORY = Path(__file__).parents[3]


def test_real_loans_end_in_production(
    real_history: Path,
    make_request: Callable[..., RunRequest],
    run_process: Callable[[Node], "subprocess.CompletedProcess[str]"],
) -> None:
    """On real loans both candidates reach their figures, and the published version predicts as scikit-learn does."""
    request = make_request(real_history, folds=2)
    layout = request.layout
    for node in plan_nodes(request):
        began = time.perf_counter()
        ended = run_process(node)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        print(f"{node.name}: {time.perf_counter() - began:.2f} s, wanted {node.memory_mb} MB")

    counts = [read_details(layout.outcome(f"preprocess-{shard}"), ShardCounts) for shard in (1, 2)]
    assert sum(count.rows_in for count in counts) == sum(count.kept for count in counts) == 46_916
    split = read_details(layout.outcome("split"), SplitFigures)
    assert split.test.rows == pytest.approx(46_916 / 5, rel=0.03)
    assert split.train.defaults / split.train.rows == pytest.approx(split.test.defaults / split.test.rows, abs=0.01)

    conclusion = read_details(layout.outcome("promote"), Conclusion)
    logistic, tree = conclusion.candidates["logistic"], conclusion.candidates["tree"]
    assert logistic.accuracy >= 0.908
    assert logistic.auc >= 0.90
    assert tree.auc >= 0.915
    promotion = read_promotion(Path(request.models))
    assert promotion is not None
    assert promotion.pin.version == conclusion.version
    assert conclusion.version == f"{request.run_id}-{conclusion.candidate}"
    evaluated = read_outcome(layout.outcome(f"evaluate-{conclusion.candidate}"), Evaluation)
    assert evaluated.seconds > 0.1

    test = load_loans(layout.test)
    fitted = read_details(layout.outcome(f"train-{conclusion.candidate}"), Fitted)
    learnt = load_fitted(layout.fitted(conclusion.candidate), fitted, request.run_id)
    model = open_model(Path(request.models), conclusion.version, promotion.pin.manifest_sha256)
    assert np.abs(model.graph.predict(test.features) - learnt.predict(test.features)).max() <= 1e-5


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("preprocess", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("split", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("fit", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("train_blend", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("train", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("evaluate", {"sklearn", "skl2onnx", "polars"}),
        ("promote", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("nodes", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
    ],
)
def test_modules_import_late(module: str, unwanted: set[str]) -> None:
    """Importing a node takes none of the packages that cost a second on a slow machine."""
    code = f"import sys, training.{module}; print(*({unwanted!r} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.split() == []
