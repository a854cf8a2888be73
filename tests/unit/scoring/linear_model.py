"""A small published model for tests of scoring: a logistic function of the reference loans' features, made by hand."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scoring.contract import REFERENCE, Contract, load_contract
from scoring.models.golden import seal_golden
from scoring.models.model import INPUT, OUTPUT, Graph
from scoring.models.policy import Band, Policy
from scoring.models.production import promote
from scoring.models.registry import GOLDEN, MODEL, Pin, publish_version

VERSION = "20260101-000000-linear"


POLICY = Policy(
    format=1,
    base_score=600,
    base_odds=1,
    points_to_double=20,
    lowest_score=300,
    highest_score=850,
    bands=(Band("A", 610), Band("B", 600), Band("C", 590), Band("D", 300)),
    refer_from=0.45,
    decline_from=0.55,
)
"""What the hand-made model's probabilities mean: they lie around one half."""


def linear_graph(features: int, slope: float = 1) -> bytes:
    """Give pd = sigmoid(x · w), missing values as 0, with weights that keep the reference loans in (0, 1)."""
    weights = np.linspace(-1, 1, features, dtype=np.float32).reshape(features, 1) / np.float32(1e4) * np.float32(slope)
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


def publish_linear(
    models: Path,
    contract: Contract | None = None,
    *,
    version: str = VERSION,
    policy: Policy | None = None,
    slope: float = 1,
    promoted: bool = True,
) -> Pin:
    """Publish the model under `models`, and promote it where asked for; `slope` makes another one of it."""
    contract = contract or load_contract(REFERENCE)
    graph = linear_graph(len(contract.features), slope)
    pin = publish_version(
        models,
        version=version,
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
        policy=policy,
    )
    if promoted:
        promote(models, pin, by="test", why="test")
    return pin
