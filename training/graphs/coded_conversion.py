"""What the ONNX converter is told about ensembles of coded trees, and about networks of values."""

from typing import Any

from training.learning.boosting import CodedBoosting
from training.learning.forest import CodedForest
from training.learning.network import ValueNetwork


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
    default = operator.raw_operator.convert(scope, container, operator.inputs[0].full_name)
    one, repaid = (scope.get_unique_variable_name(f"chance_{part}") for part in ("one", "repaid"))
    container.add_initializer(one, 1, [1], [1.0])
    container.add_node("Sub", [one, default], repaid, name=scope.get_unique_operator_name("Repaid"), op_version=14)
    chances = [repaid, default]
    container.add_node(
        "Concat", chances, operator.outputs[1].full_name, name=scope.get_unique_operator_name("Chances"), axis=1
    )
    # The label is dropped from the exported graph; the converter wants one.
    container.add_node(
        "ArgMax",
        operator.outputs[1].full_name,
        operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Label"),
        axis=1,
        keepdims=0,
        op_version=13,
    )
