"""What can go wrong with a local pool, said for the person who asked for it."""

from pathlib import Path

CONNECT_INSTEAD = (
    "To use a pool that exists already instead, write this into loans.toml:\n"
    "  [pool]\n"
    '  condor_config = "host"\n'
    "The commands then go by this machine's own HTCondor configuration."
)


class PoolError(Exception):
    """A local pool cannot be had, started or stopped.

    The text is for people: its first line is one sentence that says what happened, the lines
    after it hold the details and a way out.
    """

    def __init__(self, sentence: str, *, details: str = "", way_out: str = "") -> None:
        """Join `sentence` (what happened), `details` (from logs or tools) and `way_out` (what to do)."""
        self.sentence = sentence
        """The first line alone."""
        super().__init__("\n".join(part for part in (sentence, details.strip(), way_out) if part))


class PortTakenError(PoolError):
    """Another program took the pool's port between the choice and the start."""


def no_pool_here(reason: str, *, details: str = "", way_out: str = "") -> PoolError:
    """Tell that no pool can run on this machine because of `reason`, and how to use an existing one.

    `way_out` is said before that when there is a nearer one.
    """
    ways = "\n".join(way for way in (way_out, CONNECT_INSTEAD) if way)
    return PoolError(f"HTCondor cannot run on this machine: {reason}.", details=details, way_out=ways)


def home_unusable(home: Path, reason: str) -> PoolError:
    """Tell that the pool's home folder `home` cannot be used because of `reason`."""
    return PoolError(
        f"the pool's home folder {home} cannot be used: {reason}.",
        way_out="Choose another one with --home or LOANS_POOL_HOME.",
    )
