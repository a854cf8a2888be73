"""What the ONNX converter is told about ensembles of coded trees, and about networks of values."""

from typing import Any

import numpy as np

from training.features.open_graph import OpenGraph
from training.learners.boosting import CodedBoosting
from training.learners.forest import CodedForest
from training.learners.network import ValueNetwork


def register_coded_trees() -> None:
    """Teach the ONNX converter what the ensembles do; harmless when done twice."""
    from skl2onnx import update_registered_converter

    for kind in (CodedBoosting, CodedForest, ValueNetwork):
        update_registered_converter(
            kind, f"Loans{kind.__name__}", _shape, _convert, overwrite=True, options={"zipmap": [False]}
        )


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    operator.outputs[0].type = Int64TensorType([None])
    operator.outputs[1].type = FloatTensorType([None, 2])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    graph = OpenGraph(scope, container)
    default = operator.raw_operator.convert(graph, operator.inputs[0].full_name)
    repaid = graph.add("Sub", graph.constant(np.array([1], np.float32)), default, version=14)
    label, chances = (output.full_name for output in operator.outputs)
    graph.add("Concat", repaid, default, version=13, axis=1, output=chances)
    # The label is dropped from the exported graph; the converter wants one.
    graph.add("ArgMax", chances, version=13, axis=1, keepdims=0, output=label)
