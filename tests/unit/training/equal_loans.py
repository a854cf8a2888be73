"""Histories in which many loans have equal features and different outcomes, for the tests of split and folds."""

import csv
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scoring.contract import Column, Contract, Role, Type

BANDS: Final = tuple(f"band {number}" for number in range(5))
COLUMNS: Final = ("income", "arrears", "age_of_account", "enquiries", "region", "channel")

CONTRACT: Final = Contract(
    1,
    "banded loans",
    (
        Column("loan", Role.ID),
        *(Column(name, Role.FEATURE, Type.CATEGORY, categories=BANDS) for name in COLUMNS),
        Column("outcome", Role.TARGET, Type.CATEGORY, categories=("repaid", "default"), positive="default"),
    ),
)

Loans = tuple[NDArray[np.float32], NDArray[np.uint8]]


def draw_banded_loans(loans: int, seed: int) -> Loans:
    """Draw loans of a lender that cuts six numbers into five bands each; a quarter defaults, four columns matter."""
    stream = np.random.default_rng(seed)
    bands = np.minimum(stream.exponential(1.25, (loans, len(COLUMNS))), 4).astype(np.intp)
    odds = bands @ np.array([0.35, 0.25, -0.3, 0.2, 0, 0]) - 1.6
    labels = stream.random(loans) < 1 / (1 + np.exp(-odds))
    return bands.astype(np.float32), labels.astype(np.uint8)


def draw_thin_files(loans: int, seed: int, share: float = 0.06) -> Loans:
    """Draw loans with four numbers; a share of them has no bureau record, so that all four are -9."""
    stream = np.random.default_rng(seed)
    numbers = np.column_stack([stream.integers(0, most, loans) for most in (55, 395, 120, 9)])
    odds = numbers @ np.array([-0.06, 0, 0.012, 0.1]) + 0.96
    thin = stream.random(loans) < share
    labels = stream.random(loans) < np.where(thin, 0.5, 1 / (1 + np.exp(-odds)))
    numbers[thin] = -9
    return numbers.astype(np.float32), labels.astype(np.uint8)


def write_banded_loans(loans: int, seed: int) -> bytes:
    """Write such loans as the CSV that CONTRACT reads."""
    features, labels = draw_banded_loans(loans, seed)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["loan", *COLUMNS, "outcome"])
    for number, (bands, label) in enumerate(zip(features.astype(int), labels, strict=True)):
        writer.writerow([f"{number:06d}", *(BANDS[band] for band in bands), ("repaid", "default")[label]])
    return out.getvalue().encode()
