"""Loans with what was foretold of each and what became of it, drawn for properties of the figures."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Sample = tuple[NDArray[np.float32], NDArray[np.uint8]]


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Draw probabilities with and without ties, and outcomes of both kinds."""
    loans = draw(st.integers(4, 120))
    stream = np.random.default_rng(draw(st.integers(0, 2**32)))
    default = stream.random(loans)
    if draw(st.booleans()):
        default = np.round(default, 1)
    labels = (stream.random(loans) < default).astype(np.uint8)
    labels[:2] = 0, 1
    return default.astype(np.float32), labels
