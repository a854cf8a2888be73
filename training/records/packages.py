"""Which versions of what made a model."""

import platform
from importlib.metadata import PackageNotFoundError, version

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
