"""The sections of a model card that show the winner: how well it does, and its pictures."""

from xml.etree.ElementTree import Element

import msgspec

from training.card.bars import draw_intervals
from training.card.drawings import (
    draw_calibration,
    draw_distribution,
    draw_gains,
    draw_precision_recall,
    draw_roc,
    read_at,
)
from training.card.facts import CardFacts, share_of_defaults
from training.card.page import figure_of, paragraph, section, table
from training.card.plot import element
from training.card.words import CALIBRATIONS, METRICS, NONE, count, figure, percent
from training.records.findings import Evaluation, Interval


def range_of(interval: Interval | None, digits: int = 3) -> str:
    """Write a 95 % interval."""
    return f"{figure(interval.low, digits)} to {figure(interval.high, digits)}" if interval else NONE


def performance(facts: CardFacts) -> Element:
    """Tell how well the model does on loans that it has not seen."""
    winner, test = facts.winner, facts.data.split.test
    values = msgspec.to_builtins(winner.metrics)
    tiles = element(
        "dl",
        *(
            element(
                "div",
                element("dt", METRICS[name].name),
                element("dd", element("div", figure(values[name]), class_="value")),
                element("dd", f"95 % interval {range_of(winner.intervals.get(name))}", class_="range"),
                element("dd", METRICS[name].phrase, class_="phrase"),
                class_="tile",
            )
            for name in ("auc", "f1", "ks", "ece")
        ),
        class_="tiles",
    )
    rows = [
        (
            (
                meaning.name,
                element("span", f"{meaning.phrase} ({meaning.better})", class_="under"),
            ),
            figure(values[name], 4),
            range_of(winner.intervals.get(name), 4),
        )
        for name, meaning in METRICS.items()
    ]
    return section(
        "performance",
        "How well it does",
        paragraph(
            f"Measured on {count(test.rows)} held-out loans ({count(test.defaults)} of them, "
            f"{percent(share_of_defaults(test))}, defaulted) that no choice was made from, through the very graph "
            f"that scores. A loan is called a default from a probability of {percent(winner.threshold)}. A 95 % "
            "interval says where the figure lies when other loans of the same source are drawn."
        ),
        tiles,
        table(
            "All metrics on the held-out loans",
            ["Metric, and what it says", "Value", "95 % interval"],
            rows,
            numbers=(1, 2),
        ),
    )


def pictures(facts: CardFacts) -> Element:
    """Show the curves of the winner, each with its key numbers."""
    winner, test = facts.winner, facts.data.split.test
    curves, share = winner.curves, share_of_defaults(test)
    recall = sorted(curves.precision_recall)
    return section(
        "pictures",
        "In pictures",
        element(
            "div",
            figure_of(
                "Ranking (ROC curve)",
                "Going down from the riskiest loan: how many defaults are caught, and how many good loans are caught "
                "with them. The further the line bends to the upper left, the better.",
                draw_roc(winner, test),
                table(
                    "Defaults caught",
                    ["Good loans called defaults", "Defaults caught"],
                    [(percent(at, 0), percent(read_at(curves.roc, at))) for at in (0.01, 0.05, 0.1, 0.2)],
                    numbers=(1,),
                ),
            ),
            figure_of(
                "Purity (precision-recall curve)",
                "To catch more defaults one has to reach further down, and hits more good loans. The longer the line "
                "stays high, the better.",
                draw_precision_recall(winner, test),
                table(
                    "Precision",
                    ["Defaults caught", "Of those called, defaults"],
                    [(percent(at, 0), percent(read_at(recall, at))) for at in (0.25, 0.5, 0.75, 0.9)],
                    numbers=(1,),
                ),
            ),
            figure_of(
                "Calibration",
                "Whether 20 % foretold means that 20 of 100 default. Dots on the dotted line do; whiskers are the 95 % "
                "interval of what was seen; the bars below say how many loans a dot stands for.",
                draw_calibration(winner),
                table(
                    "Foretold and seen, riskier loans further down",
                    ["Foretold", "Seen", "Loans"],
                    [(percent(foretold), percent(seen), count(loans)) for foretold, seen, loans in curves.calibration],
                    numbers=(1, 2),
                ),
            ),
            figure_of(
                "Probabilities by outcome",
                "Repaid loans upwards, defaulted ones downwards (hatched), each as a share of its own. The less the "
                "two lie over each other, the better the model tells them apart.",
                draw_distribution(winner),
                table(
                    "Held-out loans by probability of default",
                    ["Probability", "Repaid", "Defaulted"],
                    _merged(winner),
                    numbers=(1, 2),
                ),
            ),
            figure_of(
                "Gains and lift",
                "Whoever looks at the riskiest loans first finds most defaults soon. Lift says how many times more "
                "than by looking at random.",
                draw_gains(winner, test),
                table(
                    f"Looking at the riskiest loans first ({percent(share)} of all default)",
                    ["Loans looked at", "Defaults found", "Lift"],
                    [
                        (percent(at, 0), percent(found), f"{found / at:.1f} times")
                        for at in (0.05, 0.1, 0.2, 0.3, 0.5)
                        for found in (read_at(curves.gains, at),)
                    ],
                    numbers=(1, 2),
                ),
            ),
            figure_of(
                "How sure the figures are",
                "How far each metric may lie from its value when other loans of the same source are drawn: 95 % "
                "intervals, all on one scale. A short whisker is a sure figure.",
                draw_intervals(winner),
                table(
                    "How far the 95 % interval reaches",
                    ["Metric", "Downwards", "Upwards"],
                    [
                        (METRICS[name].name, figure(value - interval.low, 4), figure(interval.high - value, 4))
                        for name, value in msgspec.to_builtins(winner.metrics).items()
                        if (interval := winner.intervals.get(name))
                    ],
                    numbers=(1, 2),
                ),
            ),
            class_="figures",
        ),
    )


def probabilities(facts: CardFacts) -> str:
    """Say in a sentence how probabilities were calibrated and where the threshold comes from."""
    kind = facts.learnt.validation.calibration
    return (
        f"Calibration: {CALIBRATIONS.get(kind, kind)}. Parameters, calibration and threshold were chosen on loans of "
        "the train side that the model in question was not fitted on; the held-out loans had no say."
    )


def _merged(winner: Evaluation) -> list[tuple[str, str, str]]:
    """Merge the distribution's bins to at most some ten rows."""
    bins = winner.curves.distribution
    together = max(-(-len(bins) // 10), 1)
    groups = [bins[first : first + together] for first in range(0, len(bins), together)]
    return [
        (
            f"{percent(group[0][0], 0)} to {percent(group[-1][1], 0)}",
            count(sum(one[2] for one in group)),
            count(sum(one[3] for one in group)),
        )
        for group in groups
    ]
