"""Synthetic loans of the reference schema: seeded, streamed, any number of rows, with a default process to learn.

How a loan comes about (all figures are the constants below, so that they can be read and changed in one place):

1. **Applicant.** Age 20 plus a gamma-distributed number of years; income log-normal around 58,000 a year, growing
   slightly with age; years in the present employment geometric, never more than the age allows; years of credit history
   about half of the years since 20. Home ownership leans from rent to mortgage as income grows.
2. **Credit quality.** A standard normal number that nobody sees, worse for short credit histories and low incomes. Its
   quantiles are the grade (shares `GRADE_SHARES`); the grade drives the interest rate (`RATE_MEAN`, `RATE_SPREAD`) and
   the chance of an earlier default in the bureau's file (`ON_FILE_CHANCE`).
3. **Loan.** An amount around 8,000 in steps of 25, growing with the root of income; `loan_percent_income` is amount
   divided by income, rounded to two digits.
4. **Default.** A Bernoulli draw with log-odds that are the sum of the `LOGIT_...` terms below. Main effects (grade,
   share of income, home ownership, intent, an earlier default, a rate above the grade's mean) are what a logistic
   regression finds; steps and interactions (a tenant above three tenths of income or of a bad grade, a low income,
   home improvement with a mortgage, bills on a modest income, an owner's shelter) are what only trees find. About 14 %
   default. On unseen loans a plain logistic regression reaches an AUC of about 0.89, a pruned tree 0.93, boosting 0.94.
5. **Gaps.** Employment (`MISSING_EMPLOYMENT`) and rate (`MISSING_RATE`) are left empty at random, after the default.

Each block of rows has a random stream of its own, made from the seed and the block's number: memory is that of one
block, the same seed gives the same bytes, and the first rows of a long file are the rows of a short one.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, BinaryIO, Final

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from scoring.contract import REFERENCE, Contract, load_contract
from scoring.errors import LoansError

BLOCK_ROWS: Final = 65_536
"""Rows drawn and written at a time; another number gives other loans."""

HOMES: Final = ("RENT", "MORTGAGE", "OWN", "OTHER")
HOME_WEIGHTS: Final = (0.52, 0.42, 0.06, 0.002)
"""Relative frequency of home ownership at the median income."""
HOME_INCOME_SLOPES: Final = (-1.0, 0.7, -0.6, -0.2)
"""Change of the log frequency with the log of income over its median."""

INTENT_SHARES: Final = {
    "EDUCATION": 0.209,
    "MEDICAL": 0.188,
    "PERSONAL": 0.171,
    "VENTURE": 0.170,
    "DEBTCONSOLIDATION": 0.155,
    "HOMEIMPROVEMENT": 0.107,
}
GRADE_SHARES: Final = {"A": 0.357, "B": 0.349, "C": 0.188, "D": 0.083, "E": 0.018, "F": 0.004, "G": 0.001}
RATE_MEAN: Final = {"A": 7.35, "B": 11.05, "C": 13.5, "D": 15.4, "E": 16.9, "F": 18.5, "G": 20.4}
"""Interest (percent per year) by grade."""
RATE_SPREAD: Final = {"A": 1.0, "B": 0.85, "C": 0.8, "D": 1.0, "E": 1.2, "F": 1.4, "G": 1.0}
"""Its standard deviation (percentage points)."""
RATE_RANGE: Final = (5.42, 23.22)
ON_FILE_CHANCE: Final = {"A": 0.01, "B": 0.03, "C": 0.45, "D": 0.48, "E": 0.50, "F": 0.55, "G": 0.60}

MEDIAN_INCOME: Final = 58_000.0
INCOME_SPREAD: Final = 0.46
"""Standard deviation of the log of income."""
INCOME_RANGE: Final = (4_200, 1_900_000)
MEDIAN_AMOUNT: Final = 8_000.0
AMOUNT_SPREAD: Final = 0.55
AMOUNT_STEP: Final = 25
AMOUNT_RANGE: Final = (700, 35_000)
LARGEST_SHARE: Final = 0.8
"""More than this share of a year's income is not lent."""

MISSING_EMPLOYMENT: Final = 0.03
MISSING_RATE: Final = 0.04

