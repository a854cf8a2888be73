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
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.utils.validation import check_is_fitted

from scoring.contract import Contract
from training.groupings import (
    MOST_CELLS,
    Grouping,
    convert_codes,
    find_grouping_columns,
    index_columns,
    join,
)
from training.ratios import Ratio, compute_ratios, convert_ratios, extend_ratios, propose_ratios
from training.screening import BINS, Gain, choose, cut, measure_gain, rank
from training.target_codes import cross_fit, draw_folds, smooth_shares
from training.trees import convert_trees, read_trees

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
        if min(np.bincount(labels, minlength=2)) >= FEWEST:
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
        total = convert_trees(scope, container, matrix, trees, self._base(), self._scale())
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
        """Give what a leaf's value counts."""
        raise NotImplementedError


class CodedBoosting(CodedTrees):
    """Histogram gradient boosting; the members' log-odds are averaged."""

    PROBABILITY = "Sigmoid"

    def __init__(
        self,
        contract: Contract,
        members: int = 4,
        folds: int = 5,
        smoothing: float = 10.0,
        ratios: int = 4,
        pairs: int = 4,
        seed: int = 0,
        trees: int = 100,
        leaves: int = 16,
        learning_rate: float = 0.15,
        max_features: float = 0.3,
        l2: float = 5.0,
        min_samples_leaf: int = 20,
    ) -> None:
        """Keep what CodedTrees takes, and the trees of each member, their leaves, and how cautiously they learn."""
        super().__init__(contract, members, folds, smoothing, ratios, pairs, seed)
        self.trees = trees
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.max_features = max_features
        self.l2 = l2
        self.min_samples_leaf = min_samples_leaf

    def _grow(self, matrix: Matrix, labels: NDArray[np.uint8], seed: int) -> Any:
        model = HistGradientBoostingClassifier(
            max_iter=self.trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.leaves,
            l2_regularization=self.l2,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            early_stopping=False,
            random_state=seed,
        )
        return model.fit(matrix, labels)

    def _merge(self, grown: list[Any]) -> Any:
        # The mean of the members' log-odds is the sum over all trees of a share of what each adds.
        whole = grown[0]
        predictors = [trees for member in grown for trees in member._predictors]
        for (tree,) in predictors:
            tree.nodes["value"] /= len(grown)
        whole._baseline_prediction = np.mean([member._baseline_prediction for member in grown], axis=0)
        whole._predictors = predictors
        return whole

    def _base(self) -> float:
        return float(self.model_._baseline_prediction.item())

    def _scale(self) -> float:
        return 1.0


class CodedForest(CodedTrees):
    """A forest of extremely randomised trees (Geurts et al., Machine Learning 63, 2006); shares are averaged."""

    PROBABILITY = "Clip"

    def __init__(
        self,
        contract: Contract,
        members: int = 4,
        folds: int = 5,
        smoothing: float = 10.0,
        ratios: int = 4,
        pairs: int = 4,
        seed: int = 0,
        trees: int = 25,
        leaves: int = 1000,
        max_features: float = 0.4,
        min_samples_leaf: int = 3,
    ) -> None:
        """Keep what CodedTrees takes, and the trees of each member, their leaves at most, and the columns tried."""
        super().__init__(contract, members, folds, smoothing, ratios, pairs, seed)
        self.trees = trees
        self.leaves = leaves
        self.max_features = max_features
        self.min_samples_leaf = min_samples_leaf

    def _grow(self, matrix: Matrix, labels: NDArray[np.uint8], seed: int) -> Any:
        model = ExtraTreesClassifier(
            self.trees,
            max_leaf_nodes=self.leaves,
            max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            random_state=seed,
        )
        return model.fit(matrix, labels)

    def _merge(self, grown: list[Any]) -> Any:
        whole = grown[0]
        whole.estimators_ = [tree for member in grown for tree in member.estimators_]
        whole.n_estimators = len(whole.estimators_)
        return whole

    def _base(self) -> float:
        return 0.0

    def _scale(self) -> float:
        return 1.0 / len(self.model_.estimators_)


def _fill_empty(matrix: Matrix) -> Matrix:
    """Put zeros into columns without a value, which scikit-learn cannot bin; no tree splits on either."""
    return np.where(np.isnan(matrix).all(axis=0), np.float32(0), matrix)


def register_coded_trees() -> None:
    """Teach the ONNX converter what the ensembles do; harmless when done twice."""
    from skl2onnx import update_registered_converter

    for kind in (CodedBoosting, CodedForest):
        update_registered_converter(
            kind, f"Loans{kind.__name__}", _shape, _convert, overwrite=True, options={"zipmap": [False]}
        )


def _shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    operator.outputs[0].type = Int64TensorType([None])
    operator.outputs[1].type = FloatTensorType([None, 2])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    default = operator.raw_operator.convert(scope, container, operator.inputs[0].full_name)
    one, repaid = (scope.get_unique_variable_name(f"chance_{part}") for part in ("one", "repaid"))
    container.add_initializer(one, 1, [1], [1.0])
    container.add_node("Sub", [one, default], repaid, name=scope.get_unique_operator_name("Repaid"), op_version=14)
    chances = [repaid, default]
    container.add_node(
        "Concat", chances, operator.outputs[1].full_name, name=scope.get_unique_operator_name("Chances"), axis=1
    )
    # The label is dropped from the exported graph; the converter wants one.
    container.add_node(
        "ArgMax",
        operator.outputs[1].full_name,
        operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Label"),
        axis=1,
        keepdims=0,
        op_version=13,
    )
