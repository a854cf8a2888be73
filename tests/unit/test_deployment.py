"""The systemd unit: watched, closed, and still able to do its work."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

UNIT = Path(__file__).parents[2] / "deploy" / "loans-watch.service"

MOST_EXPOSED = 1.3


class _Unit(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def test_exposure() -> None:
    """Systemd itself rates the unit at 1.3 or better."""
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: apt-get install systemd"
    done = subprocess.run(
        [program, "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for loans-watch\.service: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    print(f"exposure {found[1]}")
    assert float(found[1]) <= MOST_EXPOSED


def test_unit_can_do_its_work() -> None:
    """It is watched, started again, reaches HTCondor (whose bindings need netlink), and may write its own folders."""
    unit = _Unit(strict=False)
    unit.read(UNIT)
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "always")
    assert 10 <= int(service["WatchdogSec"]) <= 300
    assert {"AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"} == set(service["RestrictAddressFamilies"].split())
    assert service["ReadWritePaths"] == unit["Unit"]["RequiresMountsFor"] == "/nfs/loans"
    assert service["StateDirectory"] == "loans"
    assert not service["ExecStart"].startswith(service["ReadWritePaths"]), "it hangs when the shared storage does"
    assert "PrivateNetwork" not in service
    assert "IPAddressDeny" not in service
