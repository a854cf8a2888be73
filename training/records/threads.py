"""How many threads a node may take: as many as it was given CPUs, whatever the machine has."""

import os

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def limit_threads(threads: int) -> None:
    """Hold numpy, scikit-learn and polars to `threads` threads in this process.

    The variables bind libraries that are loaded from here on, threadpoolctl those that are loaded already.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    for variable in _VARIABLES:
        os.environ[variable] = str(threads)
    threadpool_limits(limits=threads)
