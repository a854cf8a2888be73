"""A daemon that starts waits for storage in trouble, and for nothing that a person has to mend."""

import errno
import logging
import os

import pytest

from inbox_watcher.settings import patience
from inbox_watcher.settings.patience import wait_for_storage
from scoring.errors import LoansError, StorageError


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the waits (seconds), which take no time."""
    waits: list[float] = []
    monkeypatch.setattr("inbox_watcher.settings.patience.time.sleep", waits.append)
    return waits


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT])
def test_trouble_is_waited_out(
    slept: list[float], caplog: pytest.LogCaptureFixture, number: int, *, wrapped: bool
) -> None:
    """What may pass is tried again, each time after a longer wait and with a word in the log."""
    left = [8]

    def act() -> str:
        if left[0]:
            left[0] -= 1
            error = OSError(number, os.strerror(number))
            if wrapped:
                raise StorageError("The owner's file cannot be written.") from error
            raise error
        return "done"

    with caplog.at_level(logging.ERROR):
        assert wait_for_storage(act) == "done"
    assert slept == [1, 2, 4, 8, 16, 30, 30, 30]
    assert caplog.text.count(f"cannot be used yet: {os.strerror(number)}") == 8


@pytest.mark.parametrize(
    "error",
    [
        LoansError("Another daemon serves this site already."),
        StorageError("The folder cannot be made: Not a directory."),
        FileNotFoundError(errno.ENOENT, "gone"),
        OSError(errno.EROFS, "the unit's ReadWritePaths leave the tree out"),
        PermissionError(errno.EACCES, "not yours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_person_has_to_mend_is_not_waited_for(slept: list[float], error: Exception) -> None:
    """A mistake ends the start at once, with its own words."""

    def act() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        wait_for_storage(act)
    assert caught.value is error
    assert slept == []
    assert patience._LONGEST_PAUSE < 60
