"""The configuration file of a local pool, as text."""

import dataclasses
from pathlib import Path

import pytest

from local_pool.configuration import PoolSettings, marker_of, render
from local_pool.distribution import Distribution
from local_pool.pool_paths import PoolPaths

GOLDEN = Path(__file__).with_name("condor_config.golden")

PATHS = PoolPaths(Path("/home/ana/pool"))
SETTINGS = PoolSettings(marker="0123456789abcdef" * 2, user="ana", port=45678, slots=4, memory_mb=16000)
DISTRIBUTION = Distribution(
    prefix=Path("/opt/condor"),
    bin=Path("/opt/condor/bin"),
    sbin=Path("/opt/condor/sbin"),
    libexec=Path("/opt/condor/libexec"),
    lib=Path("/opt/condor/lib"),
    share=Path("/opt/condor/share"),
    version="23.9.6",
    unpacked=True,
)


def test_configuration_is_the_golden_one() -> None:
    """The whole text is what was looked at and proved by running; a change of it is a decision."""
    assert render(PATHS, SETTINGS, DISTRIBUTION) == GOLDEN.read_text(encoding="utf-8")


def test_every_setting_is_made_once() -> None:
    """No setting is overridden further down, where nobody would look."""
    lines = render(PATHS, SETTINGS, DISTRIBUTION).splitlines()
    names = [line.partition(" = ")[0] for line in lines if line and not line.startswith("#")]
    assert len(names) == len(set(names))


def test_pools_with_different_homes_trust_each_other_in_nothing() -> None:
    """Marker and trust domain come from the home, so another pool's processes and tokens are never taken for ours."""
    other = PoolPaths(Path("/home/ana/other"))
    assert marker_of(PATHS) == marker_of(PoolPaths(PATHS.home))
    assert marker_of(PATHS) != marker_of(other)
    ours = PoolSettings(marker_of(PATHS), "ana", 1, 1, 1)
    theirs = PoolSettings(marker_of(other), "ana", 1, 1, 1)
    assert ours.identity != theirs.identity


def test_home_of_jobs_is_quoted() -> None:
    """A home with spaces and quotes in its name reaches the jobs as it is."""
    settings = dataclasses.replace(SETTINGS, job_home=Path('/home/ana o\'hara "x"'))
    assert (
        """STARTER_JOB_ENVIRONMENT = "LOANS_POOL_MARKER='0123456789abcdef0123456789abcdef' """
        """HOME='/home/ana o''hara ""x""'\""""
    ) in render(PATHS, settings, DISTRIBUTION).splitlines()


@pytest.mark.parametrize("name", ["NETWORK_INTERFACE = 127.0.0.1", "SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS"])
def test_promises_of_the_configuration(name: str) -> None:
    """Loopback and tokens, whatever else the golden text may become."""
    assert name in render(PATHS, SETTINGS, DISTRIBUTION).splitlines()
