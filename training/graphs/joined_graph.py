"""What a candidate has learnt as one ONNX graph: its members side by side, their weighted mean, the calibration.

    features ─┬─ member 1 ─ x weight ─┐
              └─ member 2 ─ x weight ─┴─ sum ─ calibration ─ clip to 0..1 ─ pd

A calibration finds the straight piece that a mean lies on by counting the knots that it reached, and answers low +
slope * (x - start) of that piece, kept between the piece's ends so that it rises exactly. Nothing but counts is summed
up: how onnxruntime sums hangs on the number of rows, so a sum of rounded terms would give a loan other bits alone than
in company.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Contract
from scoring.models.model import INPUT, OUTPUT
from training.graphs.export import IR_VERSION, OPSET, export_graph
from training.learners.calibration import Calibration
from training.learners.learnt import Learnt

if TYPE_CHECKING:
    import onnx

_MEAN: Final = "mean_pd"


def export_learnt(learnt: Learnt, contract: Contract) -> bytes:
    """Convert what was learnt to a serialised graph `features` (rows, features) → `pd` (rows, 1), both float32.

    One member without calibration is that member's graph, byte for byte. The same learnt gives the same bytes. Raises
    ModelError when a member cannot be converted.
    """
    members = [export_graph(member, contract) for member in learnt.members]
    if len(members) == 1 and not learnt.calibration.knots:
        return members[0]
    return join_graphs(members, learnt.weights, learnt.calibration, contract)


def join_graphs(
    members: Sequence[bytes], weights: Sequence[float], calibration: Calibration, contract: Contract
) -> bytes:
    """Join serialised graphs that share the input `features` into one that gives their calibrated weighted mean."""
    import onnx
    from onnx import TensorProto, checker, compose, helper

    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    shares: list[str] = []
    # A member asks for no newer operators than it needs; together they need the newest of each set.
    opsets = {"": OPSET[""]}
    for number, (content, weight) in enumerate(zip(members, weights, strict=True)):
        prefix = f"member{number}_"
        member = compose.add_prefix(onnx.ModelProto.FromString(content), prefix)
        for one in member.opset_import:
            opsets[one.domain] = max(one.version, opsets.get(one.domain, 1))
        graph = member.graph
        for node in graph.node:
            node.input[:] = [INPUT if name == prefix + INPUT else name for name in node.input]
        nodes += graph.node
        constants += [*graph.initializer, _constant(f"{prefix}weight", np.float32(weight))]
        shares.append(f"{prefix}share")
        nodes.append(
            helper.make_node("Mul", [prefix + OUTPUT, f"{prefix}weight"], [shares[-1]], name=f"weigh_{number}")
        )
    nodes.append(helper.make_node("Sum", shares, [_MEAN], name="add_members"))
    last = _calibrate(calibration, nodes, constants)
    constants += [_constant("none", np.float32(0)), _constant("certain", np.float32(1))]
    nodes.append(helper.make_node("Clip", [last, "none", "certain"], [OUTPUT], name="keep_probability"))
    joined = helper.make_graph(
        nodes,
        contract.name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, len(contract.features)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
        constants,
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())]
    model = helper.make_model(joined, opset_imports=imports, ir_version=IR_VERSION, producer_name="loans")
    checker.check_model(model)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _calibrate(calibration: Calibration, nodes: list["onnx.NodeProto"], constants: list["onnx.TensorProto"]) -> str:
    """Add the nodes of a calibration of the mean; give the name of what comes out."""
    from onnx import TensorProto, helper

    if not calibration.knots:
        return _MEAN
    across, up = np.array(calibration.knots).T
    slopes = np.diff(up) / np.diff(across)
    pieces = {"starts": across[:-1], "slopes": slopes, "lows": up[:-1], "highs": up[1:]}
    constants += [_constant(f"curve_{name}", values.astype(np.float32)) for name, values in pieces.items()]
    knots = across[None, 1:-1].astype(np.float32)
    constants += [_constant("curve_knots", knots), _constant("curve_axis", np.array([1], np.int64))]
    nodes += [
        helper.make_node("GreaterOrEqual", [_MEAN, "curve_knots"], ["curve_reached"], name="curve_reached"),
        helper.make_node("Cast", ["curve_reached"], ["curve_steps"], name="curve_steps", to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["curve_steps", "curve_axis"], ["curve_count"], name="curve_count"),
        helper.make_node("Cast", ["curve_count"], ["curve_piece"], name="curve_piece", to=TensorProto.INT64),
    ]
    for name in pieces:
        found = f"curve_{name.removesuffix('s')}"
        nodes.append(helper.make_node("Gather", [f"curve_{name}", "curve_piece"], [found], name=found))
    steps = (
        ("Sub", [_MEAN, "curve_start"], "curve_beyond"),
        ("Mul", ["curve_beyond", "curve_slope"], "curve_rise"),
        ("Add", ["curve_low", "curve_rise"], "curve_line"),
        ("Max", ["curve_line", "curve_low"], "curve_not_below"),
        ("Min", ["curve_not_below", "curve_high"], "curve_pd"),
    )
    nodes += [helper.make_node(kind, inputs, [output], name=output) for kind, inputs, output in steps]
    return steps[-1][2]


def _constant(name: str, value: NDArray[np.float32] | NDArray[np.int64] | np.float32) -> "onnx.TensorProto":
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value), name)
