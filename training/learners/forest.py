"""A forest on ratios and target codes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from scoring.contract import Contract
from training.learners.coded_trees import CodedTrees, Matrix
from training.learners.trees import exact_unit


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
        trees: int = 20,
        leaves: int = 500,
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
        unit = exact_unit(whole.n_estimators)
        for tree in whole.estimators_:
            shares = tree.tree_.value
            shares[:, 0, 1] = np.round(shares[:, 0, 1] / unit) * unit
            shares[:, 0, 0] = 1 - shares[:, 0, 1]
        return whole

    def _base(self) -> float:
        return 0.0

    def _scale(self) -> float:
        return 1.0 / len(self.model_.estimators_)
