"""`loans retrain`: search for the best model on the pool and publish it; or go on with a search that stopped."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loans.terminal.interruption import InterruptedBySignalError, Interruption, noted_signals
from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, print_json, say
from loans.terminal.retrain_output import RetrainBoard

if TYPE_CHECKING:
    from dag_specs.jobs import Scheduler
    from inbox_watcher.settings.site_file import Site
    from training.records.request import PolicySettings, PromoteMode
    from training.run.retrain import Run
    from training.run.run_plan import RetrainOrder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retrain)


def _modes(text: str) -> "PromoteMode":
    from training.records.request import PromoteMode

    try:
        return PromoteMode(text)
    except ValueError as error:
        raise typer.BadParameter(f"one of {', '.join(PromoteMode)}") from error


def retrain(
    run_id: Annotated[
        str | None,
        typer.Argument(help="With --resume: the run to go on with (default: the latest).", metavar="RUN"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that stopped; what is finished is not done again.")
    ] = False,
    history: Annotated[
        list[Path] | None,
        typer.Option(
            "--history",
            help="A labelled CSV or .csv.gz; may be given again (default: every one in ROOT/history).",
            metavar="FILE",
        ),
    ] = None,
    promote: Annotated[
        str | None,
        typer.Option(help="auto (default): when it deserves to; never; force: whatever stands there.", metavar="MODE"),
    ] = None,
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Search for the best model on the pool, a job for each candidate, parameter set and fold; publish and promote it.

    Ctrl-C asks whether to leave the run to the pool; without a terminal it stops the run. --resume goes on with it.
    """
    if run_id is not None and not resume:
        raise typer.BadParameter("a run is named with --resume only", param_hint="RUN")
    if resume and (history or promote):
        raise typer.BadParameter("what a run learns from was settled when it began", param_hint="--resume")
    mode = _modes(promote or "auto")
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import connect_pool
    from training.run.retrain import start

    loaded = load_site(site)
    order = None if resume else make_order(loaded, history, mode)
    try:
        # From the first word with HTCondor on; a run that was submitted is then always asked about.
        with noted_signals() as interruption:
            scheduler = connect_pool(loaded)
            run = start(order, scheduler) if order else _resume(loaded, run_id, scheduler)
            _announce(run)
            _follow(run, scheduler, interruption, json=json)
    except InterruptedBySignalError as signalled:
        _settle(run, scheduler, signalled.number)


def _follow(run: "Run", scheduler: "Scheduler", interruption: Interruption, *, json: bool) -> None:
    from loans.terminal.retrain_output import facts, print_result
    from training.run.retrain import finish

    if json:
        print_json(facts(finish(run, scheduler, pause=interruption.pause)))
        return
    if run.attempt is None:
        # There is nothing to watch.
        print_result(finish(run, scheduler))
        return
    with RetrainBoard(run.request) as board:
        result = finish(run, scheduler, board.show, interruption.pause)
    print_result(result)


def _resume(site: "Site", run_id: str | None, scheduler: "Scheduler") -> "Run":
    from inbox_watcher.settings.layout import Layout, StateLayout
    from training.run.retrain import resume

    return resume(
        Layout(Path(site.root)).training,
        run_id,
        scheduler,
        python=Path(site.python),
        local_logs=StateLayout(Path(site.state)).training,
    )


def _announce(run: "Run") -> None:
    request = run.request
    if run.attempt is None:
        say(f"Training run {request.run_id} came to its end before: there is nothing to resume.")
    elif run.resumed:
        say(f"Going on with training run {request.run_id}: {len(run.finished)} of its {len(run.nodes)} nodes are done.")
    else:
        say(
            f"Training run {request.run_id}: {', '.join(request.candidates)} on {len(request.history)} file(s) of "
            f"history, {len(run.nodes)} nodes."
        )


def _settle(run: "Run", scheduler: "Scheduler", number: int) -> None:
    """Settle what becomes of the run when the command is interrupted: a person is asked, else it is stopped."""
    if number == signal.SIGINT and sys.stdin.isatty() and sys.stderr.isatty() and _wants_to_leave():
        say(f"It goes on without you. `loans retrain --resume {run.request.run_id}` comes back to it.")
        return
    _stop(run, scheduler)


def _wants_to_leave() -> bool:
    """Ask; whoever does not answer, or interrupts the question, loses nothing."""
    try:
        while True:
            said = input("\nLeave the run to the pool, or stop it? [leave/stop] ").strip().lower()
            if said in {"leave", "l"}:
                return True
            if said in {"stop", "s"}:
                return False
    except (KeyboardInterrupt, EOFError):
        return True


def _stop(run: "Run", scheduler: "Scheduler") -> None:
    from scoring.errors import LoansError
    from training.run.retrain import stop

    # A second signal while HTCondor is told would leave the run in the queue.
    with noted_signals():
        stop(run, scheduler)
    raise LoansError(
        f"Training run {run.request.run_id} was stopped.",
        f"`loans retrain --resume {run.request.run_id}` goes on with it; what is finished is not done again.",
    )


def make_order(site: "Site", history: list[Path] | None, mode: "PromoteMode") -> "RetrainOrder":
    """Give the order for a site. Raises LoansError when there is no history, ContractError for an unusable contract."""
    from inbox_watcher.settings.layout import Layout, StateLayout
    from scoring.contract import load_contract
    from scoring.errors import LoansError
    from training.records.request import ClaimSize, Gates
    from training.run.run_plan import RetrainOrder

    layout, wanted = Layout(Path(site.root)), site.training
    named = history or [Path(path) for path in wanted.history] or find_history(layout.history)
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
        contract=load_contract(Path(wanted.contract) if wanted.contract else layout.contract),
        python=Path(site.python),
        local_logs=StateLayout(Path(site.state)).training,
        candidates=wanted.candidates,
        grids=wanted.grid,
        folds=wanted.folds,
        seed=wanted.seed,
        shards=wanted.shards,
        promote=mode,
        threads=wanted.threads,
        max_running=wanted.max_running,
        min_rows_per_second=wanted.min_rows_per_second,
        gates=Gates(wanted.margin_auc, wanted.min_auc, wanted.max_ece),
        cost_of_bad=wanted.cost_of_bad,
        cost_of_lost_good=wanted.cost_of_lost_good,
        policy=_policy(site),
        max_unpacked_bytes=site.scoring.max_unpacked_bytes,
        scoring_job=ClaimSize(site.scoring.cpus, site.scoring.memory_mb, site.scoring.disk_mb),
    )


def find_history(folder: Path) -> list[Path]:
    """Find every CSV of a folder, packed ones too, by name; what is hidden is none. Raises OSError as the storage."""
    from inbox_watcher.settings.layout import SUFFIXES

    return sorted(
        path for path in folder.glob("*") if path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")
    )


def _policy(site: "Site") -> "PolicySettings":
    import msgspec

    from training.records.request import PolicySettings

    return msgspec.convert(msgspec.to_builtins(site.policy), PolicySettings)
