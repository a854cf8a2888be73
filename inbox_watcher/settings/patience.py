"""Waits until the storage answers, where a daemon that starts has nothing else to do."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from scoring.errors import REFUSALS, TRANSIENT

_LOG = logging.getLogger("loans.watch")

_LONGEST_PAUSE = 30.0
"""Longest wait between two trials (seconds)."""

_Result = TypeVar("_Result")


def wait_for_storage(act: Callable[[], _Result]) -> _Result:
    """Do something again, after longer and longer pauses, while the storage is in trouble; each time that is told.

    A folder that may not be entered or written to is no such trouble here: at a start it is a mistake, for a person to
    mend. Raises whatever else `act` raises.
    """
    pause = 1.0
    while True:
        try:
            return act()
        except Exception as error:  # swallows storage trouble alone, bare or as a cause; the rest goes on
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in TRANSIENT - REFUSALS:
                raise
            _LOG.error("the storage cannot be used yet: %s; tried again in %.0f s", cause.strerror, pause)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
