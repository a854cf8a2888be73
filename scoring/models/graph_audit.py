"""What a model's graph may hold: standard operators and inline weights, nothing that reaches outside it.

Read when a version is published, promoted or verified; jobs trust the seals that follow from it and need no `onnx`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from scoring.errors import ModelError

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Operator sets that onnxruntime computes by itself; an operator of any other one is code that we have not seen."""

_MOST_NAMED = 5


def audit_graph(content: bytes, name: str) -> None:
    """Refuse a serialised ONNX model that is more than a closed formula. Raises ModelError with all that is wrong."""
    import onnx

    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's own class comes without types
        raise ModelError(f"The model {name} is no ONNX file: {error}.") from error
    if not model.graph.node:
        raise ModelError(f"The model {name} is no ONNX file, or computes nothing.")
    problems = list(dict.fromkeys(_find_problems(model)))
    if problems:
        more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        raise ModelError(
            f"The model {name} may not be used: {'; '.join(problems[:_MOST_NAMED])}{more}.",
            "Export it with its weights inside and with operators of ONNX's own sets only.",
        )


def _find_problems(model: Any) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            yield f"it imports operators of the domain {opset.domain!r}"
    for function in model.functions:
        yield f"it defines a function of its own, {function.name!r}"
    if model.training_info:
        yield "it carries training graphs"
    yield from _audit(model.graph)


def _audit(graph: Any) -> Iterator[str]:
    """Walk a graph and every graph in it; without recursion, so that depth costs nothing."""
    graphs = [graph]
    while graphs:
        one = graphs.pop()
        yield from _audit_tensors(one.initializer)
        yield from _audit_tensors(tensor for sparse in one.sparse_initializer for tensor in _halves(sparse))
        for node in one.node:
            if node.domain not in DOMAINS:
                yield f"the operator {node.op_type!r} is of the domain {node.domain!r}"
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += attribute.graphs
                yield from _audit_tensors([attribute.t] if attribute.HasField("t") else [])
                yield from _audit_tensors(attribute.tensors)
                sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
                yield from _audit_tensors(
                    tensor for each in [*sparse, *attribute.sparse_tensors] for tensor in _halves(each)
                )


def _halves(sparse: Any) -> tuple[Any, Any]:
    return sparse.values, sparse.indices


def _audit_tensors(tensors: Iterable[Any]) -> Iterator[str]:
    import onnx

    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
            yield f"the data of {tensor.name!r} lie outside it"
