"""The demo, run by an account whose home is empty."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cli.demo import DROPPED_ROWS
from inbox_watcher.config import load_site
from inbox_watcher.layout import Layout
from local_pool.distribution import cache_folder
from scoring.receipt import read_receipt
from tests.integration.site_fixtures import LOANS

HISTORY_ROWS = 3_000
"""Fewer loans than the demo's own; with two of its candidates the same steps take a third of the time."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that DAGMan accepts: it refuses logs under /tmp."""
    made = Path(tempfile.mkdtemp(prefix="loans-test-demo-", dir="/var/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def test_no_process_of_the_demo_collects_usage_data(folder: Path) -> None:
    """Pool, retrain, daemon and jobs add nothing to an empty home; onnxruntime's telemetry would add a device id."""
    home, demo = folder / "home", folder / "demo"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_", "LOANS_"))}
    # HTCondor is fetched into this home: a copy belongs to the path that it was unpacked in.
    environment["HOME"] = str(home)

    def run(*command: object) -> None:
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    site = demo / "loans.toml"
    demo.mkdir()
    run(LOANS, "init", demo / "shared", "--site", site, "--state", demo / "state")
    quoted = msgspec.json.encode(str(demo / "pool")).decode()
    text = site.read_text()
    for shown, wanted in (
        ('# home = ""', f"home = {quoted}"),
        ("# candidates = ", 'candidates = ["logistic", "tree"] # '),
    ):
        assert shown in text
        text = text.replace(shown, wanted)
    site.write_text(text)
    layout = Layout(Path(load_site(site).root))
    run(LOANS, "generate", HISTORY_ROWS, "--labelled", "-o", layout.history / "generated.csv")
    run(sys.executable, "-m", "cli.demo", demo)
    (receipt,) = layout.outbox.glob("*.receipt.json")
    assert read_receipt(receipt).rows_in == DROPPED_ROWS
    assert [path.relative_to(home).as_posix() for path in home.glob("*")] == [".cache"]
    assert [path.name for path in (home / ".cache").iterdir()] == [cache_folder().name]
