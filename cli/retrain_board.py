"""How a running retrain is shown: a live table on a terminal, a line for each end elsewhere."""

import time
from typing import TYPE_CHECKING, Self

from cli.output import console, say

if TYPE_CHECKING:
    from rich.table import Table

    from training.records.request import RunRequest
    from training.run.progress import NodeProgress

_ENDS = ("done", "failed", "held", "removed")


class RetrainBoard:
    """Shows where the nodes of a run stand, while the block lasts."""

    def __init__(self, request: "RunRequest") -> None:
        """Show nothing yet."""
        from rich.live import Live

        from training.run.run_view import title_nodes

        self._titles = title_nodes(request)
        self._nodes: dict[str, NodeProgress] = {}
        self._told: set[tuple[str, str]] = set()
        self._console = console()
        self._live = (
            Live(console=self._console, get_renderable=self._table, refresh_per_second=2)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what was shown last."""
        if self._live:
            self._live.stop()

    def show(self, progress: "NodeProgress") -> None:
        """Show what changed."""
        before = self._nodes.get(progress.node)
        self._nodes[progress.node] = progress
        if self._live is None:
            self._say(before, progress)

    def _say(self, before: "NodeProgress | None", progress: "NodeProgress") -> None:
        state = str(progress.state)
        if before is None:
            # How the nodes stand at the beginning.
            if state in _ENDS:
                self._told.add((progress.node, state))
            return
        # A node that fails again, as it is tried again, is told of once.
        if state in _ENDS and (progress.node, state) not in self._told:
            self._told.add((progress.node, state))
            because = f": {progress.reason}" if progress.reason else ""
            say(f"  {progress.node}: {state} ({progress.host}, {progress.seconds:.0f} s){because}")
        if progress.auc is not None and before.auc is None:
            say(f"  {progress.node}: AUC {progress.auc:.4f}")

    def _table(self) -> "Table":
        from rich.table import Table

        from training.run.run_view import TROUBLE, sum_up

        table = Table("node", "state", "done", "host", "seconds", "AUC")
        # A copy: the table is drawn in a thread of its own.
        for row in sum_up(tuple(self._nodes.values()), self._titles, time.time()):
            table.add_row(
                row.title,
                f"{row.state}: {row.reason}" if row.reason else str(row.state),
                f"{row.done}/{row.nodes}" if row.nodes > 1 else "",
                row.host,
                f"{row.seconds:.0f}" if row.seconds else "",
                f"{row.auc:.4f}" if row.auc is not None else "",
                style="red" if row.state in TROUBLE else None,
            )
        return table
