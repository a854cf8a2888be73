"""From the chunks' comparisons to what the receipt says of the challenger, and the one file of both probabilities."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from scoring.atomic import written_atomically
from scoring.chunk.challenger import Summary, add_up, summarise
from scoring.chunk.part import Outcome, Sealed, name_part
from scoring.chunk.plan import BatchPlan
from scoring.errors import ProofError
from scoring.models.registry import Pin
from scoring.results.merge import join_files

_PROBLEMS_TOLD = 5


class ChallengerReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the challenger fared on a batch's rows."""

    model: Pin
    """The challenger."""
    chunks: int
    """Chunks that were compared."""
    problems: tuple[str, ...]
    """Why others were not, or why there is no file, in words."""
    summary: Summary | None
    """Score shift and swap set over the rows of those chunks; None where none was compared."""
    file: Sealed | None
    """Both probabilities of each row, in the batch's own folder; None where there is no such file."""


def report_challenger(batch: BatchPlan, outcomes: Sequence[Outcome], target: Path | None) -> ChallengerReport | None:
    """Sum up the comparisons, and write both probabilities of every row to `target`, where one is named.

    None without a challenger. Nothing that goes wrong here is raised: the report says it.
    """
    if batch.challenger is None:
        return None
    told = [outcome.challenger for outcome in outcomes if outcome.challenger is not None]
    problems = [batch.challenger.problem, *(part.problem for part in told)]
    tallies = [part.tally for part in told if part.tally is not None]
    summary = summarise(add_up(tallies)) if tallies else None
    file = None
    if target is not None and summary is not None:
        parts = [
            (name_part(Path(batch.parts), outcome.chunk).challenger, outcome.challenger.file)
            for outcome in outcomes
            if outcome.challenger is not None and outcome.challenger.file is not None
        ]
        try:
            with written_atomically(target) as opened:
                file = join_files(parts, _name_columns(decided=bool(summary.swaps)), opened)
        except (OSError, ProofError) as error:
            words = error.what if isinstance(error, ProofError) else f"{error.strerror}: {target}"
            problems.append(f"The file of both probabilities was not written: {words}")
    return ChallengerReport(
        model=batch.challenger.pin,
        chunks=len(tallies),
        problems=tuple(dict.fromkeys(filter(None, problems)))[:_PROBLEMS_TOLD],
        summary=summary,
        file=file,
    )


def describe_report(report: ChallengerReport) -> str:
    """Say in a few lines what a report tells."""
    name = report.model.version
    lines = [f"Not compared with {name}: {problem}" for problem in report.problems]
    if report.summary is not None:
        told = report.summary
        moved = sum(rows for mine, row in told.swaps.items() for theirs, rows in row.items() if mine != theirs)
        swapped = f", {moved} other decisions" if told.swaps else ""
        lines.append(
            f"Compared with {name}: {told.rows} rows, pd {told.mean_shift:+.4f} on average, "
            f"PSI {told.psi:.4f}{swapped}."
        )
    return "\n".join(lines)


def _name_columns(*, decided: bool) -> bytes:
    names = ["row_number", "pd", "challenger_pd", *(("decision", "challenger_decision") if decided else ())]
    return (",".join(names) + "\n").encode()
