"""Which code trained a model: the version of this product and, where it is known, the commit."""

import subprocess
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import msgspec

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
