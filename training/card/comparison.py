"""The sections of a model card that compare: the candidates, the champion, and the columns that the winner leans on."""

from xml.etree.ElementTree import Element

from training.card.bars import draw_candidates, draw_gain, draw_importance
from training.card.facts import CardFacts
from training.card.page import figure_of, paragraph, section, table
from training.card.plot import element
from training.card.sections import range_of
from training.card.words import METRICS, NONE, count, figure, signed


def candidates(facts: CardFacts) -> Element:
    """Compare the candidates with each other, and the winner with the champion."""
    fitted = {one.candidate: one for one in facts.fitted}
    order = sorted(facts.evaluations, key=lambda one: -one.metrics.auc)
    rows = []
    for one in order:
        learnt = fitted.get(one.candidate)
        metrics = one.metrics
        rows.append(
            (
                one.candidate + (" (chosen)" if one.candidate == facts.candidate else ""),
                figure(metrics.auc, 4),
                range_of(one.intervals.get("auc"), 4),
                figure(metrics.f1, 4),
                figure(metrics.ks, 4),
                figure(metrics.average_precision, 4),
                figure(metrics.log_loss, 4),
                figure(metrics.brier, 4),
                figure(metrics.ece, 4),
                count(one.rows_per_second),
                f"{learnt.fit_seconds:.1f} s" if learnt else NONE,
            )
        )
    names = ["Candidate", "AUC", "95 % interval", "F1", "KS", "Avg. precision", "Log loss", "Brier", "ECE"]
    return section(
        "candidates",
        "Candidates compared",
        paragraph(
            f"All learnt from the same loans and were measured on the same held-out ones. {facts.chosen}".strip()
        ),
        figure_of(
            "How good, and how fast",
            "Up is better at ranking, right is faster. The filled diamond was chosen; whiskers are 95 % intervals of "
            "the AUC.",
            draw_candidates(facts.evaluations, facts.candidate),
            table(
                "Candidates, best ranking first",
                ["Candidate", "AUC", "Rows a second"],
                [(one.candidate, figure(one.metrics.auc, 4), count(one.rows_per_second)) for one in order],
                numbers=(1, 2),
                chosen=[one.candidate for one in order].index(facts.candidate),
            ),
            wide=True,
        ),
        table(
            "All candidates on the held-out loans",
            [*names, "Rows/s", "Fitted in"],
            rows,
            numbers=range(1, 11),
            chosen=[one.candidate for one in order].index(facts.candidate),
        ),
        element("h3", "Against the champion"),
        *_champion(facts),
    )


def leanings(facts: CardFacts) -> Element:
    """Tell which columns the model leans on."""
    importance = facts.winner.importance
    return section(
        "features",
        "What it leans on",
        figure_of(
            "Permutation importance",
            "How much worse the model ranks when a column's values are shuffled among the held-out loans, so that it "
            "says nothing any more. The whisker is the standard deviation over several shuffles. It tells what the "
            "model uses, not what causes a default.",
            draw_importance(importance),
            table(
                "AUC lost when a column is shuffled",
                ["Column", "AUC lost", "Spread"],
                [(one.feature, figure(one.auc_lost, 4), f"± {figure(one.spread, 4)}") for one in importance],
                numbers=(1, 2),
            ),
            wide=True,
        ),
    )


def _champion(facts: CardFacts) -> list[Element]:
    comparison = facts.comparison
    if comparison is None:
        return [
            paragraph("There was no version in production to compare with, or it could not be measured on these loans.")
        ]
    winner = facts.winner.metrics
    fresh = (
        "The champion cannot have seen these loans when it was fitted."
        if comparison.fresh
        else "The champion may have been fitted on some of these loans: its figures may be flattered."
    )
    names = ("auc", "f1", "ks", "average_precision", "log_loss", "brier", "ece")
    return [
        figure_of(
            f"{facts.candidate} against {comparison.champion}",
            f"Both were measured on the same held-out loans. {fresh} An interval that reaches over nought means that "
            "the difference may be chance.",
            draw_gain(comparison, facts.candidate),
            table(
                "Candidate and champion on the same loans",
                ["Metric", "Candidate", "Champion", "Difference"],
                [
                    (
                        METRICS[name].name,
                        figure(getattr(winner, name), 4),
                        figure(getattr(comparison.metrics, name), 4),
                        signed(getattr(winner, name) - getattr(comparison.metrics, name)),
                    )
                    for name in names
                ],
                numbers=(1, 2, 3),
            ),
            paragraph(
                f"Gain in AUC: {signed(comparison.auc_gain)}, 95 % interval {signed(comparison.gain.low)} to "
                f"{signed(comparison.gain.high)}."
            ),
            wide=True,
        )
    ]
