"""The reigning champion on a run's held-out loans: opened, fed with its own columns, compared loan by loan."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from scoring.contract import Column, Contract
from scoring.errors import ModelError, StorageError
from scoring.models.registry import Manifest, Pin, read_manifest
from training.history.equal_loans import name_key
from training.history.labelled_loans import LabelledLoans
from training.history.loan_hash import hash_loans
from training.judging.bootstrap import find_gain
from training.judging.metrics import measure
from training.records.findings import Comparison
from training.records.request import RunRequest

SPLIT: Final = "by content"
"""How `split` draws the held-out loans: each loan's own features and the seed decide, whatever the history holds."""

SET_ASIDE: Final = "set_aside"
"""Names the fact that lists the keys of the large groups of equal loans that a version learnt from, by spaces."""

THRESHOLD: Final = 0.5
"""From where a champion without a policy is taken to call a loan a default."""

Matrix = NDArray[np.float32]


def compare_champion(
    models: Path, pin: Pin, request: RunRequest, loans: LabelledLoans, candidate: NDArray[np.float32]
) -> Comparison | str:
    """Compare a candidate's probabilities, (loans,), with those of the version in production on the held-out loans.

    Gives in words why there can be no comparison: the champion is damaged, or was trained on columns that this run
    does not read. Raises StorageError for trouble that may pass.
    """
    from scoring.models.model import open_model

    try:
        manifest, _ = read_manifest(models, pin.version, pin.manifest_sha256)
        features = remap_features(manifest.contract, request.contract, loans)
        if isinstance(features, str):
            return f"it cannot be compared with the champion {pin.version}: {features}"
        graph = open_model(models, pin.version, pin.manifest_sha256).graph
    except StorageError:
        raise
    except ModelError as error:
        return f"it cannot be compared with the champion {pin.version}: {error.what.rstrip('.')}"
    champion = graph.predict(features)
    if not np.all((champion >= 0) & (champion <= 1)):
        return f"it cannot be compared with the champion {pin.version}, which gives no probability for some loans"
    threshold = manifest.policy.decline_from if manifest.policy else THRESHOLD
    reigning = measure(champion, loans.labels, threshold)
    return Comparison(
        champion=pin.version,
        metrics=reigning,
        auc_gain=measure(candidate, loans.labels, threshold).auc - reigning.auc,
        gain=find_gain(candidate, champion, loans.labels, seed=request.seed),
        fresh=is_fresh(manifest, request, map(name_key, hash_loans(loans.features, request.seed))),
    )


def is_fresh(champion: Manifest, request: RunRequest, held_out: Iterable[str] = ()) -> bool:
    """Tell whether the champion cannot have been fitted on this run's held-out loans.

    The split is drawn from each loan's features and the seed, and a larger share holds out what a smaller one does: so
    it takes the same seed, at least as large a share, and features that read the same. Large groups of equal loans are
    never held out; one that was large then must not be among the keys of the loans that are `held_out` now.
    """
    facts = champion.training
    try:
        as_much = float(facts.get("held_out", "0")) >= request.held_out
    except ValueError:
        as_much = False
    learnt_from = set(facts.get(SET_ASIDE, "").split())
    return (
        facts.get("split") == SPLIT
        and facts.get("seed") == str(request.seed)
        and as_much
        and [_meaning(column) for column in champion.contract.features]
        == [_meaning(column) for column in request.contract.features]
        and learnt_from.isdisjoint(held_out)
    )


def _meaning(column: Column) -> Column:
    """Leave of a column what decides which float32 a text becomes; a range decides only whether it is accepted."""
    return msgspec.structs.replace(column, minimum=None, maximum=None, about="")


def remap_features(champion: Contract, contract: Contract, loans: LabelledLoans) -> Matrix | str:
    """Give the held-out loans as the champion takes them: (loans, its features), by name, categories by their text.

    A category that the champion does not know is an unknown one to it. Gives in words what stands against it: a column
    that this run does not read, or reads as something else.
    """
    known = {column.name: loans.features[:, position] for position, column in enumerate(contract.features)}
    known |= {column.name: loans.monitors[column.name] for column in contract.monitors if column.name in loans.monitors}
    columns = {column.name: column for column in (*contract.features, *contract.monitors)}
    missing = [column.name for column in champion.features if column.name not in known]
    if missing:
        return f"it needs {', '.join(missing)}, which this run's contract does not have"
    other = [column.name for column in champion.features if column.is_numeric != columns[column.name].is_numeric]
    if other:
        return f"{', '.join(other)} is a number to the one and a category to the other"
    taken = [_recode(column, columns[column.name], known[column.name]) for column in champion.features]
    return np.ascontiguousarray(np.column_stack(taken), np.float32)


def _recode(champion: Column, ours: Column, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if champion.is_numeric or champion.categories == ours.categories:
        return values
    unknown = len(champion.categories)
    places = {category: code for code, category in enumerate(champion.categories)}
    codes = np.array([*(places.get(category, unknown) for category in ours.categories), unknown], np.float32)
    missing = np.isnan(values)
    return np.where(missing, np.float32(np.nan), codes[np.where(missing, 0, values).astype(np.intp)])
