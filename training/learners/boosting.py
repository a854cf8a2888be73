"""Histogram gradient boosting on ratios and target codes: the strongest single candidate."""

# ruff: noqa: SLF001 - scikit-learn offers no other way to the trees of its boosting

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from scoring.contract import Contract
from training.learners.coded_trees import CodedTrees, Matrix
from training.learners.trees import exact_unit


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
        whole._predictors = [trees for member in grown for trees in member._predictors]
        base = np.mean([member._baseline_prediction for member in grown], axis=0)
        leaves = [tree.nodes["value"] for (tree,) in whole._predictors]
        for values in leaves:
            np.divide(values, len(grown), out=values)
        unit = exact_unit(float(np.abs(base).max() + sum(np.abs(values).max() for values in leaves)))
        for values in leaves:
            values[:] = np.round(values / unit) * unit
        whole._baseline_prediction = np.round(base / unit) * unit
        return whole

    def _base(self) -> float:
        return float(self.model_._baseline_prediction.item())

    def _scale(self) -> float:
        return 1.0
