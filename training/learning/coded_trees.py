"""Ensembles of trees on ratios and target codes, averaged over several draws of the folds that the codes come from.

What a loan is asked for: the contract's features as they are, ratios that proved themselves, and the target code of
every grouping column and of every pair of them that proved itself. A code is noisy where few loans stand behind it, and
the noise depends on how the folds were drawn. So the ensemble has members: each sees codes from its own draw, and all
of them answer with the codes of all loans. Their trees stand side by side in one ensemble.
"""

from itertools import combinations
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.validation import check_is_fitted

from scoring.contract import Contract
from training.features.groupings import (
    MOST_CELLS,
    convert_codes,
    find_grouping_columns,
    index_columns,
    join,
)
from training.features.ratios import Ratio, compute_ratios, convert_ratios, extend_ratios, propose_ratios
from training.features.screening import BINS, Gain, choose, cut, measure_gain, rank
from training.features.target_codes import cross_fit, draw_folds, smooth_shares
from training.learning.trees import convert_trees, read_trees

Matrix = NDArray[np.float32]

FEWEST: Final = 50
"""Loans of either outcome from which on features are screened; with fewer, chance looks like proof."""

FIRST_LOOK: Final[dict[str, Any]] = {
    "max_iter": 60,
    "learning_rate": 0.15,
    "max_leaf_nodes": 6,
    "max_features": 0.5,
    "l2_regularization": 5.0,
    "early_stopping": False,
}
"""The boosting that tells what is known before a feature is added."""

SCREENED: Final = 50_000
"""Loans that features are screened on, at most."""


EXTENDED: Final = 20
"""Ratios and products of two numbers, the best first, that are tried with a third number."""


class CodedTrees(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
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
        self.groupings_ = [join(self.columns_, place) for place in range(len(self.columns_))]
        self.ratios_: list[Ratio] = []
        index = index_columns(self.columns_, features)
        if (self.ratios or self.pairs) and min(np.bincount(labels, minlength=2)) >= FEWEST:
            self._screen(features, index, labels)
        groups = [grouping.groups(index) for grouping in self.groupings_]
        self.tables_ = [
            smooth_shares(group, labels, grouping.size, self.smoothing)
            for group, grouping in zip(groups, self.groupings_, strict=True)
        ]
        plain = np.column_stack([features, compute_ratios(self.ratios_, features)])
        grown = []
        for member in range(self.members):
            seed = self.seed * self.members + member
            codes = self._cross_fit(index, labels, seed)
            grown.append(self._grow(_fill_empty(np.column_stack([plain, codes])), labels, seed))
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

    def convert(self, scope: Any, container: Any, features: str) -> str:
        """Add the same to an ONNX graph; give the name of the probability of default, (rows, 1) float32."""
        parts = [features]
        if self.ratios_:
            parts.append(convert_ratios(scope, container, features, self.ratios_))
        if self.groupings_:
            parts.append(convert_codes(scope, container, features, self.columns_, self.groupings_, self.tables_))
        matrix = str(scope.get_unique_variable_name("loans_encoded"))
        container.add_node("Concat", parts, matrix, name=scope.get_unique_operator_name("Encoded"), axis=1)
        trees = list(read_trees(self.model_))
        total = convert_trees(scope, container, matrix, trees, self._base())
        if self._scale() != 1:
            scale, mean = (str(scope.get_unique_variable_name(f"trees_{part}")) for part in ("scale", "mean"))
            container.add_initializer(scale, 1, [1], [self._scale()])
            container.add_node("Mul", [total, scale], mean, name=scope.get_unique_operator_name("Mean"), op_version=14)
            total = mean
        default = str(scope.get_unique_variable_name("trees_default"))
        ends = []
        if self.PROBABILITY == "Clip":
            ends = [str(scope.get_unique_variable_name(f"probability_{end}")) for end in ("least", "most")]
            for end, value in zip(ends, (0.0, 1.0), strict=True):
                container.add_initializer(end, 1, [], [value])
        container.add_node(
            self.PROBABILITY,
            [total, *ends],
            default,
            name=scope.get_unique_operator_name("Default"),
            op_version=13,
        )
        return default

    def _cross_fit(self, index: NDArray[np.intp], labels: NDArray[np.uint8], seed: int) -> Matrix:
        folds = draw_folds(labels, self.folds, seed)
        codes = [
            cross_fit(grouping.groups(index), labels, folds, grouping.size, self.smoothing)
            for grouping in self.groupings_
        ]
        return np.column_stack(codes) if codes else np.empty((len(labels), 0), np.float32)

    def _screen(self, features: Matrix, index: NDArray[np.intp], labels: NDArray[np.uint8]) -> None:
        """Add the ratios and the pairs of columns that prove themselves."""
        stream = np.random.default_rng([self.seed, 3])
        rows = np.sort(stream.permutation(len(labels))[:SCREENED])
        features, index, labels = features[rows], index[rows], labels[rows]
        known = self._look_first(features, index, labels)
        folds = draw_folds(labels, 5, self.seed)
        numbers = [position for position, column in enumerate(self.contract.features) if column.is_numeric]

        def judge(ratio: Ratio) -> tuple[Ratio, Gain]:
            groups = cut(compute_ratios([ratio], features)[:, 0])
            return ratio, measure_gain(groups, BINS + 1, labels, known, folds)

        if self.ratios:
            twos = rank(map(judge, propose_ratios(numbers)))
            threes = map(judge, extend_ratios([ratio for ratio, _ in twos[:EXTENDED]], numbers))
            self.ratios_ = choose(rank([*twos, *threes]), self.ratios)
        pairs = (join(self.columns_, *places) for places in combinations(range(len(self.columns_)), 2))
        gains = [
            (pair, measure_gain(pair.groups(index), pair.size, labels, known, folds))
            for pair in pairs
            if pair.size <= MOST_CELLS
        ]
        self.groupings_ += choose(rank(gains), self.pairs)

    def _look_first(self, features: Matrix, index: NDArray[np.intp], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Give each loan a probability from a boosting on single columns that was not fitted on it."""
        thirds = draw_folds(labels, 3, self.seed + 1)
        known = np.empty(len(labels))
        for third in range(3):
            held = thirds == third
            codes = self._cross_fit(index[~held], labels[~held], self.seed)
            tables = [
                smooth_shares(g.groups(index[~held]), labels[~held], g.size, self.smoothing) for g in self.groupings_
            ]
            seen = [table[g.groups(index[held])] for table, g in zip(tables, self.groupings_, strict=True)]
            model = HistGradientBoostingClassifier(**FIRST_LOOK, random_state=self.seed)
            model.fit(_fill_empty(np.column_stack([features[~held], codes])), labels[~held])
            known[held] = model.predict_proba(np.column_stack([features[held], *seen]))[:, 1]
        return known

    def _grow(self, matrix: Matrix, labels: NDArray[np.uint8], seed: int) -> Any:
        """Fit one member on (loans, columns)."""
        raise NotImplementedError

    def _merge(self, grown: list[Any]) -> Any:
        """Make one model of the members' trees."""
        raise NotImplementedError

    def _base(self) -> float:
        """Give what the trees add up to before the first."""
        raise NotImplementedError

    def _scale(self) -> float:
        """Give what the sum of the trees is multiplied by."""
        raise NotImplementedError


def _fill_empty(matrix: Matrix) -> Matrix:
    """Put zeros into columns without a value, which scikit-learn cannot bin; no tree splits on either."""
    return np.where(np.isnan(matrix).all(axis=0), np.float32(0), matrix)
