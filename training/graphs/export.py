"""A fitted pipeline as one ONNX graph: float32 features in, one float32 probability of default out."""

from typing import TYPE_CHECKING, Final

from scoring.contract import Contract
from scoring.errors import ModelError
from scoring.models.model import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx
    from sklearn.pipeline import Pipeline

OPSET: Final = {"": 18, "ai.onnx.ml": 3}
"""Operator sets of the graph; fixed, so that a new converter does not silently ask for a newer onnxruntime."""

IR_VERSION: Final = 9
"""File format of the graph, which goes with the opset."""


def export_graph(pipeline: "Pipeline", contract: Contract) -> bytes:
    """Convert a fitted pipeline to a serialised graph `features` (rows, features) → `pd` (rows, 1), both float32.

    Nothing else is in it: no label, no chance of repayment, no maps. The same pipeline gives the same bytes. Raises
    ModelError when the pipeline cannot be converted.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    from training.features.steps import register_steps
    from training.graphs.coded_conversion import register_coded_trees

    register_steps()
    register_coded_trees()

    if list(pipeline.classes_) != [0, 1]:
        raise ModelError(f"The candidate learnt the outcomes {list(pipeline.classes_)}, not 0 and 1.")
    try:
        model = to_onnx(
            pipeline,
            name=contract.name,
            initial_types=[(INPUT, FloatTensorType([None, len(contract.features)]))],
            options={id(pipeline): {"zipmap": False}},
            target_opset=OPSET,
        )
    except Exception as error:  # the converter raises whatever its operators do
        raise ModelError(f"The candidate cannot be exported to ONNX: {type(error).__name__}: {error}") from error
    keep_default(model)
    # The converter lists them in the order of a set, another one in each process.
    operators = sorted(model.opset_import, key=lambda one: one.domain)
    del model.opset_import[:]
    model.opset_import.extend(operators)
    model.ir_version = IR_VERSION
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def keep_default(model: "onnx.ModelProto") -> None:
    """Make the chance of default the only output, in place, and drop what nothing needs any more."""
    import numpy as np
    from onnx import TensorProto, checker, helper, numpy_helper

    graph = model.graph
    probabilities = graph.output[1].name
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "default_class"))
    graph.node.append(helper.make_node("Gather", [probabilities, "default_class"], [OUTPUT], name="keep_pd", axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1]))
    needed, kept = {OUTPUT}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    kept.reverse()
    constants = [constant for constant in graph.initializer if constant.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)
    checker.check_model(model)
