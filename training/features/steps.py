"""Numbers as steps: for each of a column's quantiles, whether the number reaches it; and the same as ONNX.

A scorecard's bins, written so that a linear model learns what each further step adds. scikit-learn's own
`KBinsDiscretizer` loses the highest value of a column with few values, and fails on a column of tiny numbers.
Every step lies at a value that occurs, which float32 holds exactly, so graph and scikit-learn compare the same numbers.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from training.features.open_graph import FLOAT, OpenGraph


class QuantileSteps(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns (rows, columns) float32 numbers without gaps into (rows, steps) float32 zeros and ones."""

    def __init__(self, bins: int = 32) -> None:
        """Keep the number of parts of like size that a column is cut into, at most."""
        self.bins = bins

    def fit(self, X: NDArray[Any], y: object = None) -> Self:  # noqa: ARG002, N803 - scikit-learn's names
        """Find the steps of each column: its quantiles, the lowest value left out, as every number reaches it."""
        numbers = validate_data(self, X, dtype=np.float32)
        found = [np.unique(np.quantile(column, self._levels(), method="inverted_cdf")) for column in numbers.T]
        # A column that never changes keeps its one value, so that no column vanishes.
        kept = [steps[1:] if len(steps) > 1 else steps for steps in found]
        self.columns_ = np.repeat(np.arange(len(kept)), [len(steps) for steps in kept])
        self.steps_ = np.concatenate(kept).astype(np.float32)
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[np.float32]:  # noqa: N803 - scikit-learn's name
        """Tell for each number which steps it reaches: (rows, steps), 1 = reached."""
        check_is_fitted(self)
        numbers = validate_data(self, X, dtype=np.float32, reset=False)
        return np.asarray(numbers[:, self.columns_] >= self.steps_, np.float32)

    def _levels(self) -> NDArray[np.float64]:
        return np.linspace(0, 1, self.bins + 1)


def register_steps() -> None:
    """Teach the ONNX converter what QuantileSteps does; harmless when done twice."""
    from skl2onnx import update_registered_converter

    update_registered_converter(QuantileSteps, "LoansQuantileSteps", _shape, _convert, overwrite=True)


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    operator.outputs[0].type = FloatTensorType([None, len(operator.raw_operator.steps_)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    graph, fitted = OpenGraph(scope, container), operator.raw_operator
    columns = graph.constant(fitted.columns_.astype(np.int64))
    numbers = graph.add("Gather", operator.inputs[0].full_name, columns, version=13, axis=1)
    reached = graph.add("GreaterOrEqual", numbers, graph.constant(fitted.steps_), version=16)
    graph.add("Cast", reached, version=13, to=FLOAT, output=operator.outputs[0].full_name)
