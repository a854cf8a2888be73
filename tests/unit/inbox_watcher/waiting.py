"""Waiting for something to happen, with a deadline."""

import time
from collections.abc import Callable

SECONDS = 10.0
"""Longest wait for anything: far more than it takes, so that a slow machine fails nothing."""


def wait_for(happened: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Wait until something happened."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(0.005)
