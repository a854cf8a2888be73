"""Another lender's loans, from their labelled file alone: contract, retrain, daemon, published predictions."""

import csv
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from inbox_watcher.batch.batch import State
from inbox_watcher.settings.site_file import load_site
from local_pool.status import PoolStatus
from scoring.contract import load_contract
from tests.integration.site_fixtures import LOANS, LiveSite, running
from tests.other_lender import FEATURES, write_loans

HISTORY = 4_000
FRESH = 500


def run(*words: object) -> str:
    """Run `loans WORDS...`; give what it printed as its result."""
    ran = subprocess.run([LOANS, *map(str, words)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def site(pool: PoolStatus) -> Iterator[LiveSite]:
    """Make a site on the test's pool, as `loans init` leaves it, and leave nothing of it behind."""
    # Not under /tmp: DAGMan refuses logs there.
    folder = Path(tempfile.mkdtemp(prefix="loans-test-lender-", dir="/var/tmp"))
    try:
        file = folder / "loans.toml"
        run("init", folder / "shared", "--site", file, "--state", folder / "state")
        quoted = msgspec.json.encode(str(pool.condor_config)).decode()
        shown = '# condor_config = "local"'
        text = file.read_text()
        assert shown in text
        file.write_text(text.replace(shown, f"condor_config = {quoted}"))
        yield LiveSite(file, load_site(file))
    finally:
        shutil.rmtree(folder)


def test_from_a_labelled_file_to_predictions(site: LiveSite) -> None:
    """With id and target named, the proposed contract trains a model that finds the bad loans and scores new ones."""
    root = Path(site.site.root)
    history, proposed = root / "history" / "other lender.csv", root / "proposed.toml"
    history.write_bytes(write_loans(HISTORY, 1))
    facts = json.loads(
        run("contract", "infer", history, "-o", proposed, "--id", "Loan Ref", "--target", "Outcome", "--json")
    )
    assert facts["usable"]
    assert facts["rejected"] == {}
    proposed.replace(root / "contract.toml")
    assert tuple(column.name for column in load_contract(root / "contract.toml").features) == FEATURES

    trained = json.loads(run("retrain", "--site", site.file, "--promote", "force", "--json"))
    aucs = {name: metrics["auc"] for name, metrics in trained["metrics"].items()}
    print(f"AUC on held-out loans: {aucs}")
    assert trained["rows_in"] == HISTORY
    assert not trained["rejected"]
    assert max(aucs.values()) > 0.7

    fresh = write_loans(FRESH, 2, labelled=False)
    with running(site) as daemon:
        batch = daemon.wait_for("new loans.csv", fresh)
    assert (batch.state, batch.rows, batch.scored, batch.rejected) == (State.DONE, FRESH, FRESH, 0)
    with (site.layout.outbox / "new loans.predictions.csv").open(newline="") as file:
        predictions = list(csv.DictReader(file))
    assert [row["Loan Ref"] for row in predictions] == [f"K-{number:06d}" for number in range(FRESH)]
    assert all(0 <= float(row["pd"]) <= 1 for row in predictions)

    alone = root / "alone.csv"
    (root / "fresh.csv").write_bytes(fresh)
    run("score", root / "fresh.csv", "-o", alone, "--site", site.file)
    assert alone.read_bytes() == (site.layout.outbox / "new loans.predictions.csv").read_bytes()
