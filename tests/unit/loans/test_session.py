"""A site for whoever works with it from Python."""

from pathlib import Path

import pytest

from loans.api import Session, open_site
from scoring.contract import REFERENCE, load_contract
from scoring.errors import LoansError, ModelError
from scoring.models.registry import Pin
from tests.unit.loans.conftest import Loans
from training.history.generate import generate_loans
from training.records.request import PromoteMode


@pytest.fixture
def site(root: Path) -> Session:
    """Give the open site of `./loans.toml`, with a small history."""
    with (root / "history" / "loans.csv").open("wb") as sink:
        generate_loans(50, 1, labelled=True, sink=sink)
    return open_site()


def test_site_is_found_as_commands_find_it(
    site: Session, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file named counts first, then `$LOANS_SITE`, then `./loans.toml`; none of them is an error for people."""
    assert site.layout.root == root
    (tmp_path / "loans.toml").rename(tmp_path / "named.toml")
    with pytest.raises(LoansError, match=r"There is no site file at loans\.toml"):
        open_site()
    monkeypatch.setenv("LOANS_SITE", str(tmp_path / "named.toml"))
    assert open_site() == site
    monkeypatch.setenv("LOANS_SITE", "nowhere.toml")
    assert open_site(tmp_path / "named.toml") == site


def test_order_is_the_one_of_the_command(site: Session, root: Path) -> None:
    """The order names the site's history and contract, and promotes nothing unless told to."""
    order = site.order_retrain()
    assert order.history == (root / "history" / "loans.csv",)
    assert order.contract == site.contract == load_contract(REFERENCE)
    assert order.promote is PromoteMode.NEVER
    assert site.order_retrain(promote=PromoteMode.AUTO).promote is PromoteMode.AUTO
    assert site.read_history(order.history).loans.height == 50


def test_score_is_the_one_of_the_command(site: Session, root: Path, pin: Pin, loans: Loans) -> None:
    """Predictions are, byte for byte, those of `loans score`."""
    file = root / "history" / "loans.csv"
    assert site.score(file, root / "mine.csv", pin.version).scored == 50
    assert loans("score", file, "-o", root / "theirs.csv").code == 0
    assert (root / "mine.csv").read_bytes() == (root / "theirs.csv").read_bytes()


def test_version_without_card_is_told(site: Session, pin: Pin) -> None:
    """A version from before there were cards, and one that does not exist, are errors for people."""
    with pytest.raises(ModelError, match="has no model card"):
        site.read_card(pin.version)
    with pytest.raises(ModelError):
        site.read_card("20200101-000000-nothing")


def test_altered_version_shows_no_card(site: Session, root: Path, pin: Pin) -> None:
    """A version that was tampered with shows nothing."""
    model = root / "models" / "versions" / pin.version / "model.onnx"
    model.chmod(0o600)
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(ModelError, match="damaged"):
        site.read_card(pin.version)


def test_pool_that_is_down_is_told(site: Session) -> None:
    """A retrain without a pool is an error for people, with the way out."""
    with pytest.raises(LoansError, match="pool on this machine is not up"):
        site.retrain(site.order_retrain())
