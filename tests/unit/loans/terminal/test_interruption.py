"""Signals that ask a command to end: noted wherever it is, acted on where it waits."""

import os
import signal
import time
from pathlib import Path

import pytest

from loans.terminal.interruption import STOPPING, InterruptedBySignalError, noted_signals


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_counts_where_the_command_waits(number: int) -> None:
    """Ctrl-C and SIGTERM break into nothing; the next pause tells which of them came first, without waiting."""
    handler = signal.getsignal(number)
    begun = time.monotonic()
    with noted_signals() as interruption:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        # Nothing was raised: what goes on here goes on.
        assert Path.cwd().exists()
        with pytest.raises(InterruptedBySignalError) as caught:
            interruption.pause(60)
        assert caught.value.number == number
    assert time.monotonic() - begun < 10
    assert signal.getsignal(number) is handler


def test_without_a_signal_a_pause_is_a_pause() -> None:
    """Nothing is raised for nothing."""
    with noted_signals() as interruption:
        interruption.pause(0)


def test_what_is_ignored_stays_ignored() -> None:
    """A command under nohup, or in the background of a shell, is not ended by what it was told to ignore."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noted_signals() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            interruption.pause(0)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
