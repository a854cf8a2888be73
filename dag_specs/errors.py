"""What can go wrong between the product and HTCondor, as sentences: what happened and the way out."""


class DagSpecError(Exception):
    """A failure that a person can act on; `str(error)` is its first line, `way_out` what to do about it."""

    def __init__(self, what: str, way_out: str = "") -> None:
        """Keep one sentence on what happened and, where there is one, the way out."""
        super().__init__(what)
        self.what = what
        self.way_out = way_out


class DescriptionError(DagSpecError):
    """A value cannot be told to HTCondor without changing what else it is told."""


class SchedulerError(DagSpecError):
    """HTCondor cannot be reached, or refused what it was asked."""
