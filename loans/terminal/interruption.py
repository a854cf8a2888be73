"""Ctrl-C and SIGTERM for a command that speaks to HTCondor: noted as they come, acted on between two looks.

Python raises KeyboardInterrupt wherever it happens to be. Inside HTCondor's bindings (25.14.1, `Collector.query`),
which are C++ and build Python objects as they go, that was seen to end the process with a segmentation fault.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask a command to end."""


class InterruptedBySignalError(Exception):
    """A signal asked the command to end."""

    def __init__(self, number: int) -> None:
        """Keep which it was."""
        super().__init__(f"signal {number}")
        self.number = number


class Interruption:
    """Notes signals; `pause` is where they count."""

    def __init__(self) -> None:
        """Begin with none."""
        self._came: list[int] = []

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal: the handler."""
        self._came.append(number)

    def pause(self, seconds: float) -> None:
        """Wait so long (seconds); raise InterruptedBySignalError when a signal has come."""
        if not self._came:
            time.sleep(seconds)
        if self._came:
            raise InterruptedBySignalError(self._came[0])


@contextmanager
def noted_signals() -> Iterator[Interruption]:
    """Note the signals that ask to end while the block lasts; one that is ignored (nohup) stays so."""
    interruption = Interruption()
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, interruption.note)
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
