"""A small neural network on the places of values: it sees each known value by itself, and numbers by their level.

A first layer on zeros, ones and levels that hang on places alone is the sum of one row of a table for each column; no
loan needs to be multiplied with thousands of zeros. Several networks, each from its own random start, are averaged.

Every table, weight and activation is rounded to whole multiples of a power of two, coarse enough that float32 adds a
layer's products without rounding. So a loan's answer is the same in whatever order, in whatever company and with
however many threads the products are added: matrix products are free to choose, and do.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scoring.contract import Contract
from training.features.groupings import find_grouping_columns
from training.features.open_graph import OpenGraph
from training.features.ratios import compute_ratios, convert_ratios
from training.features.search import search_features
from training.learners.trees import exact_unit
from training.learners.value_places import convert_places, find_places

Matrix = NDArray[np.float32]

ACTIVATION_BITS: Final = 12
"""The most that a unit can answer is less than 2^(this + 1) steps; products of activations and weights have 24 bits."""

FEWEST_STEPS: Final = 150
"""Batches that a network learns from, at least: few loans are seen more often."""

MOST_ROUNDS: Final = 30
"""Times that every loan is seen, at most."""


@dataclass(frozen=True)
class Layers:
    """A network of two hidden layers whose float32 sums are exact."""

    tables: tuple[Matrix, ...]
    """For each column (places, units): what the first layer's units get; the first table holds their bias."""
    weights: Matrix
    """(units, units of the second layer); its units count in steps of the activations' grid."""
    bias: Matrix
    """(units of the second layer,)."""
    last: Matrix
    """(units of the second layer, 1)."""
    offset: float
    """Of the log-odds."""

    def answer(self, index: Sequence[NDArray[np.intp]]) -> Matrix:
        """Give the log-odds of default by the places in each column, each (rows,): (rows,)."""
        total = self.tables[0][index[0]]
        for table, places in zip(self.tables[1:], index[1:], strict=True):
            total += table[places]
        second = np.rint(np.maximum(np.maximum(total, 0) @ self.weights + self.bias, 0))
        return np.asarray((second @ self.last)[:, 0] + np.float32(self.offset), np.float32)


