"""How a candidate treats groups of loans: by category of its own features, and by columns that only watch.

Columns that only watch (age, for example) are never inputs of a model; here alone they are looked at.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Column, Contract, Type
from training.history.labelled_loans import LabelledLoans
from training.judging.metrics import Probabilities
from training.records.findings import Importance, Segment

ENOUGH: Final = 30
"""Loans from which on a group's shares say something; a smaller group is named so and sets no standard."""

RANGES: Final = 5
"""Groups that a column of numbers is cut into, about."""

MISSING: Final = "missing"
UNKNOWN: Final = "unknown category"
FEW: Final = f"(fewer than {ENOUGH} loans)"
"""Stands behind the name of a group that is too small."""

_STEPS: Final = (1.0, 2.0, 5.0, 10.0)

Group = tuple[str, NDArray[np.bool_]]
"""What a group is called, and which loans belong to it: (loans,)."""


def measure_segments(
    contract: Contract, loans: LabelledLoans, default: Probabilities, threshold: float
) -> tuple[Segment, ...]:
    """Measure each group of loans, with `default` (loans,) their probabilities and `threshold` where approval ends.

    Columns stand in the contract's order, features first, groups in the order of their categories or numbers.
    """
    # A history need not have every column that watches.
    watched = [
        (column, loans.monitors[column.name], True) for column in contract.monitors if column.name in loans.monitors
    ]
    features = [
        (column, loans.features[:, position], False)
        for position, column in enumerate(contract.features)
        if column.type is Type.CATEGORY
    ]
    segments: list[Segment] = []
    for column, values, monitor in [*features, *watched]:
        groups = list(divide(column, values))
        segments += _measure_column(column.name, groups, loans, default, threshold, monitor=monitor)
    return tuple(segments)


def lowest_ratios(segments: tuple[Segment, ...]) -> dict[str, Segment]:
    """Give, for each column that only watches, the group with the lowest approval ratio among those of enough loans."""
    found: dict[str, Segment] = {}
    for segment in segments:
        if segment.monitor and segment.rows >= ENOUGH:
            lowest = found.setdefault(segment.column, segment)
            if segment.approval_ratio < lowest.approval_ratio:
                found[segment.column] = segment
    return found


def divide(column: Column, values: NDArray[np.float32]) -> Iterator[Group]:
    """Divide the values of a column, (loans,), into groups that hold every loan once; empty ones are left out."""
    gaps = np.isnan(values)
    cut = _divide_numbers(column, values[~gaps]) if column.is_numeric else _divide_categories(column, values[~gaps])
    for name, inside in [*cut, (MISSING, None)]:
        members = gaps.copy()
        if inside is not None:
            members[:] = False
            members[~gaps] = inside
        if members.any():
            yield name, members


def _divide_categories(column: Column, codes: NDArray[np.float32]) -> Iterator[Group]:
    for code, category in enumerate(column.categories):
        yield category, codes == code
    yield UNKNOWN, codes >= len(column.categories)


def _divide_numbers(column: Column, numbers: NDArray[np.float32]) -> Iterator[Group]:
    edges = round_edges(numbers)
    whole = column.type is Type.INTEGER
    place = np.searchsorted(edges, numbers, side="right")
    for at in range(len(edges) + 1):
        low = edges[at - 1] if at else None
        high = edges[at] if at < len(edges) else None
        yield _name_range(low, high, whole=whole), place == at


def round_edges(numbers: NDArray[np.float32]) -> list[float]:
    """Choose round numbers that cut a column into about RANGES groups of like size; none where it hardly varies."""
    if not len(numbers):
        return []
    exact = numbers.astype(np.float64)
    cuts = np.quantile(exact, np.linspace(0, 1, RANGES + 1))
    width = (cuts[-2] - cuts[1]) / (RANGES - 2)
    if not width > 0:
        return []
    power = 10.0 ** np.floor(np.log10(width))
    step = max(factor * power for factor in _STEPS if factor * power <= width * (1 + 1e-9))
    edges = np.unique(np.round(cuts[1:-1] / step)) * step
    return [float(f"{edge:.12g}") for edge in edges if exact.min() < edge <= exact.max()]


def _name_range(low: float | None, high: float | None, *, whole: bool) -> str:
    if low is None and high is None:
        return "all"
    if low is None:
        return f"under {high:,.12g}"
    if high is None:
        return f"{low:,.12g} and over"
    whole = whole and low.is_integer() and high.is_integer()
    return f"{low:,.12g} to {high - 1:,.12g}" if whole else f"{low:,.12g} to under {high:,.12g}"


def _measure_column(
    name: str, groups: list[Group], loans: LabelledLoans, default: Probabilities, threshold: float, *, monitor: bool
) -> list[Segment]:
    approved = default < threshold
    shares = {group: float(approved[members].mean()) for group, members in groups}
    large = [shares[group] for group, members in groups if np.count_nonzero(members) >= ENOUGH]
    best = max(large or shares.values(), default=0.0)
    segments = []
    for group, members in groups:
        labels, foretold = loans.labels[members], default[members]
        segments.append(
            Segment(
                column=name,
                monitor=monitor,
                group=group if len(labels) >= ENOUGH else f"{group} {FEW}",
                rows=len(labels),
                defaults=int(labels.sum()),
                mean_pd=float(foretold.mean(dtype=np.float64)),
                approved=shares[group],
                # Where nobody is approved, all are treated alike.
                approval_ratio=shares[group] / best if best else 1.0,
                error=float(np.mean((foretold >= threshold) != labels)),
                auc=_auc(foretold, labels),
            )
        )
    return segments


def _auc(default: Probabilities, labels: NDArray[np.uint8]) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, default)) if 0 < labels.sum() < len(labels) else None


SAMPLE: Final = 3_000
"""Held-out loans that are tried, at most."""

REPEATS: Final = 3
"""Shuffles of each column."""

Matrix = NDArray[np.float32]


def measure_importance(
    predict: Callable[[Matrix], Matrix], contract: Contract, loans: LabelledLoans, seed: int = 0
) -> tuple[Importance, ...]:
    """Measure each feature, most important first; `predict` gives (rows, features) → (rows,) probabilities.

    A sample keeps the shares of outcomes, and so both of them.
    """
    from sklearn.metrics import roc_auc_score

    stream = np.random.default_rng([seed, 11])
    sample = _sample(loans, stream)
    whole = float(roc_auc_score(sample.labels, predict(np.ascontiguousarray(sample.features))))
    found = []
    for position, column in enumerate(contract.features):
        lost = []
        for _ in range(REPEATS):
            changed = sample.features.copy()
            changed[:, position] = stream.permutation(changed[:, position])
            lost.append(whole - float(roc_auc_score(sample.labels, predict(changed))))
        found.append(Importance(column.name, float(np.mean(lost)), float(np.std(lost))))
    return tuple(sorted(found, key=lambda one: (-one.auc_lost, one.feature)))


def _sample(loans: LabelledLoans, stream: np.random.Generator) -> LabelledLoans:
    if len(loans) <= SAMPLE:
        return loans
    chosen = []
    for outcome in (0, 1):
        positions = np.flatnonzero(loans.labels == outcome)
        chosen.append(stream.permutation(positions)[: max(1, round(SAMPLE * len(positions) / len(loans)))])
    return loans.take(np.sort(np.concatenate(chosen)))
