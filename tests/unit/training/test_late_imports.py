"""What a node imports before it has work."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("nodes.preprocess", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("nodes.split", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("nodes.fit", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("nodes.train_blend", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("nodes.train", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("nodes.evaluate", {"sklearn", "skl2onnx"}),
        ("nodes.promote", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
        ("run.nodes", {"sklearn", "skl2onnx", "onnxruntime", "polars"}),
    ],
)
def test_modules_import_late(module: str, unwanted: set[str]) -> None:
    """Importing a node takes none of the packages that cost a second on a slow machine."""
    code = f"import sys, training.{module}; print(*({unwanted!r} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.split() == []
