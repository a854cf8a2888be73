"""`loans retrain`: train every candidate on the pool and publish the best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from cli.output import DEFAULT_SITE, JsonOption, SiteOption, console, print_json, say

if TYPE_CHECKING:
    from rich.table import Table

    from inbox_watcher.config import Site
    from training.progress import NodeProgress
    from training.request import PromoteMode
    from training.retrain import RetrainOrder, RetrainResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retrain)


def _modes(text: str) -> "PromoteMode":
    from training.request import PromoteMode

    try:
        return PromoteMode(text)
    except ValueError as error:
        raise typer.BadParameter(f"one of {', '.join(PromoteMode)}") from error


def retrain(
    history: Annotated[
        list[Path] | None,
        typer.Option(
            "--history", help="A labelled CSV; may be given again (default: every CSV in ROOT/history).", metavar="FILE"
        ),
    ] = None,
    promote: Annotated[
        str, typer.Option(help="auto: when it deserves to; never; force: whatever stands there.", metavar="MODE")
    ] = "auto",
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Train every candidate on the pool, each on its own node; publish the best, and promote it."""
    from cli.sites import connect_pool
    from inbox_watcher.config import load_site
    from training.retrain import retrain as run

    mode = _modes(promote)
    loaded = load_site(site)
    order = make_order(loaded, history, mode)
    scheduler = connect_pool(loaded)
    if json:
        result = run(order, scheduler)
        print_json(_facts(result))
        return
    say(f"Training {', '.join(order.candidates)} on {len(order.history)} file(s) of history.")
    with _Board() as board:
        result = run(order, scheduler, board.show)
    _print_result(result)


def make_order(site: "Site", history: list[Path] | None, mode: "PromoteMode") -> "RetrainOrder":
    """Give the order for a site. Raises LoansError when there is no history, ContractError for an unusable contract."""
    from inbox_watcher.layout import Layout, StateLayout
    from scoring.contract import load_contract
    from scoring.errors import LoansError
    from training.retrain import RetrainOrder

    layout = Layout(Path(site.root))
    named = history or [Path(path) for path in site.training.history] or sorted(layout.history.glob("*.csv"))
    files = tuple(path.expanduser().resolve() for path in named)
    if not files:
        raise LoansError(
            f"There is no history to learn from: {layout.history} holds no CSV.",
            "Put labelled loans there, or name a file with --history.",
        )
    return RetrainOrder(
        training=layout.training,
        models=layout.models,
        history=files,
        contract=load_contract(Path(site.training.contract) if site.training.contract else layout.contract),
        python=Path(site.python),
        local_logs=StateLayout(Path(site.state)).training,
        candidates=site.training.candidates,
        seed=site.training.seed,
        promote=mode,
    )


class _Board:
    """A live table of nodes on a terminal, a line for each end elsewhere."""

    def __init__(self) -> None:
        from rich.live import Live

        self._nodes: dict[str, NodeProgress] = {}
        self._console = console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: "NodeProgress") -> None:
        """Show what changed."""
        self._nodes[progress.node] = progress
        if self._live:
            self._live.update(self._table(), refresh=True)
        elif str(progress.state) in ("done", "failed", "held", "removed"):
            say(f"  {progress.node}: {progress.state} ({progress.host})")

    def _table(self) -> "Table":
        from rich.table import Table

        table = Table("node", "state", "host", "seconds")
        for node in self._nodes.values():
            table.add_row(node.node, str(node.state), node.host, f"{node.seconds:.0f}" if node.seconds else "")
        return table


def _print_result(result: "RetrainResult") -> None:
    import msgspec
    from rich.table import Table

    out = console()
    figures = {name: msgspec.to_builtins(metrics) for name, metrics in result.metrics.items()}
    names = list(next(iter(figures.values())))
    table = Table("candidate", *names, title="Candidates on the held-out loans")
    for candidate, values in figures.items():
        mark = " *" if candidate == result.candidate else ""
        table.add_row(candidate + mark, *(f"{values[name]:.4f}" for name in names))
    out.print(table)
    nodes = Table("node", "host", "seconds", title="Where the time went")
    for node in result.nodes:
        nodes.add_row(node.node, node.host, f"{node.seconds:.2f}")
    out.print(nodes)
    out.print(
        f"{result.wall_seconds:.1f} s in all: {result.planning_seconds:.1f} s planning, "
        f"{result.critical_path_seconds:.1f} s in the longest chain of nodes, "
        f"{result.overhead_seconds:.1f} s DAGMan and HTCondor",
        markup=False,
    )
    rejected = sum(result.rejected.values())
    if rejected:
        rules = ", ".join(f"{rule} {count}" for rule, count in result.rejected.items())
        out.print(f"{rejected} of {result.rows_in} rows of the history broke the contract: {rules}", markup=False)
    state = "in production" if result.promoted else "not promoted"
    out.print(f"{result.version}: published, {state}: {result.why}", markup=False)


def _facts(result: "RetrainResult") -> dict[str, object]:
    import msgspec

    facts: dict[str, object] = msgspec.to_builtins(result, enc_hook=str)
    return {**facts, "overhead_seconds": result.overhead_seconds}
