"""The models that all rivals share: trained once on generated loans, as a pickle and as a published ONNX version."""

import io
import pickle
import sys
from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from scoring.contract import REFERENCE, Contract, load_contract
from scoring.csv.chunks import plan_chunks
from scoring.csv.reader import read_loans
from scoring.csv.source import open_source
from scoring.models.golden import seal_golden
from scoring.models.model import Graph
from scoring.models.policy import Band, Policy
from scoring.models.production import promote
from scoring.models.registry import GOLDEN, MODEL, publish_version
from training.graphs.export import export_graph
from training.history.generate import generate_loans
from training.learners.candidates import feature_positions
from training.records.environment import package_versions

TRAINING_ROWS = 100_000
POLICY = Policy(
    format=1,
    base_score=600,
    base_odds=30,
    points_to_double=20,
    lowest_score=300,
    highest_score=850,
    bands=tuple(Band(*band) for band in (("A", 620), ("B", 590), ("C", 560), ("D", 530), ("E", 300))),
    refer_from=0.1,
    decline_from=0.3,
)
"""What every version's probabilities mean: predictions hold points, band and decision."""


def plain_logistic(contract: Contract) -> Pipeline:
    """Give the logistic regression that most people would write: impute, scale, one-hot."""
    numeric, categories = feature_positions(contract)
    codes = [np.arange(len(contract.features[place].categories), dtype=np.float32) for place in categories]
    encode = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            (
                "categories",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(categories=codes, handle_unknown="ignore")
                ),
                categories,
            ),
        ]
    )
    return Pipeline([("encode", encode), ("model", LogisticRegression(max_iter=1000))])


def boosting(_: Contract) -> Pipeline:
    """Give histogram boosting of 100 trees with 31 leaves on numbers and codes."""
    model = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=31, early_stopping=False, random_state=0)
    return Pipeline([("model", model)])


MODELS = {"logistic": plain_logistic, "boosting": boosting}


def make_models(folder: Path) -> None:
    """Train every model and write `NAME.pickle` and a registry `NAME/` with one production version each."""
    contract = load_contract(REFERENCE)
    history = folder / "history.csv"
    with history.open("wb") as file:
        generate_loans(TRAINING_ROWS, 1, labelled=True, sink=file)
    source = open_source(history, contract, labelled=True)
    blocks = list(read_loans(source, plan_chunks(source, source.bytes).chunks[0], contract, labelled=True))
    features = np.concatenate([block.values.features for block in blocks])
    labels = np.concatenate([block.values.labels for block in blocks if block.values.labels is not None])
    for name, build in MODELS.items():
        pipeline = build(contract).fit(features, labels)
        pickled = io.BytesIO()
        pickle.dump(pipeline, pickled)
        (folder / f"{name}.pickle").write_bytes(pickled.getvalue())
        content = export_graph(pipeline, contract)
        graph = Graph(content, 1, name)
        difference = np.abs(graph.predict(features) - pipeline.predict_proba(features)[:, 1]).max()
        print(f"{name}: ONNX differs from scikit-learn by at most {difference:.1g}")
        models = folder / name
        pin = publish_version(
            models,
            version=f"benchmark-{name}",
            candidate=name,
            contract=contract,
            files={MODEL: content, GOLDEN: seal_golden(features[:32], graph.predict)},
            metrics={},
            parameters={},
            training={},
            packages=package_versions(),
            policy=POLICY,
        )
        promote(models, pin, by="benchmark", why="benchmark")


if __name__ == "__main__":
    make_models(Path(sys.argv[1]))
