"""Words to systemd (sd_notify(3)); nothing happens where systemd did not start the daemon."""

import logging
import math
import os
import socket
import time
from collections.abc import Callable

_LOG = logging.getLogger("loans.watch")


def tell_systemd(message: str) -> None:
    """Send a state such as `READY=1` to the socket that systemd named; one that is gone is told in the log."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(message.encode())
    except OSError as error:
        _LOG.warning("systemd could not be told %s: %s", message, error.strerror)


class Heartbeat:
    """Tells systemd's watchdog that the loop goes on. It has no thread of its own: a loop that hangs says nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Read what systemd asks for (sd_watchdog_enabled(3)); `clock` is monotonic (seconds)."""
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        meant = os.environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.period = int(microseconds) / 2e6 if meant and microseconds.isdigit() and int(microseconds) else math.inf
        """How often it is told (seconds): half of what systemd waits; infinite where there is no watchdog."""
        self._clock = clock
        self._told = -math.inf

    def beat(self) -> None:
        """Tell it when it is time: called by each turn of the loop, and by nothing else."""
        if self.period < math.inf and self._clock() - self._told >= self.period:
            self._told = self._clock()
            tell_systemd("WATCHDOG=1")
