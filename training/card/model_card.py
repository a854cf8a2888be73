"""The model card: one self-contained HTML file that a person reads and prints, and the same facts as JSON.

The layout follows Mitchell et al., Model Cards for Model Reporting (FAT* 2019): what it is, how well it does, also by
group, on which data, and where its limits are.
"""

from xml.etree.ElementTree import Element

import msgspec

from training.card.comparison import candidates, leanings
from training.card.facts import FORMAT, CardFacts, DataFacts, RunFacts
from training.card.findings import find_findings, find_limits
from training.card.page import bullets, page, paragraph, section
from training.card.plot import element, write_page
from training.card.records import data_section, groups, limits, making, policy_section
from training.card.sections import performance, pictures
from training.card.words import count, percent, when

__all__ = ["CARD_JSON", "CARD_PAGE", "CardFacts", "DataFacts", "RunFacts", "make_card"]

CARD_PAGE = "card.html"
CARD_JSON = "card.json"


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card for programs: the facts, and what follows from them in words."""

    format: int
    """Version of this very format."""
    facts: CardFacts
    """What the version is and how it did."""
    findings: tuple[str, ...]
    """What somebody should look at."""
    limits: tuple[str, ...]
    """What the figures do not show."""


def make_card(facts: CardFacts) -> dict[str, bytes]:
    """Make both files of a version's card: `card.html` and `card.json`, UTF-8; the same facts give the same bytes."""
    card = Card(FORMAT, facts, find_findings(facts), find_limits(facts))
    return {
        CARD_PAGE: write_page(_page(card)),
        CARD_JSON: msgspec.json.encode(card) + b"\n",
    }


def _page(card: Card) -> Element:
    facts = card.facts
    return page(
        f"Model card of {facts.version}",
        [
            paragraph("Model card", kind="kind"),
            element("h1", facts.version),
            paragraph(
                element("span", _state(facts), class_="badge good" if facts.promoted else "badge wait"),
                f" published {when(facts.created)}",
            ),
        ],
        [
            _summary(card),
            performance(facts),
            pictures(facts),
            candidates(facts),
            leanings(facts),
            groups(facts),
            policy_section(facts),
            data_section(facts),
            making(facts),
            limits(card.limits),
        ],
        [
            paragraph(
                f"Made by training run {facts.run.run_id} when the version was published, and sealed with it: it tells "
                "what was known then. What became of it later is in the registry (loans models list). The same facts "
                "for programs: card.json beside it."
            )
        ],
    )


def _state(facts: CardFacts) -> str:
    return "Into production" if facts.promoted else "Not into production"


def _nothing(facts: CardFacts) -> str:
    """Say that there is no finding, and what was not looked at."""
    if facts.winner.segments:
        return "Nothing in the figures stands out."
    return "Nothing in the figures stands out; how groups are treated was not measured."


def _summary(card: Card) -> Element:
    facts, metrics = card.facts, card.facts.winner.metrics
    seen = len(facts.contract.features)
    kind = f"a blend of {len(facts.learnt.members)} models" if facts.learnt.members else "a model"
    notes = (
        element("div", element("h3", "To look at"), bullets(card.findings), class_="notes")
        if card.findings
        else element("div", paragraph(_nothing(facts)), class_="notes none")
    )
    return section(
        "summary",
        "What it is, and the decision",
        paragraph(
            f"Candidate {facts.candidate} is {kind} that foretells from {seen} columns how likely a loan of "
            f"“{facts.contract.name}” is to default. Of two loans, one that defaulted and one repaid, it ranks the "
            f"defaulted one as the riskier in {percent(metrics.auc)} of cases. At its threshold it catches "
            f"{percent(metrics.recall)} of the defaults; of the loans that it calls defaults, "
            f"{percent(metrics.precision)} are.",
            kind="lead",
        ),
        paragraph(element("strong", "Decision. "), f"{_state(facts)}: {facts.why}"),
        paragraph(
            f"It learnt from {count(facts.data.split.train.rows)} loans and was measured on "
            f"{count(facts.data.split.test.rows)} others.",
            kind="quiet",
        ),
        notes,
    )
