"""The lab is booted once for all its tests, and taken down after them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.estate import boot_pool
from tests.lab.machines import Lab, find_lab
from tests.lab.service import Service

WORK = "/var/tmp/loans-lab"  # noqa: S108 (about 6 GB that outlast a test)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Build the guests' disk with the product in it and boot the pool; `LOANS_LAB_UP=1` uses one that is up."""
    lab = Lab(find_lab(), Path(os.environ.get("LAB") or WORK))
    if os.environ.get("LOANS_LAB_UP"):
        yield lab
        return
    lab.build()
    try:
        boot_pool(lab)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def service(lab: Lab) -> Service:
    """Make the site, train a model through the pool, start the daemon under systemd."""
    service = Service(lab)
    if not os.environ.get("LOANS_LAB_UP"):
        service.make()
        service.train()
        service.start()
    return service
