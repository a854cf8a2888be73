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


class EqualGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Loans of the train side with equal features."""

    key: str
    """Hash of their features under the run's seed (hexadecimal)."""
    rows: int
    """Loans."""
    defaults: int
    """Loans that defaulted."""


class SplitFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the history was divided."""

    train: Part
    """Fitted on."""
    test: Part
    """Held out."""
    set_aside: tuple[EqualGroup, ...] = ()
    """Large groups of equal loans on the train side, largest first: learnt from by every fit, in no figure."""


class FoldFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter set of a candidate, fitted on all folds of the train side but one and measured on that one."""

    candidate: str
    """Its name."""
    parameter_set: int
    """0-based position among the candidate's parameter sets."""
    fold: int
    """0-based number of the fold that was not fitted on."""
    parameters: dict[str, float]
    """The parameters."""
    rows: int
    """Loans of the fold."""
    train_sha256: str
    """Hash of the whole train side."""
    auc: float
    """AUC on the fold."""
    log_loss: float
    """Log loss on the fold (nats a loan)."""
    fit_seconds: float
    """Wall time of fitting alone (seconds)."""
    converged: bool
    """Whether fitting came to rest within its iterations."""
    predictions_sha256: str
    """Hash of the file with the probabilities of the fold's loans."""


class ParameterSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a parameter set did over all folds."""

    parameters: dict[str, float]
    """The parameters."""
    auc: float
    """Mean AUC of the folds."""
    auc_spread: float
    """Standard deviation of the folds' AUC."""
    log_loss: float
    """Mean log loss of the folds (nats a loan)."""
    fit_seconds: float
    """Mean wall time of a fit (seconds)."""


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate showed on loans of the train side that it was not fitted on: all choices are made from this."""

    auc: float
    """AUC of the out-of-fold probabilities after calibration, all folds together."""
    log_loss: float
    """Their log loss after calibration (nats a loan)."""
    ece: float
    """Their expected calibration error after calibration."""
    f1: float
    """F1 at the threshold."""
    threshold: float
    """Probability of default from which a loan is called a default; a float32 number."""
    calibration: str
    """Kind of calibration that was chosen: `none`, `sigmoid` or `isotonic`."""
    tried: tuple[ParameterSet, ...]
    """Every parameter set, in the order of the grid."""
    chosen: int
    """Position of the chosen one in `tried`."""
    auc_error: float | None = None
    """Standard error of `auc` when loans with equal features are drawn together; None: not measured."""


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
    validation: Validation
    """What the choice of parameters, calibration and threshold rests on."""
    members: dict[str, float] = {}
    """For a blend: its candidates and their weights."""
    set_aside_pd: dict[str, float] = {}
    """By key, the probability of default that it gives each group of equal loans that was set aside."""


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
    gini: float
    """2 AUC - 1."""
    ks: float
    """Kolmogorov-Smirnov: the largest distance between the distributions of defaults and repaid loans."""
    average_precision: float
    """Area under the precision-recall curve, by steps."""
    accuracy: float
    """Share of loans called rightly at the threshold."""
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
    ece: float
    """Expected calibration error: mean distance between foretold and seen share of defaults, in bins of like size."""


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a figure lies when other loans of the same source are drawn (bootstrap)."""

    low: float
    """2.5th percentile."""
    high: float
    """97.5th percentile."""


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a candidate treats a group of loans."""

    column: str
    """The column that makes the group: a category, or one that only watches."""
    monitor: bool
    """Whether that column only watches, and the model never sees it."""
    group: str
    """The category, or a range of numbers in words; of fewer than 30 loans, it says so."""
    rows: int
    """Loans."""
    defaults: int
    """Loans that defaulted."""
    mean_pd: float
    """Mean foretold probability of default."""
    approved: float
    """Share of loans called no default at the threshold."""
    approval_ratio: float
    """That share over the highest one of the column's groups with enough loans (adverse impact ratio)."""
    error: float
    """Share of loans called wrongly at the threshold."""
    auc: float | None
    """AUC within the group; None where only one outcome occurs."""


class Curves(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model card draws; every point is a tuple of numbers between 0 and 1 unless it says otherwise."""

    roc: tuple[tuple[float, float], ...]
    """(false positive rate, true positive rate), at most some 200 points."""
    precision_recall: tuple[tuple[float, float], ...]
    """(recall, precision), at most some 200 points."""
    calibration: tuple[tuple[float, float, int], ...]
    """(mean foretold, share seen, loans) of bins of like size."""
    distribution: tuple[tuple[float, float, int, int], ...]
    """(from, to, repaid loans, defaulted loans) of bins of pd of like width."""
    gains: tuple[tuple[float, float], ...]
    """(share of loans, riskiest first; share of all defaults among them), 21 points from (0, 0) to (1, 1)."""


class Importance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a model leans on a feature."""

    feature: str
    """The column."""
    auc_lost: float
    """AUC lost when the column's values are shuffled among the held-out loans (permutation importance, mean)."""
    spread: float
    """Standard deviation over the shuffles."""


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate that was exported, proved and measured."""

    candidate: str
    """Its name."""
    rows: int
    """Held-out loans."""
    test_sha256: str
    """Hash of their arrays."""
    threshold: float
    """Probability of default from which a loan is called a default."""
    metrics: Metrics
    """Measured through the graph; where there is none (see `refused`), through scikit-learn."""
    intervals: dict[str, Interval]
    """95 % bootstrap intervals of the metrics, by name."""
    segments: tuple[Segment, ...]
    """By category, and by group of the columns that only watch."""
    curves: Curves
    """For the model card."""
    importance: tuple[Importance, ...]
    """Of each feature, most important first."""
    rows_per_second: float
    """CSV to CSV on one core, measured on this node (rows a second); 0 where there is no graph."""
    proof: Proof | None
    """How far the graph is from scikit-learn; None where it could not be proved."""
    graph_sha256: str
    """Hash of the graph; empty where it must not be published."""
    golden_sha256: str
    """Hash of the golden rows; empty where the graph must not be published."""
    chance_ece: float = 0.0
    """Calibration error that chance makes on these loans: if every probability were right, 39 in 40 draws show less."""
    refused: str = ""
    """Why it must not be published, in words: it cannot be exported, or its graph differs from scikit-learn."""
    auc_error: float | None = None
    """Standard error of the AUC when loans with equal features are drawn together; None: not measured."""


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The best candidate and the reigning champion on the same held-out loans."""

    champion: str
    """The version in production."""
    metrics: Metrics
    """The champion's, on this run's held-out loans."""
    auc_gain: float
    """The candidate's AUC less the champion's."""
    gain: Interval
    """Paired bootstrap interval of that gain."""
    fresh: bool
    """Whether the champion cannot have been fitted on these loans."""


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
    comparison: Comparison | None
    """Against the champion; None when there was none, or it cannot be compared."""
    rows_in: int
    """Rows of the history."""
    rejected: dict[str, int]
    """Rows of the history that broke the contract, by rule."""
    chosen_because: str = ""
    """Why this candidate and no other."""
    lowest_ratios: tuple[Segment, ...] = ()
    """Of each column that only watches, the group with the lowest approval ratio."""
