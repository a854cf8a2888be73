"""An ONNX graph that skl2onnx is still adding to: nodes and constants, each under a name of its own."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LEARNING_DOMAIN: Final = "ai.onnx.ml"
"""The standard operators that classical models need."""

FLOAT: Final = 1
"""`onnx.TensorProto.FLOAT`; onnx itself is slow to import."""

INT64: Final = 7
"""`onnx.TensorProto.INT64`."""


@dataclass(frozen=True)
class OpenGraph:
    """What a converter of skl2onnx is given to write to."""

    scope: Any
    """skl2onnx's `Scope`: it makes names unique."""
    container: Any
    """skl2onnx's `ModelComponentContainer`: it takes nodes and constants."""

    def add(
        self, operator: str, *inputs: str, version: int, domain: str = "", output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node of that version of an operator; give the name of its one output: `output`, or a new one."""
        output = output or str(self.scope.get_unique_variable_name(operator))
        name = self.scope.get_unique_operator_name(operator)
        self.container.add_node(
            operator, list(inputs), output, name=name, op_domain=domain, op_version=version, **attributes
        )
        return output

    def constant(self, values: NDArray[np.float32] | NDArray[np.int64] | np.float32) -> str:
        """Add numbers, float32 or int64, in their shape; give their name."""
        from onnx import numpy_helper

        tensor = numpy_helper.from_array(np.asarray(values))
        name = str(self.scope.get_unique_variable_name("constant"))
        self.container.add_initializer(name, tensor.data_type, list(tensor.dims), tensor)
        return name

    def column(self, matrix: str, position: int) -> str:
        """Add what takes one column out of (rows, columns); give the name of (rows, 1)."""
        return self.add("Gather", matrix, self.constant(np.array([position])), version=13, axis=1)

    def find_known(self, value: str, known: NDArray[np.float32], unknown: float) -> str:
        """Add what tells the place of each value among the known ones, `unknown` for others; float32, as the values."""
        return self.add(
            "LabelEncoder",
            value,
            version=2,
            domain=LEARNING_DOMAIN,
            keys_floats=known.tolist(),
            values_floats=np.arange(len(known), dtype=np.float32).tolist(),
            default_float=float(unknown),
        )

    def replace_missing(self, value: str, places: str, missing: float) -> str:
        """Add what gives `missing` in the place of rows without a value."""
        absent = self.add("IsNaN", value, version=13)
        return self.add("Where", absent, self.constant(np.array([missing], np.float32)), places, version=16)