LOGIT_START: Final = -4.35
"""Log-odds of default where every other term is zero."""
LOGIT_GRADE: Final = {"A": -0.4, "B": 0.0, "C": 0.1, "D": 1.4, "E": 1.6, "F": 1.8, "G": 2.6}
LOGIT_HOME: Final = {"RENT": 0.1, "MORTGAGE": 0.0, "OWN": -0.4, "OTHER": 0.3}
LOGIT_INTENT: Final = {
    "EDUCATION": -0.2,
    "MEDICAL": 0.5,
    "PERSONAL": 0.0,
    "VENTURE": -0.5,
    "DEBTCONSOLIDATION": 0.5,
    "HOMEIMPROVEMENT": 0.3,
}
LOGIT_SHARE: Final = 2.0
"""For each unit of `loan_percent_income`."""
LOGIT_ON_FILE: Final = 0.3
LOGIT_RATE_EXCESS: Final = 0.2
"""For each percentage point above the mean of the grade."""
LOGIT_EMPLOYMENT: Final = -0.04
"""For each year in the present employment, up to ten."""
LOGIT_TENANT_STRETCHED: Final = 4.5
"""A tenant who asks for more than `STRETCHED` of income."""
LOGIT_LOW_INCOME: Final = 1.2
"""An income under `LOW_INCOME`."""
LOGIT_TENANT_BAD_GRADE: Final = 4.0
"""A tenant of grade D or worse."""
LOGIT_MORTGAGED_IMPROVEMENT: Final = 3.5
"""Home improvement on top of a mortgage, with an income under the median."""
LOGIT_BILLS_LOW_INCOME: Final = 2.2
"""Medical bills or debts to consolidate, with an income under the median, in grades A to C."""
LOGIT_OWNER_SHELTERED: Final = -3.0
"""An owner who asks for less than `STRETCHED` of income."""
STRETCHED: Final = 0.30
LOW_INCOME: Final = 30_000.0

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def generate_loans(rows: int, seed: int, *, labelled: bool, sink: BinaryIO, block_rows: int = BLOCK_ROWS) -> None:
    """Write `rows` synthetic loans as CSV (UTF-8, a header, line feeds) to `sink`, one block of `block_rows` at a time.

    With `labelled` the last column is the label. `seed` is any integer from 0; the same seed and block size give the
    same bytes, and a longer file begins with the shorter one. Raises LoansError for a negative number of rows or seed,
    OSError as the sink does.
    """
    if rows < 0 or seed < 0 or block_rows < 1:
        raise LoansError(
            f"Cannot generate {rows} loans with seed {seed} in blocks of {block_rows}.",
            "Rows and seed are whole numbers from 0, a block has one row or more.",
        )
    contract = load_contract(REFERENCE)
    empty = draw_block(contract, np.random.default_rng(seed), 0, 0)
    names = [name for name in empty.columns if labelled or contract.target is None or name != contract.target.name]
    sink.write((",".join(names) + "\n").encode())
    for block in range((rows + block_rows - 1) // block_rows):
        first = block * block_rows
        # Always a whole block is drawn, so that a row does not depend on how many rows were asked for.
        loans = draw_block(contract, np.random.default_rng([seed, block]), first, block_rows)
        loans.select(names).head(rows - first).write_csv(sink, include_header=False)


def draw_block(contract: Contract, stream: Generator, first: int, rows: int) -> pl.DataFrame:
    """Draw `rows` labelled loans with ids from `first` on; columns in the contract's order."""
    age = np.minimum(20 + stream.gamma(1.45, 5.2, rows), 84).astype(np.int64)
    log_income = 0.25 * np.log(age / 26) + INCOME_SPREAD * stream.standard_normal(rows)
    income = np.clip(np.rint(MEDIAN_INCOME * np.exp(log_income) / 100) * 100, *INCOME_RANGE)
    employment = np.minimum(stream.geometric(0.19, rows) - 1, age - 16)
    history = np.clip(2 + np.floor((age - 20) * stream.uniform(0.2, 0.8, rows)), 2, 30)

    weights = np.log(HOME_WEIGHTS)[:, None] + np.multiply.outer(HOME_INCOME_SLOPES, log_income)
    home = _draw_codes(stream, np.exp(weights))
    intent = np.searchsorted(np.cumsum(list(INTENT_SHARES.values()))[:-1], stream.random(rows))

    quality = stream.standard_normal(rows) - 0.15 * log_income / INCOME_SPREAD - 0.02 * (history - 6)
    grade = np.searchsorted(_normal_cuts(), quality / 1.015)
    excess = _values(RATE_SPREAD)[grade] * stream.standard_normal(rows)
    rate = np.round(np.clip(_values(RATE_MEAN)[grade] + excess, *RATE_RANGE), 2)
    on_file = stream.random(rows) < _values(ON_FILE_CHANCE)[grade]

    amount = MEDIAN_AMOUNT * np.exp(0.5 * log_income + AMOUNT_SPREAD * stream.standard_normal(rows))
    amount = np.minimum(amount, LARGEST_SHARE * income)
    amount = np.clip(np.rint(amount / AMOUNT_STEP) * AMOUNT_STEP, *AMOUNT_RANGE)
    share = np.round(amount / income, 2)

    odds = default_log_odds(
        home=home,
        intent=intent,
        grade=grade,
        income=income,
        share=share,
        employment=employment,
        excess=excess,
        on_file=on_file,
    )
    default = stream.random(rows) < 1 / (1 + np.exp(-odds))
    no_employment, no_rate = stream.random(rows) < MISSING_EMPLOYMENT, stream.random(rows) < MISSING_RATE

    columns: dict[str, Any] = {
        "id": pl.Series(np.arange(first, first + rows)),
        "person_age": pl.Series(age),
        "person_income": pl.Series(income.astype(np.int64)),
        "person_home_ownership": _texts(HOMES, home),
        "person_emp_length": pl.Series(employment).scatter(np.flatnonzero(no_employment), None),
        "loan_intent": _texts(tuple(INTENT_SHARES), intent),
        "loan_grade": _texts(tuple(GRADE_SHARES), grade),
        "loan_amnt": pl.Series(amount.astype(np.int64)),
        "loan_int_rate": pl.Series(rate).scatter(np.flatnonzero(no_rate), None),
        "loan_percent_income": pl.Series(share),
        "cb_person_default_on_file": _texts(("N", "Y"), on_file.astype(np.intp)),
        "cb_person_cred_hist_length": pl.Series(history.astype(np.int64)),
        "loan_status": _texts(("0", "1"), default.astype(np.intp)),
    }
    return pl.DataFrame({column.name: columns[column.name] for column in contract.columns})


def default_log_odds(
    *,
    home: Codes,
    intent: Codes,
    grade: Codes,
    income: Floats,
    share: Floats,
    employment: NDArray[np.int64],
    excess: Floats,
    on_file: NDArray[np.bool_],
) -> Floats:
    """Give the log-odds of default of each loan; every argument and the result are of shape (rows,).

    Codes index HOMES, INTENT_SHARES and GRADE_SHARES; `excess` is the rate above the mean of the grade (points).
    """
    names = tuple(INTENT_SHARES)
    tenant, mortgaged, owner = (home == HOMES.index(name) for name in ("RENT", "MORTGAGE", "OWN"))
    bad_grade = grade >= tuple(GRADE_SHARES).index("D")
    modest = income < MEDIAN_INCOME
    bills = (intent == names.index("MEDICAL")) | (intent == names.index("DEBTCONSOLIDATION"))
    odds = LOGIT_START + _values(LOGIT_GRADE)[grade] + _values(LOGIT_HOME)[home] + _values(LOGIT_INTENT)[intent]
    odds += LOGIT_SHARE * share + LOGIT_ON_FILE * on_file + LOGIT_RATE_EXCESS * excess
    odds += LOGIT_EMPLOYMENT * np.minimum(employment, 10)
    odds += LOGIT_TENANT_STRETCHED * (tenant & (share > STRETCHED))
    odds += LOGIT_LOW_INCOME * (income < LOW_INCOME)
    odds += LOGIT_TENANT_BAD_GRADE * (tenant & bad_grade)
    odds += LOGIT_MORTGAGED_IMPROVEMENT * (mortgaged & modest & (intent == names.index("HOMEIMPROVEMENT")))
    odds += LOGIT_BILLS_LOW_INCOME * (bills & modest & ~bad_grade)
    odds += LOGIT_OWNER_SHELTERED * (owner & (share < STRETCHED))
    return np.asarray(odds, np.float64)


def _normal_cuts() -> Floats:
    """Cut a standard normal number into the grades' shares."""
    return np.array([NormalDist().inv_cdf(share) for share in np.cumsum(list(GRADE_SHARES.values()))[:-1]])


def _values(table: Mapping[str, float]) -> Floats:
    return np.fromiter(table.values(), np.float64)


def _draw_codes(stream: Generator, weights: Floats) -> Codes:
    """Draw one code for each column of `weights`, (codes, rows), with chances in proportion to it."""
    steps = np.cumsum(weights, axis=0)
    return np.asarray((stream.random(weights.shape[1]) * steps[-1] >= steps[:-1]).sum(axis=0), np.intp)


def _texts(names: tuple[str, ...], codes: Codes) -> pl.Series:
    return pl.Series(names).gather(codes)
