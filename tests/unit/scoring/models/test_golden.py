"""Golden rows: sealed answers come back exactly, and whatever is not quite them is refused in words."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from scoring.errors import ModelError
from scoring.models.golden import TOLERANCE, GoldenRows, check_golden, seal_golden

Matrix = NDArray[np.float32]

FLOATS = st.floats(width=32, allow_infinity=False)


def half(features: Matrix) -> Matrix:
    """Answer one half to everything."""
    return np.full(len(features), 0.5, np.float32)


@given(features=arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=FLOATS))
def test_rows_come_back_to_the_bit(features: Matrix) -> None:
    """What the check scores are the very float32 numbers that were sealed, gaps included."""
    seen: list[Matrix] = []

    def watch(rows: Matrix) -> Matrix:
        seen.append(rows)
        return half(rows)

    check_golden(seal_golden(features, half), watch, "v1")
    assert seen[0].dtype == np.float32
    np.testing.assert_array_equal(seen[0], features)


@pytest.mark.parametrize(("off", "refused"), [(TOLERANCE / 2, False), (TOLERANCE * 3, True), (np.nan, True)])
def test_how_far_an_answer_may_be_off(off: float, refused: bool) -> None:  # noqa: FBT001 (a parameter of the case)
    """The last digits of a sum may differ, more may not, and no answer at all is none."""
    content = seal_golden(np.zeros((3, 2), np.float32), half)

    def other(rows: Matrix) -> Matrix:
        answers = half(rows)
        answers[1] += np.float32(off)
        return answers

    if refused:
        with pytest.raises(ModelError, match=r"1 of 3 golden rows differ, row 2"):
            check_golden(content, other, "v1")
    else:
        check_golden(content, other, "v1")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff",
        msgspec.json.encode(GoldenRows(2, [[0.0]], [0.5])),
        msgspec.json.encode(GoldenRows(1, [], [])),
        msgspec.json.encode(GoldenRows(1, [[0.0], [1.0]], [0.5])),
        msgspec.json.encode(GoldenRows(1, [[0.0], [1.0, 2.0]], [0.5, 0.5])),
    ],
)
def test_rows_that_prove_nothing_are_refused(content: bytes) -> None:
    """No rows, rows without answers, ragged rows, another format and damage are no proof."""
    with pytest.raises(ModelError, match="golden rows of v1"):
        check_golden(content, half, "v1")