class ValueNetwork(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """(loans, features) float32 and labels in, a probability of default out."""

    def __init__(
        self,
        contract: Contract,
        members: int = 4,
        units: int = 128,
        second: int = 32,
        rounds: int = 5,
        batch: int = 128,
        learning_rate: float = 1e-3,
        alpha: float = 3e-2,
        parts: int = 256,
        ratios: int = 4,
        seed: int = 0,
    ) -> None:
        """Keep how many networks are averaged, their units, and how long and how cautiously they learn.

        `rounds` is how often every loan is seen, `batch` how many loans make a step of learning; `parts` is the number
        of parts of like size that a number's range is cut into, at most; `ratios` the number of ratios, at most.
        """
        self.contract = contract
        self.members = members
        self.units = units
        self.second = second
        self.rounds = rounds
        self.batch = batch
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.parts = parts
        self.ratios = ratios
        self.seed = seed

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:  # noqa: N803 - scikit-learn's names
        """Find places and ratios and fit the networks, on these loans alone."""
        from scipy import sparse

        features, labels = np.asarray(X, np.float32), np.asarray(y, np.uint8)
        self.classes_ = np.unique(labels)
        self.n_features_in_ = features.shape[1]
        self.ratios_, _ = search_features(
            self.contract, find_grouping_columns(self.contract, features), features, labels,
            ratios=self.ratios, pairs=0, folds=5, smoothing=10.0, seed=self.seed,
        )  # fmt: skip
        matrix = self._widen(features)
        self.places_ = find_places(self.contract, matrix, self.parts)
        index = [places.index(matrix) for places in self.places_]
        told = [places.inputs(at) for places, at in zip(self.places_, index, strict=True)]
        inputs = sparse.hstack(
            [sparse.csr_matrix(rows)[at] for rows, at in zip(told, index, strict=True)], format="csr"
        )
        self.layers_ = [
            settle(self._learn(inputs, labels, self.seed * self.members + member), told)
            for member in range(self.members)
        ]
        return self

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        """Give the chances of repayment and of default: (loans, 2)."""
        from scipy.special import expit

        check_is_fitted(self)
        matrix = self._widen(np.asarray(X, np.float32))
        index = [places.index(matrix) for places in self.places_]
        total = np.zeros(len(matrix))
        for layers in self.layers_:
            total += layers.answer(index)
        default = expit(total / len(self.layers_))
        return np.column_stack([1 - default, default])

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """Give the likelier outcome: (loans,)."""
        return np.asarray(self.classes_[np.argmax(self.predict_proba(X), axis=1)])

    def convert(self, graph: OpenGraph, features: str) -> str:
        """Add the same to an ONNX graph; give the name of the probability of default, (rows, 1) float32."""
        matrix = features
        if self.ratios_:
            matrix = graph.add("Concat", features, convert_ratios(graph, features, self.ratios_), version=13, axis=1)
        index = convert_places(graph, matrix, self.places_)
        total = ""
        for layers in self.layers_:
            first = ""
            for table, places in zip(layers.tables, index, strict=True):
                row = graph.add("Gather", graph.constant(table), places, version=13, axis=0)
                first = graph.add("Add", first, row, version=14) if first else row
            known = graph.add("Relu", first, version=14)
            product = graph.add("MatMul", known, graph.constant(layers.weights), version=13)
            shifted = graph.add("Add", product, graph.constant(layers.bias), version=14)
            second = graph.add("Round", graph.add("Relu", shifted, version=14), version=11)
            product = graph.add("MatMul", second, graph.constant(layers.last), version=13)
            answer = graph.add("Add", product, graph.constant(np.array([layers.offset], np.float32)), version=14)
            total = graph.add("Add", total, answer, version=14) if total else answer
        share = graph.constant(np.array([1 / len(self.layers_)], np.float32))
        return graph.add("Sigmoid", graph.add("Mul", total, share, version=14), version=13)

    def _widen(self, features: Matrix) -> Matrix:
        return np.column_stack([features, compute_ratios(self.ratios_, features)]).astype(np.float32)

    def _learn(self, inputs: Any, labels: NDArray[np.uint8], seed: int) -> MLPClassifier:
        batch = min(self.batch, len(labels))
        steps_a_round = max(1, len(labels) // batch)
        rounds = max(self.rounds, min(FEWEST_STEPS // steps_a_round, MOST_ROUNDS))
        model = MLPClassifier(
            (self.units, self.second),
            alpha=self.alpha,
            batch_size=batch,
            learning_rate_init=self.learning_rate,
            max_iter=rounds,
            random_state=seed,
        )
        # Products this small gain nothing from threads, and one thread always adds in the same order.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            # It stops early on purpose: a network that came to rest knows the loans by heart.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(inputs, labels)


def settle(model: MLPClassifier, told: Sequence[Matrix]) -> Layers:
    """Make tables of a fitted network's first layer and round everything so that float32 sums are exact.

    `told` is, for each column, what the network is told of each place: (places, inputs).
    """
    ends = np.cumsum([rows.shape[1] for rows in told])[:-1]
    wide = [np.asarray(weights, np.float64) for weights in model.coefs_]
    biases = [np.asarray(bias, np.float64) for bias in model.intercepts_]
    tables = [rows @ part for rows, part in zip(told, np.split(wide[0], ends), strict=True)]
    tables[0] = tables[0] + biases[0]
    step = _coarse_unit(_most(tables).max())
    tables = [np.round(table / step) * step for table in tables]
    # What a unit of the second layer can sum up to, either way, is exact in float32.
    bound = _most(tables) @ np.abs(wide[1]) + np.abs(biases[1])
    fine = exact_unit(float(bound.max()))
    weights = np.round(wide[1] * step / fine) * (fine / step)
    bias = np.round(biases[1] / fine) * fine
    grid = _coarse_unit(bound.max())
    reach = bound / grid + 1
    unit = exact_unit(float(reach @ np.abs(wide[2][:, 0]) * grid + np.abs(biases[2][0])))
    last = np.round(wide[2] * grid / unit) * unit
    offset = float(np.round(biases[2][0] / unit) * unit)
    return Layers(
        tuple(table.astype(np.float32) for table in tables),
        (weights / grid).astype(np.float32),
        (bias / grid).astype(np.float32),
        last.astype(np.float32),
        offset,
    )


def _most(tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Give the most that each unit can sum up to, either way: (units,)."""
    return np.asarray(sum(np.abs(table).max(axis=0) for table in tables))


def _coarse_unit(bound: float) -> float:
    return float(2.0 ** np.ceil(np.log2(max(bound, 1e-30) / 2**ACTIVATION_BITS)))
