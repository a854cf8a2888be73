"""What a retrain came to, in tables and sentences."""

import time
from typing import TYPE_CHECKING, Self

from loans.terminal.output import console, say

if TYPE_CHECKING:
    from rich.table import Table

    from training.records.request import RunRequest
    from training.run.progress import NodeProgress
    from training.run.retrain import CandidateResult, RetrainResult

_FIGURES = ("auc", "gini", "ks", "accuracy", "precision", "recall", "f1", "log_loss", "ece")


def facts(result: "RetrainResult") -> dict[str, object]:
    """Give the result as one JSON document."""
    import msgspec

    document: dict[str, object] = msgspec.to_builtins(result, enc_hook=str)
    figures = {name: msgspec.to_builtins(metrics) for name, metrics in result.metrics.items()}
    warnings = msgspec.to_builtins(result.warnings)
    return {**document, "metrics": figures, "overhead_seconds": result.overhead_seconds, "warnings": warnings}


def print_result(result: "RetrainResult") -> None:
    """Print candidates, choices, where the time went, and what became of the best."""
    from rich.table import Table

    out = console(80)
    out.print(_candidates(result))
    out.print(_choices(result))
    nodes = Table("node", "host", "seconds", title="Where the time went")
    for node in result.nodes:
        nodes.add_row(node.node, node.host, f"{node.seconds:.2f}")
    out.print(nodes)
    if not result.resumed:
        out.print(
            f"{result.wall_seconds:.1f} s in all: {result.planning_seconds:.1f} s planning, "
            f"{result.critical_path_seconds:.1f} s in the longest chain of nodes, "
            f"{result.overhead_seconds:.1f} s waiting for slots, DAGMan and HTCondor",
            markup=False,
        )
    train, test = result.split.train, result.split.test
    out.print(
        f"Held out: {test.rows:,} of {train.rows + test.rows:,} loans "
        f"({test.rows / (train.rows + test.rows):.1%}), {test.defaults:,} of {train.defaults + test.defaults:,} "
        f"defaults ({test.defaults / (train.defaults + test.defaults):.1%})",
        markup=False,
    )
    if result.split.set_aside:
        rows, groups = sum(group.rows for group in result.split.set_aside), len(result.split.set_aside)
        out.print(
            f"{rows:,} of the other {train.rows:,} loans lie in {groups} large group{'s' * (groups > 1)} of loans with "
            "equal features: every fit learns from them, no figure covers them",
            markup=False,
        )
    rejected = sum(result.rejected.values())
    if rejected:
        rules = ", ".join(f"{rule} {count}" for rule, count in result.rejected.items())
        out.print(f"{rejected} of {result.rows_in} rows of the history broke the contract: {rules}", markup=False)
    if result.comparison is not None:
        compared = result.comparison
        fresh = "" if compared.fresh else " (which it may have been fitted on)"
        out.print(
            f"Champion {compared.champion} on the same loans{fresh}: AUC {compared.metrics.auc:.4f}; gain "
            f"{compared.auc_gain:+.4f}, 95 % interval {compared.gain.low:+.4f} to {compared.gain.high:+.4f}",
            markup=False,
        )
    for warning in result.warnings:
        out.print(f"WARNING: {warning.message}", markup=False)
    state = "in production" if result.promoted else "not promoted"
    out.print(f"{result.version}: published, {state}: {result.why}", markup=False)
    if not result.promoted:
        out.print(f"`loans models promote {result.version}` puts it into production all the same.", markup=False)


def _candidates(result: "RetrainResult") -> "Table":
    import msgspec

    from loans.terminal.model_tables import figures_table

    figures = {}
    for name, candidate in result.candidates.items():
        metrics = msgspec.to_builtins(candidate.metrics)
        figures[name] = {
            "auc out of fold": candidate.validation.auc,
            **{figure: metrics[figure] for figure in _FIGURES},
            "rows_per_second": candidate.rows_per_second,
        }
    return figures_table("Candidates on the held-out loans", figures, result.candidate)


def _choices(result: "RetrainResult") -> "Table":
    from rich.table import Table

    table = Table("candidate", "sets tried", "chosen", "calibration", "threshold", title="Chosen out of fold")
    for name, candidate in result.candidates.items():
        table.add_row(
            name,
            "" if candidate.members else str(len(candidate.validation.tried)),
            _chosen(candidate),
            candidate.validation.calibration,
            f"{candidate.validation.threshold:.4f}",
        )
    return table


def _chosen(candidate: "CandidateResult") -> str:
    if candidate.members:
        return ", ".join(f"{weight:.0%} {name}" for name, weight in candidate.members.items())
    return ", ".join(f"{name}={value}" for name, value in candidate.parameters.items())


_ENDS = ("done", "failed", "held", "removed")


class RetrainBoard:
    """Shows where the nodes of a run stand, while the block lasts."""

    def __init__(self, request: "RunRequest") -> None:
        """Show nothing yet."""
        from rich.live import Live

        from training.run.progress import title_nodes

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

        from training.run.progress import TROUBLE, sum_up

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
