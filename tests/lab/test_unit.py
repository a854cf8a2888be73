"""The unit of deploy/, as systemd runs it beside an HTCondor that a site left at its defaults."""

import pytest

from tests.lab.machines import Lab
from tests.lab.service import UNIT, Service

pytestmark = pytest.mark.timeout(1800)


def test_a_file_is_scored_with_the_default_network_interface(lab: Lab, service: Service) -> None:
    """With NETWORK_INTERFACE = * the daemon reaches HTCondor from within the unit, and systemd never restarts it."""
    assert lab.on("n2", "condor_config_val NETWORK_INTERFACE").strip() == "*"
    service.generate("first.csv", 1000, 21)
    service.drop("first.csv")
    service.await_published(["first.csv"], 200)
    service.check_once("first.csv", 1000)
    assert service.is_up()
    assert service.restarts() == 0
    assert "Unwilling or unable" not in lab.on("n2", f"journalctl -u {UNIT} --no-pager")
