"""The page of a model card: its frame, its head and the pieces that its sections are made of."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import Element

from training.card.plot import Child, element

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content security policy: a browser asks nobody for anything, whatever a name in the card says."""

_KEPT_TOGETHER = 12
"""Rows up to which a table is not divided between two sheets of paper."""

Cell = Child | tuple[Child, ...]


@cache
def read_style() -> str:
    """Read the style sheet, which lies beside this module."""
    return Path(__file__).with_name("card.css").read_text(encoding="utf-8")


def page(title: str, head: Sequence[Child], sections: Sequence[Element], foot: Sequence[Child]) -> Element:
    """Put a page together: one document that needs no other file."""
    links = [
        element("li", element("a", "".join(section[0].itertext()), href=f"#{section.get('id')}"))
        for section in sections
    ]
    return element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            _security(),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", title),
            element("style", read_style()),
        ),
        element(
            "body",
            element("header", *head, _named(element("nav", element("ul", *links)), "Sections of this card")),
            element("main", *sections),
            element("footer", *foot),
        ),
        lang="en",
    )


def section(name: str, title: str, *children: Child | None) -> Element:
    """Make a section that the table of contents links to; a child that is None is left out."""
    heading = element("h2", title, id=f"{name}-title")
    kept = [child for child in children if child is not None]
    return element("section", heading, *kept, id=name, aria_labelledby=f"{name}-title")


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    numbers: Iterable[int] = (),
    chosen: int | None = None,
) -> Element:
    """Make a table with a caption; the first cell of a row is its heading.

    `numbers` are the positions of columns that hold numbers; `chosen` is the position of a row to be marked. On a
    narrow screen a wide table scrolls by itself, with the keyboard too.
    """
    right = set(numbers)

    def cell(tag: str, position: int, content: Cell, **more: str) -> Element:
        made = element(tag, *(content if isinstance(content, tuple) else (content,)), **more)
        if position in right:
            made.set("class", "n")
        return made

    head = element("tr", *(cell("th", place, name, scope="col") for place, name in enumerate(columns)))
    body = element("tbody")
    for number, row in enumerate(rows):
        line = element(
            "tr",
            *(
                cell("th", place, content, scope="row") if place == 0 else cell("td", place, content)
                for place, content in enumerate(row)
            ),
        )
        if number == chosen:
            line.set("class", "chosen")
        body.append(line)
    made = element("table", element("caption", caption), element("thead", head), body)
    # Who has no mouse reaches what is out of sight.
    kind = "table long" if len(body) > _KEPT_TOGETHER else "table"
    return _named(element("div", made, class_=kind, role="region", tabindex="0"), caption)


def figure_of(title: str, explanation: str, picture: Element, *children: Child, wide: bool = False) -> Element:
    """Make a figure: what it is, how it is read, the picture, and its key numbers as a table."""
    caption = element("figcaption", element("h3", title), explanation)
    if wide:
        beside = element("div", picture, element("div", *children), class_="beside")
        return element("figure", caption, beside, class_="wide")
    return element("figure", caption, picture, *children)


def bullets(sentences: Iterable[str]) -> Element:
    """Make a list of sentences."""
    return element("ul", *(element("li", sentence) for sentence in sentences))


def paragraph(*children: Child, kind: str = "") -> Element:
    """Make a paragraph."""
    made = element("p", *children)
    if kind:
        made.set("class", kind)
    return made


def _security() -> Element:
    made = element("meta", content=POLICY)
    made.set("http-equiv", "Content-Security-Policy")
    return made


def _named(made: Element, name: str) -> Element:
    made.set("aria-label", name)
    return made
