"""What the nodes of the training DAG find out: the `details` of their outcomes."""

import msgspec


class ShardCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of the rows of one shard; `rows_in` = `kept` + the sum of `rejected`."""

    rows_in: int
    """Rows of the shard."""
    kept: int
    """Rows that can be learnt from."""
    defaults: int
    """Kept rows that defaulted."""
    rejected: dict[str, int]
    """Rows that broke the contract, by rule."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side of the split."""

    rows: int
    """Loans."""
    defaults: int
    """Loans that defaulted."""
    sha256: str
    """Hash of its arrays."""


class SplitFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the history was divided."""

    train: Part
    """Fitted on."""
    test: Part
    """Held out."""


class Fitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate that was fitted."""

    candidate: str
    """Its name."""
    run_id: str
    """The run that it belongs to."""
    rows: int
    """Loans that it was fitted on."""
    train_sha256: str
    """Hash of their arrays."""
    fit_seconds: float
    """Wall time of fitting alone (seconds)."""
    converged: bool
    """Whether fitting came to rest within its iterations."""
    parameters: dict[str, str]
    """Its parameters, as text."""
    pickle_sha256: str
    """Hash of the pickle; nothing else is ever loaded."""
    packages: dict[str, str]
    """Versions of the packages that made it."""


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a graph and scikit-learn are apart."""

    rows: int
    """Held-out loans compared."""
    built: int
    """Built rows compared."""
    thresholds: int
    """Thresholds that were approached to a float32 step."""
    largest: float
    """Largest difference in the probability of default on the held-out loans."""
    largest_built: float
    """The same on the built rows."""


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well a candidate tells defaults from the rest, on loans it has not seen."""

    auc: float
    """Area under the ROC curve: the chance that a default is ranked above a repaid loan."""
    accuracy: float
    """Share of loans called rightly at THRESHOLD."""
    precision: float
    """Share of defaults among loans called defaults."""
    recall: float
    """Share of defaults that were called defaults."""
    f1: float
    """Harmonic mean of precision and recall."""
    log_loss: float
    """Mean negative log-likelihood (nats a loan)."""
    brier: float
    """Mean squared error of the probability."""


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate that was exported, proved and measured."""

    candidate: str
    """Its name."""
    rows: int
    """Held-out loans."""
    test_sha256: str
    """Hash of their arrays."""
    metrics: Metrics
    """Measured through the graph."""
    proof: Proof
    """How far the graph is from scikit-learn."""
    graph_sha256: str
    """Hash of the graph."""
    golden_sha256: str
    """Hash of the golden rows."""


class Conclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a training run ended."""

    version: str
    """The version that was published."""
    manifest_sha256: str
    """Hash of its manifest."""
    candidate: str
    """The candidate that won."""
    candidates: dict[str, Metrics]
    """Figures of all candidates, in the order asked for."""
    promoted: bool
    """Whether it is in production now."""
    why: str
    """Why, or why not."""
    rows_in: int
    """Rows of the history."""
    rejected: dict[str, int]
    """Rows of the history that broke the contract, by rule."""
