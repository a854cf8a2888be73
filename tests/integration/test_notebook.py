"""The notebook, executed from its first cell to its last by a real kernel, on a site with a real pool."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import pytest
from nbclient import NotebookClient

from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import load_site
from local_pool.status import PoolStatus
from scoring.models.registry import list_versions
from tests.integration.site_fixtures import LOANS
from training.history.generate import generate_loans

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "retrain_and_score.ipynb"

PATIENCE = 300
"""Longest wait for a cell (seconds): far more than it takes, so that a busy machine fails nothing."""

ROWS = 3_000


@pytest.fixture
def site(pool: PoolStatus) -> Iterator[Path]:
    """Give the site file of a new site on the test's pool, with a small history; its path has spaces and quotes."""
    # Not under /tmp: DAGMan refuses logs there.
    folder = Path(tempfile.mkdtemp(prefix="loans-test-notebook-", dir="/var/tmp"))
    try:
        file, root = folder / "it's a site.toml", folder / "shared storage"
        subprocess.run(
            [LOANS, "init", root, "--site", file, "--state", folder / "state"], check=True, capture_output=True
        )
        quoted = msgspec.json.encode(str(pool.condor_config)).decode()
        file.write_text(file.read_text().replace('# condor_config = "local"', f"condor_config = {quoted}"))
        with (root / "history" / "generated.csv").open("wb") as sink:
            generate_loans(ROWS, 3, labelled=True, sink=sink)
        yield file
    finally:
        shutil.rmtree(folder)


def outputs_of(notebook: Any) -> dict[str, str]:
    """Give what each cell of code showed, by the cell's id: printed texts, plain texts and HTML."""
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            pieces = [output.get("text", "") for output in cell.outputs]
            data = [output.get("data", {}) for output in cell.outputs]
            pieces += [piece.get(kind, "") for piece in data for kind in ("text/plain", "text/html")]
            shown[cell.id] = "\n".join(pieces)
    return shown


def test_notebook_runs_from_start_to_end(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every cell does what it says on a new site: looks, trains on the pool, compares, shows the card, scores."""
    monkeypatch.setenv("LOANS_SITE", str(site))
    # The kernel leaves nothing in the folders of whoever runs the tests.
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    begun = time.monotonic()
    NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    print(f"the notebook took {time.monotonic() - begun:.1f} s")
    shown = outputs_of(notebook)
    models = Layout(Path(load_site(site).root)).models
    (version,) = list_versions(models)
    assert "person_age" in shown["open"]
    assert f"{ROWS:,} loans" in shown["read"]
    assert "RENT" in shown["categories"]
    assert re.search(r"promote.*done", shown["retrain"])
    assert version in shown["retrain"]
    assert "logistic" in shown["candidates"]
    assert "<iframe sandbox srcdoc=" in shown["show-card"]
    assert f"Model card of {version}" in shown["show-card"]
    assert f"{ROWS:,} rows in = {ROWS:,} scored + 0 rejected" in shown["score-file"]
    assert "foretold" in shown["deciles"]
    assert not (models / "production").exists()


def test_notebook_holds_no_results() -> None:
    """What is committed has no outputs, no counts, no path of a machine, and ids that a test can name."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    cells = notebook["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None and not cell["metadata"] for cell in code)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    text = "".join("".join(cell["source"]) for cell in cells)
    assert not re.search(r"(?<![\w.])/(home|root|tmp|var|work|usr|nfs|opt)\b", text)
    assert len({cell["id"] for cell in cells}) == len(cells)
