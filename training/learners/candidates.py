"""The candidates, as data: a name, parameters, and how an unfitted pipeline is made for a contract.

Every pipeline takes the float32 matrix of the contract's features: numbers as they are, categories as codes, an
unknown category as the number of categories, anything missing as NaN. Imputation and encoding are steps of the
pipeline, so that they end up inside the exported graph. What keeps the graph equal to scikit-learn:

- nothing scales numbers in front of a tree (a scaled float32 lands on the other side of a threshold);
- everything is fitted on float32, the type of the graph;
- the logistic regression sees numbers as steps at values that occur, which float32 holds exactly; its inputs are 0 or
  1, so that no extreme number can drown the others;
- missing categories are replaced before they are encoded: what NaN becomes as an integer depends on the processor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scoring.contract import Contract

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

NO_CATEGORY: Final = -1.0
"""Stands for a missing category; like an unknown one it is encoded as all zeros."""

Parameters = Mapping[str, float]


@dataclass(frozen=True)
class Candidate:
    """One way to learn."""

    name: str
    """As in the site file, the DAG and the registry."""
    build: Callable[[Contract, Parameters, int], "Pipeline"]
    """(contract, parameters, seed) → an unfitted pipeline with the steps `encode` and `model`."""
    parameters: Parameters
    """What the builder takes, by name."""
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Parameters of which several values are tried by default; every combination is one parameter set."""


def build_logistic(contract: Contract, parameters: Parameters, seed: int) -> "Pipeline":
    """Make a logistic regression on stepped numbers and one-hot categories: a classic scorecard."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    from training.features.steps import QuantileSteps

    # Newton steps with a Cholesky factor: more loans than columns, and twice as fast as L-BFGS here.
    model = LogisticRegression(
        C=parameters["C"], solver="newton-cholesky", max_iter=int(parameters["max_iter"]), random_state=seed
    )
    return Pipeline([("encode", _encoding(contract, QuantileSteps(bins=int(parameters["bins"])))), ("model", model)])


def build_tree(contract: Contract, parameters: Parameters, seed: int) -> "Pipeline":
    """Make a pruned decision tree on plain numbers and one-hot categories."""
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(
        criterion="entropy",
        min_samples_leaf=int(parameters["min_samples_leaf"]),
        ccp_alpha=parameters["ccp_alpha"],
        random_state=seed,
    )
    return Pipeline([("encode", _encoding(contract, None)), ("model", model)])


def build_forest(contract: Contract, parameters: Parameters, seed: int) -> "Pipeline":
    """Make a forest of extremely randomised trees on target codes."""
    from sklearn.pipeline import Pipeline

    from training.learners.forest import CodedForest

    return Pipeline([("model", CodedForest(contract, seed=seed, **_typed(parameters)))])


def build_boosting(contract: Contract, parameters: Parameters, seed: int) -> "Pipeline":
    """Make a histogram gradient boosting on target codes: the strongest single candidate."""
    from sklearn.pipeline import Pipeline

    from training.learners.boosting import CodedBoosting

    return Pipeline([("model", CodedBoosting(contract, seed=seed, **_typed(parameters)))])


def build_network(contract: Contract, parameters: Parameters, seed: int) -> "Pipeline":
    """Make a neural network on the places of values: the one that sees what trees do not."""
    from sklearn.pipeline import Pipeline

    from training.learners.network import ValueNetwork

    return Pipeline([("model", ValueNetwork(contract, seed=seed, **_typed(parameters)))])


CANDIDATES: Final[Mapping[str, Candidate]] = MappingProxyType(
    {
        candidate.name: candidate
        for candidate in (
            Candidate("logistic", build_logistic, {"bins": 32, "C": 1.0, "max_iter": 100}),
            Candidate("tree", build_tree, {"min_samples_leaf": 25, "ccp_alpha": 2e-4}),
            Candidate("forest", build_forest, {"members": 4, "trees": 20, "leaves": 500}),
            Candidate("network", build_network, {"members": 4, "units": 128, "rounds": 5, "alpha": 0.03}),
            Candidate(
                "boosting",
                build_boosting,
                {"members": 4, "trees": 100, "leaves": 16, "learning_rate": 0.15, "smoothing": 10},
                {"leaves": (8.0, 16.0)},
            ),
        )
    }
)
"""Every candidate that can be asked for."""


def _typed(parameters: Parameters) -> dict[str, Any]:
    """Give whole numbers as such: scikit-learn takes 16 leaves, not 16.0."""
    return {name: int(value) if float(value).is_integer() else value for name, value in parameters.items()}


def _encoding(contract: Contract, numbers: Any) -> "ColumnTransformer":
    """Impute and encode: the contract's numbers first (then through `numbers`, if any), its categories after them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    numeric, categorical = feature_positions(contract)
    codes = [
        np.arange(len(contract.features[position].categories), dtype=np.float32).tolist() for position in categorical
    ]
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    one_hot = Pipeline(
        [
            ("impute", SimpleImputer(strategy="constant", fill_value=NO_CATEGORY, keep_empty_features=True)),
            (
                "encode",
                OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False, dtype=np.float32),
            ),
        ]
    )
    steps: list[tuple[str, Any, list[int]]] = []
    if numeric:
        steps.append(("numbers", Pipeline([("impute", impute), ("encode", numbers)]) if numbers else impute, numeric))
    if categorical:
        steps.append(("categories", one_hot, categorical))
    return ColumnTransformer(steps)


def feature_positions(contract: Contract) -> tuple[list[int], list[int]]:
    """Give the positions of the features that are numbers, and of those that are categories."""
    numeric = [position for position, column in enumerate(contract.features) if column.is_numeric]
    return numeric, [position for position in range(len(contract.features)) if position not in numeric]
