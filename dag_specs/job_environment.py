"""The whole environment of a job of ours: nothing of the submitter's own leaks into it."""

from collections.abc import Mapping

# What makes a thread pool as soon as it is loaded, unless told otherwise; each takes all cores of the machine.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def job_environment(threads: str) -> Mapping[str, str]:
    """Return the variables of a job that takes a number of threads, or a submit macro's number of them."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"} | dict.fromkeys(_THREADS, threads)
