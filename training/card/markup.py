"""Elements of HTML and SVG as a tree, so that no text of a loan's column or category can become markup."""

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, tostring

Child = Element | str
"""What an element holds: further elements, and text."""

Number = float | int


def element(tag: str, *children: Child, **attributes: str | Number) -> Element:
    """Make an element of HTML or SVG.

    Attribute names are written as Python can write them: a trailing `_` is dropped (`class_`), any other becomes `-`
    (`stroke_width`). Numbers are written with at most two decimals, which is finer than any screen or printer.
    """
    made = Element(tag, {name.rstrip("_").replace("_", "-"): _text_of(value) for name, value in attributes.items()})
    extend(made, children)
    return made


def extend(parent: Element, children: Iterable[Child]) -> Element:
    """Add children behind those that an element has; return the element."""
    for child in children:
        if not isinstance(child, str):
            parent.append(child)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + child
        else:
            parent.text = (parent.text or "") + child
    return parent


def drawing(width: Number, height: Number, title: str, description: str, *children: Child) -> Element:
    """Make an inline SVG of `width` by `height` units with a name and a description for who cannot see it."""
    made = element("svg", class_="drawing", role="img", viewBox=f"0 0 {width} {height}")
    made.set("aria-label", f"{title}. {description}")
    SubElement(made, "title").text = title
    SubElement(made, "desc").text = description
    return extend(made, children)


def write_page(root: Element) -> bytes:
    """Write a whole HTML document (UTF-8)."""
    return f"<!DOCTYPE html>\n{tostring(root, encoding='unicode', method='html')}\n".encode()


def _text_of(value: str | Number) -> str:
    if isinstance(value, str):
        return value
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
