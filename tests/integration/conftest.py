"""The pool that integration tests run on: a real one, of their own, up once for all of them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_pool.pool import bring_up, take_down
from local_pool.status import PoolStatus


@pytest.fixture(scope="session")
def pool() -> Iterator[PoolStatus]:
    """Bring up a pool of two slots, point `CONDOR_CONFIG` to it, and leave nothing of it behind.

    Ask for it before importing htcondor2, which reads `CONDOR_CONFIG` once, when it is imported.
    """
    # Not under /tmp: DAGMan refuses logs there.
    home = Path(tempfile.mkdtemp(prefix="loans-test-pool-", dir="/var/tmp"))
    before = os.environ.get("CONDOR_CONFIG")
    try:
        status = bring_up(home, slots=2)
        os.environ["CONDOR_CONFIG"] = str(status.condor_config)
        yield status
    finally:
        # Also when the run is interrupted: a test leaves no daemon behind.
        take_down(home)
        shutil.rmtree(home, ignore_errors=True)
        if before is None:
            os.environ.pop("CONDOR_CONFIG", None)
        else:
            os.environ["CONDOR_CONFIG"] = before
