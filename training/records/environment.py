"""How many threads a node may take: as many as it was given CPUs, whatever the machine has."""

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def limit_threads(threads: int) -> None:
    """Hold numpy, scikit-learn and polars to `threads` threads in this process.

    The variables bind libraries that are loaded from here on, threadpoolctl those that are loaded already.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    for variable in _VARIABLES:
        os.environ[variable] = str(threads)
    threadpool_limits(limits=threads)


PRODUCT = "condor-loan-scoring"


def code_version() -> str:
    """Tell the product's version, its commit where that is known, and whether the checkout had changes besides."""
    try:
        product = Distribution.from_name(PRODUCT)
    except PackageNotFoundError:
        return "unknown"
    commit = _checkout_commit(Path(__file__).parents[2]) or _installed_commit(product)
    return f"{product.version} ({commit})" if commit else product.version


def _checkout_commit(folder: Path) -> str:
    """Ask git, where this runs from a checkout; an execute node may have no git."""
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=, with changes", "--abbrev=12", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return f"commit {told.stdout.strip()}"
    return ""


def _installed_commit(product: Distribution) -> str:
    """Look into what pip noted when it installed from a repository (PEP 610)."""
    with suppress(msgspec.DecodeError, AttributeError):
        noted: Any = msgspec.json.decode(product.read_text("direct_url.json") or "{}")
        commit = noted.get("vcs_info", {}).get("commit_id", "")
        return f"commit {commit[:12]}" if commit else ""
    return ""


PACKAGES = ("condor-loan-scoring", "numpy", "onnx", "onnxruntime", "polars", "scikit-learn", "skl2onnx")
"""The packages whose version can change a model or its scores."""


def package_versions() -> dict[str, str]:
    """Tell the versions of Python and of PACKAGES in this environment; those that are absent are left out."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
