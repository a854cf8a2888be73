"""What `loans models show` prints: a version's facts as tables."""

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Column, Table

from scoring.models.registry import Manifest

COUNTED = ("rows_per_second", "parameter_sets")
"""Figures that are counts: no decimals."""


def format_figure(name: str, value: float | None) -> str:
    """Write a figure of a candidate as a table shows it; empty where there is none."""
    if value is None:
        return ""
    return f"{value:,.0f}" if name in COUNTED else f"{value:.4f}"


def version_tables(manifest: Manifest) -> Iterator[Table]:
    """Give the tables of a version, in the order in which people ask."""
    for title, figures in (
        ("On held-out loans", manifest.metrics),
        ("On loans that it was not fitted on, to choose by", manifest.validation),
    ):
        if figures:
            yield figures_table(title, figures, manifest.candidate)
    if manifest.policy:
        policy = manifest.policy
        bands = ", ".join(f"{band.name} from {band.from_score}" for band in policy.bands)
        facts = {
            "points": f"{policy.base_score:g} at odds of {policy.base_odds:g} to 1, {policy.points_to_double:g} more "
            f"double them, between {policy.lowest_score} and {policy.highest_score}",
            "bands": bands,
            "refer from": f"pd {policy.refer_from:.4f}",
            "decline from": f"pd {policy.decline_from:.4f}",
        }
        yield _facts("Policy", facts)
    yield _facts("Parameters", manifest.parameters)
    yield _facts("Training", manifest.training)
    if manifest.history:
        table = Table("History", "rows", "bytes", "last written", Column("SHA-256", overflow="fold"))
        for file in manifest.history:
            digest = file.sha256 or "altered while the run went on"
            table.add_row(escape(file.name), f"{file.rows:,}", f"{file.bytes:,}", file.modified, digest)
        yield table
    yield _facts("Packages", manifest.packages)
    seals = {name: f"{seal.bytes:,} bytes, SHA-256 {seal.sha256}" for name, seal in manifest.files.items()}
    yield _facts("Files", seals)


def figures_table(title: str, figures: Mapping[str, Mapping[str, float]], chosen: str) -> Table:
    """Give a table with a column for each candidate and a row for each figure: six of them fit 80 characters."""
    heads = (f"{escape(name)} *" if name == chosen else escape(name) for name in figures)
    columns = (Column(head, justify="right", no_wrap=True) for head in heads)
    table = Table(
        Column("", no_wrap=True),
        *columns,
        title=title,
        title_justify="left",
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in dict.fromkeys(name for values in figures.values() for name in values):
        table.add_row(name, *(format_figure(name, values.get(name)) for values in figures.values()))
    return table


def _facts(title: str, facts: Mapping[str, str]) -> Table:
    table = Table(Column(title, no_wrap=True), Column("", overflow="fold"))
    for name, value in facts.items():
        table.add_row(escape(name), escape(value))
    return table
