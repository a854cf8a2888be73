"""A batch of twelve chunks on four machines, and what storage, network and power do to it."""

import time
from dataclasses import dataclass

import pytest

from tests.lab.machines import Lab, wait_for
from tests.lab.service import UNIT, Service

ROWS = 300_000
STATUS_SECONDS = 3.0
"""Longest time that `loans status` may take while the storage hangs (seconds)."""

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Outage:
    """Something that is done to the storage for a while."""

    name: str
    """What it is."""
    begin: str
    """What n1 does to begin it."""
    end: str
    """What n1 does to end it."""
    seconds: float
    """How long it lasts."""


OUTAGES = (
    Outage(
        "read-only", "sed -i s/rw,/ro,/ /etc/exports; exportfs -ra", "sed -i s/ro,/rw,/ /etc/exports; exportfs -ra", 75
    ),
    Outage(
        "full", "fallocate -l $(( $(stat -f -c '%a * %S' /srv) )) /var/fill; stat -f -c %a /srv", "rm /var/fill", 60
    ),
    Outage("withdrawn", "exportfs -ua", "exportfs -ra", 40),
    Outage("restarted", "systemctl restart nfs-server", "true", 0),
)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_storage_in_trouble(lab: Lab, service: Service, outage: Outage) -> None:
    """An export that is read-only, full, withdrawn or served anew in mid-batch costs time and nothing else."""
    name = service.begin_large(outage.name, 31 + OUTAGES.index(outage))
    before = service.restarts()
    lab.on("n1", outage.begin)
    slowest = ask_status(service, outage.seconds)
    lab.on("n1", outage.end)
    took = service.await_published([name], 400)
    found = service.check_once(name, ROWS)
    print(
        f"\n{outage.name} for {outage.seconds:.0f} s: published {took:.0f} s after it ended; "
        f"{found.attempt} attempt(s), {found.setbacks} not counted; slowest status {slowest:.1f} s"
    )
    assert found.attempt - found.setbacks == 1
    assert service.restarts() == before


def ask_status(service: Service, seconds: float) -> float:
    """Ask for the status for so long; give the longest time that it took (seconds)."""
    slowest, begun = 0.0, time.monotonic()
    while time.monotonic() - begun < seconds:
        slowest = max(slowest, service.loans("status --json").seconds)
        time.sleep(1)
    return slowest


def test_a_server_that_hangs(lab: Lab, service: Service) -> None:
    """The server hangs for minutes in mid-batch: `status` and `why` answer, the daemon lives, and the batch goes on."""
    name = service.begin_large("hangs", 41)
    before = service.restarts()
    lab.do("freeze", "n1")
    try:
        slowest = ask_status(service, 150)
        why = service.loans(f"why {name}")
    finally:
        lab.do("thaw", "n1")
    took = service.await_published([name], 400)
    found = service.check_once(name, ROWS)
    print(
        f"\nhung for 150 s: slowest status {slowest:.1f} s, why {why.seconds:.1f} s; "
        f"published {took:.0f} s after it ended"
    )
    assert slowest < STATUS_SECONDS
    assert "The shared storage cannot be read" in why.out
    assert why.seconds < 30
    assert found.attempt == 1
    assert service.restarts() == before


def test_a_stop_while_the_server_hangs(lab: Lab, service: Service) -> None:
    """`systemctl stop` ends while the storage hangs, and the next start finishes the batch."""
    name = service.begin_large("stopped", 42)
    lab.do("freeze", "n1")
    try:
        time.sleep(5)
        ran = lab.try_on("n2", f"systemctl stop {UNIT}; systemctl show -p Result --value {UNIT}")
    finally:
        lab.do("thaw", "n1")
    lab.on("n2", f"systemctl reset-failed {UNIT} || true; systemctl start {UNIT}", 200)
    service.await_published([name], 400)
    service.check_once(name, ROWS)
    print(f"\nstopped after {ran.seconds:.1f} s: {ran.out.strip()}")
    assert ran.seconds < 20


def test_an_execute_node_without_network(lab: Lab, service: Service) -> None:
    """The cable of an execute node is pulled for a minute: the batch is published once."""
    name = service.begin_large("cable", 43)
    lab.do("link", "n3", "down")
    time.sleep(60)
    lab.do("link", "n3", "up")
    took = service.await_published([name], 600)
    service.check_once(name, ROWS)
    print(f"\ncable of n3 out for 60 s: published {took:.0f} s after it was back")


def test_an_execute_node_without_power(lab: Lab, service: Service) -> None:
    """An execute node loses its power with chunks at work: the others do them, within minutes."""
    name = service.begin_large("power", 44)
    lab.do("cut", "n4")
    took = service.await_published([name], 900)
    found = service.check_once(name, ROWS)
    print(f"\nn4 without power: published {took:.0f} s later, {found.attempt} attempt(s)")
    lab.boot("n4", keep=True)
    assert took < 400


def test_an_access_point_without_power(lab: Lab, service: Service) -> None:
    """The access point loses its power in mid-batch: started again, it goes on by itself and publishes once."""
    name = service.begin_large("access", 45)
    lab.do("cut", "n2")
    begun = time.monotonic()
    lab.boot("n2", keep=True)
    wait_for(service.is_up, "the daemon", 200)
    up = time.monotonic() - begun
    took = service.await_published([name], 600)
    service.check_once(name, ROWS)
    print(f"\nn2 without power: daemon up {up:.0f} s after it, published {took:.0f} s later")
    lab.on("n2", "sysctl -q -w net.ipv4.tcp_keepalive_intvl=10 net.ipv4.tcp_keepalive_probes=3")


def test_a_second_daemon(lab: Lab, service: Service) -> None:
    """A second daemon for the same tree, on another machine, is refused and says which one serves it."""
    assert service.is_up()
    text = lab.on("n2", "sed -e 's|^state = .*|state = \"/tmp/second\"|' /etc/loans.toml")
    lab.on("n3", f"cat >/tmp/second.toml <<'END'\n{text}\nEND")
    ran = lab.try_on(
        "n3", "cd /; runuser -u loans -- timeout 60 /opt/loans/venv/bin/loans watch --site /tmp/second.toml"
    )
    print(f"\nsecond daemon: {ran.err.strip().splitlines()[-2:]} after {ran.seconds:.1f} s")
    assert ran.code == 1
    assert "Another daemon serves this site already" in ran.err
    assert "on n2" in ran.err
