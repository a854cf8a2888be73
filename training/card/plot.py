"""The plane of a drawing: scales from numbers to units of the drawing, axes with ticks, lines and labels."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

Anchor = Literal["start", "middle", "end"]
Points = Sequence[tuple[float, float]]

WIDTH = 420.0
"""Units of a drawing from left to right; letters are 12 units high."""

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Ticks of an axis that runs from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Straight from `low`..`high` to `start`..`end` (units of the drawing); `log` takes logarithms first."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Give the place of a value; one beyond the ends is put on the end."""
        low, high, value = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Plane:
    """Two scales: `x` to the right, `y` upwards."""

    x: Scale
    y: Scale

    def line(self, points: Points, kind: str) -> Element:
        """Draw a line through points."""
        return element("polyline", class_=kind, points=" ".join(map(self._place, points)))

    def area(self, points: Points, kind: str) -> Element:
        """Draw the area under a line through points."""
        closed = [(points[0][0], self.y.low), *points, (points[-1][0], self.y.low)] if points else []
        return element("polygon", class_=kind, points=" ".join(map(self._place, closed)))

    def dot(self, x: float, y: float, radius: float, kind: str) -> Element:
        """Draw a dot."""
        return element("circle", class_=kind, cx=self.x.at(x), cy=self.y.at(y), r=radius)

    def whisker(self, x: float, low: float, high: float, kind: str) -> Element:
        """Draw an upright whisker with feet."""
        place, bottom, top = self.x.at(x), self.y.at(low), self.y.at(high)
        return element("path", class_=kind, d=f"M{place - 3:.2f} {bottom:.2f}h6m-3 0V{top:.2f}m-3 0h6")

    def across(self, y: float, low: float, high: float, kind: str) -> Element:
        """Draw a lying whisker with feet; `y` is in units of the drawing."""
        left, right = self.x.at(low), self.x.at(high)
        return element("path", class_=kind, d=f"M{left:.2f} {y - 4:.2f}v8m0 -4H{right:.2f}m0 -4v8")

    def label(self, x: float, y: float, text: str, kind: str = "on-line", anchor: Anchor = "start") -> Element:
        """Write beside a point, `x` and `y` in values."""
        return write(self.x.at(x), self.y.at(y), text, kind, anchor)

    def _place(self, point: tuple[float, float]) -> str:
        return f"{self.x.at(point[0]):.2f},{self.y.at(point[1]):.2f}"


def unit_plane(height: float = 300.0, *, left: float = 60.0, bottom: float = 46.0) -> Plane:
    """Make a plane from 0 to 1 both ways in a drawing of `WIDTH` by `height`."""
    return Plane(Scale(0, 1, left, WIDTH - 20), Scale(0, 1, height - bottom, 10))


def write(x: float, y: float, text: str, kind: str = "", anchor: Anchor = "start") -> Element:
    """Write a text at a place in units of the drawing."""
    made = element("text", text, x=x, y=y, text_anchor=anchor)
    if kind:
        made.set("class", kind)
    return made


def upright_name(plane: Plane, text: str) -> Element:
    """Write the name of the y axis, upwards along it."""
    middle = (plane.y.start + plane.y.end) / 2
    made = write(0, 0, text, "axis", "middle")
    made.set("transform", f"translate(11 {middle:.2f}) rotate(-90)")
    return made


def axes(
    plane: Plane,
    x_ticks: Iterable[tuple[float, str]],
    y_ticks: Iterable[tuple[float, str]],
    x_name: str,
    y_name: str,
) -> list[Element]:
    """Draw grid, ticks and names of both axes."""
    left, right, bottom, top = plane.x.start, plane.x.end, plane.y.start, plane.y.end
    made = []
    for value, text in x_ticks:
        place = plane.x.at(value)
        made.append(element("path", class_="grid", d=f"M{place:.2f} {bottom:.2f}V{top:.2f}"))
        made.append(write(place, bottom + 16, text, "tick", "middle"))
    for value, text in y_ticks:
        place = plane.y.at(value)
        made.append(element("path", class_="grid", d=f"M{left:.2f} {place:.2f}H{right:.2f}"))
        made.append(write(left - 6, place + 4, text, "tick", "end"))
    made.append(element("path", class_="frame", d=f"M{left:.2f} {top:.2f}V{bottom:.2f}H{right:.2f}"))
    if x_name:
        made.append(write((left + right) / 2, bottom + 36, x_name, "axis", "middle"))
    if y_name:
        made.append(upright_name(plane, y_name))
    return made


def share_ticks(values: Sequence[float] = SHARES) -> list[tuple[float, str]]:
    """Write shares as per cent."""
    return [(value, f"{value * 100:.0f} %") for value in values]


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Choose round numbers (1, 2 or 5 times a power of ten apart) within a range, at most some `most` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927, Journal of the American Statistical Association 22, 209)."""
    if not trials:
        return 0.0, 1.0
    z, share = 1.959964, successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(middle - half, 0.0), min(middle + half, 1.0)


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
