"""A small published model for tests of scoring: a logistic function of the reference loans' features, made by hand."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scoring.contract import REFERENCE, Contract, load_contract
from scoring.golden import seal_golden
from scoring.model import INPUT, OUTPUT, Graph
from scoring.production import promote
from scoring.registry import GOLDEN, MODEL, Pin, publish_version

VERSION = "20260101-000000-linear"


def linear_graph(features: int) -> bytes:
    """Give pd = sigmoid(x · w), missing values as 0, with weights that keep the reference loans in (0, 1)."""
    weights = np.linspace(-1, 1, features, dtype=np.float32).reshape(features, 1) / np.float32(1e4)
    nodes = [
        helper.make_node("IsNaN", [INPUT], ["missing"]),
        helper.make_node("Where", ["missing", "zero", INPUT], ["known"]),
        helper.make_node("MatMul", ["known", "weights"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(0, np.float32), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _golden_rows(features: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(1).uniform(0, 100, (20, features)).astype(np.float32)
    rows[3, :] = np.nan
    return rows


def publish_linear(models: Path, contract: Contract | None = None) -> Pin:
    """Publish and promote the model under `models`."""
    contract = contract or load_contract(REFERENCE)
    graph = linear_graph(len(contract.features))
    pin = publish_version(
        models,
        version=VERSION,
        candidate="linear",
        contract=contract,
        files={
            MODEL: graph,
            GOLDEN: seal_golden(_golden_rows(len(contract.features)), Graph(graph, 1, "linear").predict),
        },
        metrics={},
        parameters={},
        training={},
        packages={},
    )
    promote(models, pin, by="test", why="test")
    return pin
