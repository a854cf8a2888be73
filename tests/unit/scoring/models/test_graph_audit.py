"""A model is a closed formula: what reaches outside its own bytes, or brings operators of its own, is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scoring.contract import REFERENCE, load_contract
from scoring.errors import ModelError
from scoring.models.graph_audit import audit_graph
from scoring.models.model import open_model
from scoring.models.registry import GOLDEN, MANIFEST, MODEL, VERSIONS, list_versions, publish_version
from tests.unit.scoring.linear_model import linear_graph, publish_linear

FLIPS = 100


def external(tensor: onnx.TensorProto) -> None:
    """Move a tensor's data to another file."""
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def in_initializer(model: onnx.ModelProto) -> None:
    """Keep a weight outside."""
    external(model.graph.initializer[0])


def half_told(model: onnx.ModelProto) -> None:
    """Name a file without saying that it counts."""
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def in_attribute(model: onnx.ModelProto) -> None:
    """Keep a constant's value outside."""
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(1, np.float32)))
    external(constant.attribute[0].t)
    model.graph.node.append(constant)


def in_sparse(model: onnx.ModelProto) -> None:
    """Keep a sparse weight outside."""
    sparse = onnx.SparseTensorProto()
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "sparse"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64)))
    sparse.dims.append(4)
    external(sparse.values)
    model.graph.sparse_initializer.append(sparse)


def custom_operator(model: onnx.ModelProto) -> None:
    """Use an operator that nobody knows."""
    model.graph.node[0].domain = "com.evil"


def contrib_operator(model: onnx.ModelProto) -> None:
    """Use an operator of onnxruntime that is no ONNX."""
    model.graph.node[0].domain = "com.microsoft"


def foreign_import(model: onnx.ModelProto) -> None:
    """Import a set of operators without using it."""
    model.opset_import.append(helper.make_opsetid("ai.onnx.contrib", 1))


def function(model: onnx.ModelProto) -> None:
    """Give an operator another meaning."""
    sigmoid = helper.make_node("Sigmoid", ["x"], ["y"])
    model.functions.append(helper.make_function("", "MatMul", ["x"], ["y"], [sigmoid], [helper.make_opsetid("", 17)]))


def training(model: onnx.ModelProto) -> None:
    """Bring a training graph."""
    model.training_info.add()


def nested(change: Callable[[onnx.GraphProto], None], depth: int) -> Callable[[onnx.ModelProto], None]:
    """Do something in a graph in a graph in a graph."""

    def spoil(model: onnx.ModelProto) -> None:
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "inner", [], [])
        change(graph)
        for _ in range(depth):
            node = helper.make_node("If", ["condition"], ["y"], then_branch=graph, else_branch=graph)
            graph = helper.make_graph([node], "outer", [], [])
        model.graph.node.extend(graph.node)

    return spoil


def nested_weight(graph: onnx.GraphProto) -> None:
    """Keep a weight of an inner graph outside."""
    graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.float32), "inner weight"))
    external(graph.initializer[0])


def nested_operator(graph: onnx.GraphProto) -> None:
    """Use a custom operator in an inner graph."""
    graph.node[0].domain = "com.evil"


SPOILT = {
    "initializer": (in_initializer, "'weights' lie outside"),
    "half told": (half_told, "'weights' lie outside"),
    "attribute": (in_attribute, "lie outside"),
    "sparse": (in_sparse, "'sparse' lie outside"),
    "custom": (custom_operator, "'IsNaN' is of the domain 'com.evil'"),
    "contrib": (contrib_operator, "com.microsoft"),
    "import": (foreign_import, "imports operators of the domain 'ai.onnx.contrib'"),
    "function": (function, "a function of its own, 'MatMul'"),
    "training": (training, "training graphs"),
    "nested weight": (nested(nested_weight, 1), "'inner weight' lie outside"),
    "nested operator": (nested(nested_operator, 5), "com.evil"),
}


def spoilt(name: str) -> bytes:
    """Give the hand-made graph, spoilt."""
    model = onnx.ModelProto.FromString(linear_graph(10))
    SPOILT[name][0](model)
    content: bytes = model.SerializeToString()
    return content


def test_a_plain_graph_is_fine() -> None:
    """Standard operators with inline weights are what a model is."""
    audit_graph(linear_graph(10), "v1")


@pytest.mark.parametrize("name", SPOILT)
def test_a_graph_that_reaches_out_is_refused(name: str, tmp_path: Path) -> None:
    """External data, custom operators and local functions are found wherever they hide, and nothing is published."""
    with pytest.raises(ModelError, match="The model v1 may not be used") as refused:
        audit_graph(spoilt(name), "v1")
    assert SPOILT[name][1] in refused.value.what
    with pytest.raises(ModelError, match="may not be used"):
        publish_version(
            tmp_path, version="v1", candidate="x", contract=load_contract(REFERENCE),
            files={MODEL: spoilt(name), GOLDEN: b"{}"}, metrics={}, parameters={}, training={}, packages={},
        )  # fmt: skip
    assert list_versions(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x00" * 100, b"\xff" * 50])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    """Bytes that are no ONNX model are told as that."""
    with pytest.raises(ModelError, match="The model v1 is no ONNX file"):
        audit_graph(content, "v1")


@pytest.mark.parametrize("name", [MODEL, GOLDEN, MANIFEST])
def test_a_flipped_bit_never_scores(name: str, tmp_path: Path) -> None:
    """One bit flipped at a hundred places of any file of a pinned version: refused in words each time, never opened."""
    pin = publish_linear(tmp_path)
    path = tmp_path / VERSIONS / pin.version / name
    content = path.read_bytes()
    random = np.random.default_rng(7)
    places = random.choice(len(content), min(FLIPS, len(content)), replace=False)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        with pytest.raises(ModelError):
            open_model(tmp_path, pin.version, pin.manifest_sha256)
    path.write_bytes(content)
    open_model(tmp_path, pin.version, pin.manifest_sha256)
    assert len(places) == FLIPS


def test_a_job_needs_no_onnx() -> None:
    """What a job imports leaves `onnx` alone: opening a sealed model takes onnxruntime only."""
    code = "import sys, scoring.chunk.job, scoring.chunk.score, scoring.models.model; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
