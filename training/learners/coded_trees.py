"""Ensembles of trees on ratios and target codes, averaged over several draws of the folds that the codes come from.

What a loan is asked for: the contract's features as they are, ratios that proved themselves, and the target code of
every grouping column and of every pair of them that proved itself. A code is noisy where few loans stand behind it, and
the noise depends on how the folds were drawn. So the ensemble has members: each sees codes from its own draw, and all
of them answer with the codes of all loans. Their trees stand side by side in one ensemble.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from scoring.contract import Contract
from training.features.groupings import (
    convert_codes,
    draw_folds,
    find_grouping_columns,
    index_columns,
    join,
    smooth_shares,
)
from training.features.open_graph import OpenGraph
from training.features.ratios import compute_ratios, convert_ratios
from training.features.search import cross_fit_codes, fill_empty, search_features
from training.history.loan_hash import hash_loans
from training.learners.trees import convert_trees, read_trees

Matrix = NDArray[np.float32]


class CodedTrees(ABC, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """(loans, features) float32 and labels in, a probability of default out; learners of trees derive from it."""

    PROBABILITY: ClassVar[str]
    """The ONNX operator that makes a probability of the trees' sum."""

    def __init__(
        self,
        contract: Contract,
        members: int = 4,
        folds: int = 5,
        smoothing: float = 10.0,
        ratios: int = 4,
        pairs: int = 4,
        seed: int = 0,
    ) -> None:
        """Keep how many members there are, folds of their codes, and ratios and pairs of columns at most."""
        self.contract = contract
        self.members = members
        self.folds = folds
        self.smoothing = smoothing
        self.ratios = ratios
        self.pairs = pairs
        self.seed = seed

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:  # noqa: N803 - scikit-learn's names
        """Choose features, code groups and grow trees, on these loans alone."""
        features, labels = np.asarray(X, np.float32), np.asarray(y, np.uint8)
        self.classes_ = np.unique(labels)
        self.n_features_in_ = features.shape[1]
        self.columns_ = find_grouping_columns(self.contract, features)
        singles = [join(self.columns_, place) for place in range(len(self.columns_))]
        self.ratios_, pairs = search_features(
            self.contract, self.columns_, features, labels,
            ratios=self.ratios, pairs=self.pairs, folds=self.folds, smoothing=self.smoothing, seed=self.seed,
        )  # fmt: skip
        self.groupings_ = singles + pairs
        index = index_columns(self.columns_, features)
        groups = [grouping.groups(index) for grouping in self.groupings_]
        self.tables_ = [
            smooth_shares(group, labels, grouping.size, self.smoothing)
            for group, grouping in zip(groups, self.groupings_, strict=True)
        ]
        hashes = hash_loans(features, 0)
        plain = np.column_stack([features, compute_ratios(self.ratios_, features)])
        grown = []
        for member in range(self.members):
            seed = self.seed * self.members + member
            drawn = draw_folds(hashes, labels, self.folds, seed)
            codes = cross_fit_codes(self.groupings_, index, labels, drawn, self.smoothing)
            grown.append(self._grow(fill_empty(np.column_stack([plain, codes])), labels, seed))
        self.model_ = self._merge(grown)
        return self

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        """Give the chances of repayment and of default: (loans, 2)."""
        check_is_fitted(self)
        return np.asarray(self.model_.predict_proba(self.encode(np.asarray(X, np.float32))))

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:  # noqa: N803 - scikit-learn's name
        """Give the likelier outcome: (loans,)."""
        return np.asarray(self.classes_[np.argmax(self.predict_proba(X), axis=1)])

    def encode(self, features: Matrix) -> Matrix:
        """Give what the trees ask for: the features, the ratios, the codes of all loans fitted on."""
        index = index_columns(self.columns_, features)
        codes = [table[grouping.groups(index)] for table, grouping in zip(self.tables_, self.groupings_, strict=True)]
        return np.column_stack([features, compute_ratios(self.ratios_, features), *codes]).astype(np.float32)

    def convert(self, graph: OpenGraph, features: str) -> str:
        """Add the same to an ONNX graph; give the name of the probability of default, (rows, 1) float32."""
        parts = [features]
        if self.ratios_:
            parts.append(convert_ratios(graph, features, self.ratios_))
        if self.groupings_:
            parts.append(convert_codes(graph, features, self.columns_, self.groupings_, self.tables_))
        matrix = graph.add("Concat", *parts, version=13, axis=1)
        total = convert_trees(graph, matrix, list(read_trees(self.model_)), self._base())
        if self._scale() != 1:
            total = graph.add("Mul", total, graph.constant(np.array([self._scale()], np.float32)), version=14)
        ends = (0, 1) if self.PROBABILITY == "Clip" else ()
        return graph.add(self.PROBABILITY, total, *(graph.constant(np.float32(end)) for end in ends), version=13)

    @abstractmethod
    def _grow(self, matrix: Matrix, labels: NDArray[np.uint8], seed: int) -> Any:
        """Fit one member on (loans, columns)."""

    @abstractmethod
    def _merge(self, grown: list[Any]) -> Any:
        """Make one model of the members' trees."""

    @abstractmethod
    def _base(self) -> float:
        """Give what the trees add up to before the first."""

    @abstractmethod
    def _scale(self) -> float:
        """Give what the sum of the trees is multiplied by."""
