"""A site for whoever works with it from Python, in a notebook for example: what the commands do, as functions.

site = open_site("loans.toml")
result = site.retrain(site.order_retrain())
receipt = site.score(Path("loans.csv"), Path("scored.csv"), result.version)
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inbox_watcher.settings.layout import Layout
from inbox_watcher.settings.site_file import Site, load_site
from loans.terminal.output import DEFAULT_SITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoring.contract import Contract
    from scoring.results.receipt import Receipt
    from training.history.labelled_loans import HistoryFrame
    from training.records.request import PromoteMode
    from training.run.progress import NodeProgress
    from training.run.retrain import RetrainResult
    from training.run.run_plan import RetrainOrder


@dataclass(frozen=True, slots=True)
class Session:
    """An open site."""

    site: Site
    """What the site file says."""

    @property
    def layout(self) -> Layout:
        """The names on the shared tree."""
        return Layout(Path(self.site.root))

    @property
    def contract(self) -> "Contract":
        """The contract that a history is read by. Raises ContractError when it is not usable."""
        from scoring.contract import load_contract

        named = self.site.training.contract
        return load_contract(Path(named) if named else self.layout.contract)

    def order_retrain(self, history: list[Path] | None = None, promote: "PromoteMode | None" = None) -> "RetrainOrder":
        """Give the order that `loans retrain` would carry out; `dataclasses.replace` changes what should differ.

        Nothing is promoted unless `promote` says so. Raises LoansError when there is no history, ContractError for an
        unusable contract.
        """
        from loans.commands.retrain import make_order
        from training.records.request import PromoteMode

        return make_order(self.site, history, promote or PromoteMode.NEVER)

    def read_history(self, files: tuple[Path, ...]) -> "HistoryFrame":
        """Read labelled files as a table, by the reader that trains and scores. Raises FileRefusedError."""
        from training.history.labelled_loans import read_history

        return read_history(files, self.contract)

    def retrain(
        self, order: "RetrainOrder", on_progress: "Callable[[NodeProgress], None]" = lambda _: None
    ) -> "RetrainResult":
        """Carry out an order on the site's pool. Raises LoansError when it cannot be, or a node fails."""
        from loans.terminal.sites import connect_pool
        from training.run.retrain import retrain

        return retrain(order, connect_pool(self.site), on_progress)

    def read_card(self, version: str) -> str:
        """Give the model card of a version: one HTML page. Raises ModelError when there is none, or it was altered."""
        from scoring.errors import ModelError
        from scoring.models.registry import VERSIONS, find_damage, read_manifest
        from training.card.model_card import CARD_PAGE

        models = self.layout.models
        manifest, _ = read_manifest(models, version)
        damage = find_damage(models, manifest)
        if damage:
            raise ModelError(f"Version {version} is damaged: {'; '.join(damage)}.")
        if CARD_PAGE not in manifest.files:
            raise ModelError(f"Version {version} has no model card: it was published before there were any.")
        return (models / VERSIONS / version / CARD_PAGE).read_text(encoding="utf-8")

    def score(self, file: Path, output: Path, version: str) -> "Receipt":
        """Score a file here, as `loans score` does, with a version of the registry.

        Raises FileRefusedError, ModelError or ProofError with the reason in words.
        """
        from scoring.models.registry import read_manifest
        from scoring.results.local_scoring import score_file

        _, pin = read_manifest(self.layout.models, version)
        wanted = self.site.scoring
        return score_file(
            file,
            output,
            self.layout.models,
            pin,
            threads=len(os.sched_getaffinity(0)),
            max_reject_share=wanted.max_reject_share,
            max_unpacked_bytes=wanted.max_unpacked_bytes,
            echo=wanted.echo,
            neutralise=wanted.neutralise_formulas,
        )


def open_site(path: Path | str | None = None) -> Session:
    """Open a site: the file named, else `$LOANS_SITE`, else `./loans.toml`. Raises LoansError when it does not read."""
    return Session(load_site(Path(path or os.environ.get("LOANS_SITE") or DEFAULT_SITE)))
