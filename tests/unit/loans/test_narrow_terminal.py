"""Tables of figures on a terminal of 80 characters: nothing that tells a version or a figure from another is cut."""

import io

import pytest
from rich.console import Console

from loans.terminal.model_tables import figures_table
from training.learners.grid import known_candidates

FIGURES = {"auc": 0.9657, "average_precision": 0.8935, "log_loss": 0.1302, "rows_per_second": 1_807_951.0}


@pytest.mark.parametrize("chosen", known_candidates())
def test_the_figures_of_every_candidate_fit(chosen: str) -> None:
    """With every candidate there is, names and figures stand there whole, and the chosen one is marked."""
    shown = io.StringIO()
    slower = {**FIGURES, "rows_per_second": 263_357.0}
    figures = {name: FIGURES if name in ("logistic", "tree") else slower for name in known_candidates()}
    table = figures_table("Candidates", figures, chosen)
    Console(file=shown, width=80).print(table)
    lines = shown.getvalue().splitlines()
    assert not [line for line in lines if "…" in line or len(line) > 80]
    (head,) = [line for line in lines if "logistic" in line]
    assert head.split() == [word for name in known_candidates() for word in ([name, "*"] if name == chosen else [name])]
    (speeds,) = [line for line in lines if "rows_per_second" in line]
    assert speeds.split()[1:] == ["1,807,951"] * 2 + ["263,357"] * (len(known_candidates()) - 2)


def test_a_candidate_without_a_figure_leaves_its_place_empty() -> None:
    """A figure that only some candidates have stands under those."""
    shown = io.StringIO()
    Console(file=shown, width=80).print(figures_table("Some", {"tree": {"auc": 0.9}, "blend": FIGURES}, "tree"))
    (line,) = [line for line in shown.getvalue().splitlines() if "log_loss" in line]
    assert line.split() == ["log_loss", "0.1302"]
