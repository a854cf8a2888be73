"""Labelled loans of a lender unlike the reference: 20 other columns, `;` between them, quotes, gaps, good or bad.

Default hangs on arrears, instalment against income, employment, residence and purpose, so that there is something to
learn; region, branch, marital status, date and notes say nothing.
"""

import csv
import io
from typing import Any, Final

import numpy as np

HEADER: Final = (
    "Loan Ref", "Region", "Branch No", "Monthly Income", "Other Income", "Employment Months", "Employment Type",
    "Residence", "Purpose", "Amount", "Term Months", "Interest Rate", "Dependants", "Existing Loans",
    "Worst Arrears Days", "Applicant Age", "Marital Status", "Opened On", "Notes", "Outcome",
)  # fmt: skip

FEATURES: Final = (
    "Region", "Branch No", "Monthly Income", "Other Income", "Employment Months", "Employment Type", "Residence",
    "Purpose", "Amount", "Term Months", "Interest Rate", "Dependants", "Existing Loans", "Worst Arrears Days",
)  # fmt: skip
"""What a model can take of them."""

_REGIONS = ("Nord", "Süd", "Ost", "West", "Ländle", "Übersee", "Küste", "Mitte")
_EMPLOYMENT = {"salaried": 0.0, "self-employed": 0.7, "retired": -0.3, "casual": 1.2}
_RESIDENCE = {"owner; no mortgage": -1.0, "owner; mortgage": -0.3, "tenant": 0.4, "with family": 0.1}
_PURPOSE = {"car": -0.4, 'furniture, "white goods"': 0.2, "debt": 1.0, "education": 0.0, "holiday": 0.5}
_MARITAL = ("single", "married", "divorced", "widowed")


def write_loans(rows: int, seed: int, *, labelled: bool = True) -> bytes:
    """Write loans as CSV (UTF-8 with a byte order mark, CRLF); the same seed gives the same bytes."""
    draw = np.random.default_rng(seed)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(HEADER if labelled else HEADER[:-1])
    for number in range(rows):
        loan = _draw_loan(draw, number)
        writer.writerow(loan if labelled else loan[:-1])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _draw_loan(draw: np.random.Generator, number: int) -> list[Any]:
    income = round(float(draw.lognormal(7.8, 0.4)), 2)
    amount = 100 * int(draw.integers(10, 400))
    term = int(draw.choice([12, 24, 36, 48, 60, 72]))
    employment = str(draw.choice(list(_EMPLOYMENT)))
    residence = str(draw.choice(list(_RESIDENCE), p=[0.15, 0.3, 0.45, 0.1]))
    purpose = str(draw.choice(list(_PURPOSE)))
    arrears = int(draw.exponential(20)) if draw.random() < 0.4 else 0
    months = int(draw.exponential(60))
    age = min(20 + int(draw.gamma(3, 7)), 92)
    strain = amount / term / income
    odds = (
        -3.2
        + 3.0 * min(strain, 1.5)
        + 0.05 * min(arrears, 90)
        - 0.008 * min(months, 120)
        + _EMPLOYMENT[employment]
        + _RESIDENCE[residence]
        + _PURPOSE[purpose]
    )
    bad = draw.random() < 1 / (1 + np.exp(-odds))
    gap = draw.random(5)
    return [
        f"K-{number:06d}",
        str(draw.choice(_REGIONS)),
        f"{int(draw.integers(1, 15)):03d}",
        "NA" if gap[0] < 0.06 else f"{income:.2f}",
        "" if gap[1] < 0.7 else f"{float(draw.exponential(300)):.1f}",
        "?" if gap[2] < 0.05 else months,
        "" if gap[3] < 0.08 else employment,
        residence,
        purpose,
        amount,
        term,
        f"{4 + 8 * draw.random():.2f}",
        int(min(draw.poisson(0.8), 6)),
        int(min(draw.poisson(1.1), 8)),
        "n/a" if gap[4] < 0.03 else arrears,
        age,
        str(draw.choice(_MARITAL)),
        f"20{int(draw.integers(15, 24))}-{int(draw.integers(1, 13)):02d}-{int(draw.integers(1, 29)):02d}",
        f'Call {number}: "fine"; no\r\nobjection' if number % 7 == 0 else f"Applicant {number} came by",
        "bad" if bad else "good",
    ]
