"""The drawings of how well a model ranks and foretells: inline SVG from the curves, each with its numbers in words."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from training.card.facts import share_of_defaults
from training.card.plot import (
    WIDTH,
    Plane,
    Points,
    Scale,
    axes,
    drawing,
    element,
    share_ticks,
    unit_plane,
    upright_name,
    wilson,
    write,
)
from training.card.words import count, figure, percent
from training.records.findings import Evaluation, Part

HEIGHT = 300.0


def read_at(points: Points, x: float) -> float:
    """Read a line at `x`: straight between its points, which ascend in x; NaN where there are none.

    Where the line is upright, its upper end.
    """
    if not points:
        return math.nan
    places = [point[0] for point in points]
    after = bisect_left(places, x)
    if after == len(points):
        return points[-1][1]
    if places[after] == x:
        return max(y for place, y in points if place == x)
    if after == 0:
        return points[0][1]
    (x0, y0), (x1, y1) = points[after - 1], points[after]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def false_alarms(evaluation: Evaluation, part: Part) -> float:
    """Give the share of repaid loans that are called defaults at the threshold, from recall and precision."""
    metrics = evaluation.metrics
    if not metrics.precision or part.rows == part.defaults:
        return 0.0
    return metrics.recall * part.defaults * (1 / metrics.precision - 1) / (part.rows - part.defaults)


def draw_roc(evaluation: Evaluation, part: Part) -> Element:
    """Draw the share of defaults caught against the share of repaid loans caught with them."""
    plane, points = unit_plane(HEIGHT), evaluation.curves.roc
    at, caught = false_alarms(evaluation, part), evaluation.metrics.recall
    # The label goes under the curve, where there is room.
    return drawing(
        WIDTH,
        HEIGHT,
        f"ROC curve of {evaluation.candidate}",
        f"AUC {figure(evaluation.metrics.auc, 4)}. At the threshold {percent(caught)} of the defaults are caught, and "
        f"{percent(at)} of the repaid loans with them.",
        *axes(plane, share_ticks(), share_ticks(), "repaid loans called defaults", "defaults caught"),
        plane.area(points, "soft-first area"),
        plane.line([(0, 0), (1, 1)], "guess"),
        plane.label(0.66, 0.58, "guessing", "on-line tick"),
        plane.line(points, "first"),
        plane.dot(at, caught, 5, "fill-second"),
        write(plane.x.at(at) + 10, plane.y.at(caught) + 16, "at the threshold", "on-line label-second"),
        plane.label(0.97, 0.12, f"AUC {figure(evaluation.metrics.auc)}", "on-line strong", "end"),
    )


def draw_precision_recall(evaluation: Evaluation, part: Part) -> Element:
    """Draw how pure the defaults are that are found, against how many of them are found."""
    plane, metrics = unit_plane(HEIGHT), evaluation.metrics
    share = share_of_defaults(part)
    low = metrics.precision < 0.5
    return drawing(
        WIDTH,
        HEIGHT,
        f"Precision-recall curve of {evaluation.candidate}",
        f"Average precision {figure(metrics.average_precision, 4)}. At the threshold precision is "
        f"{percent(metrics.precision)} and recall {percent(metrics.recall)}. Guessing has a precision of "
        f"{percent(share)}.",
        *axes(plane, share_ticks(), share_ticks(), "defaults caught (recall)", "precision"),
        plane.area(evaluation.curves.precision_recall, "soft-first area"),
        plane.line([(0, share), (1, share)], "guess"),
        write(plane.x.at(0.02), plane.y.at(share) - 6, f"guessing: {percent(share)}", "on-line tick"),
        plane.line(evaluation.curves.precision_recall, "first"),
        plane.dot(metrics.recall, metrics.precision, 5, "fill-second"),
        write(
            plane.x.at(metrics.recall) - 10,
            plane.y.at(metrics.precision) + (-10 if low else 18),
            "at the threshold",
            "on-line label-second",
            "end",
        ),
    )


def draw_calibration(evaluation: Evaluation) -> Element:
    """Draw the share of defaults seen against the one foretold, with 95 % intervals, and the size of each bin below."""
    bins = evaluation.curves.calibration
    plane = Plane(Scale(0, 1, 60, WIDTH - 20), Scale(0, 1, HEIGHT - 96, 10))
    most = max((loans for _, _, loans in bins), default=1)
    sizes = Scale(0, most, HEIGHT - 46, HEIGHT - 70)
    made = axes(plane, [], share_ticks(), "", "share seen")
    for value, text in share_ticks():
        place = plane.x.at(value)
        made.append(element("path", class_="grid", d=f"M{place:.2f} {plane.y.start:.2f}V{plane.y.end:.2f}"))
        made.append(write(place, sizes.start + 15, text, "tick", "middle"))
    made.append(write((plane.x.start + plane.x.end) / 2, HEIGHT - 8, "default foretold", "axis", "middle"))
    made.append(element("path", class_="frame", d=f"M{plane.x.start} {sizes.start:.2f}H{plane.x.end}"))
    made.append(write(plane.x.start - 6, sizes.start, "loans", "tick", "end"))
    made.append(plane.line([(0, 0), (1, 1)], "guess"))
    made.append(plane.label(0.62, 0.5, "as foretold", "on-line tick"))
    for foretold, seen, loans in bins:
        place, top = plane.x.at(foretold), sizes.at(loans)
        made.append(
            element("rect", class_="fill-third", x=place - 1.5, y=top, width=3, height=max(sizes.start - top, 0.5))
        )
        made.append(plane.whisker(foretold, *wilson(seen * loans, loans), "whisker"))
        made.append(plane.dot(foretold, seen, 3.5, "fill-first"))
    return drawing(
        WIDTH,
        HEIGHT,
        f"Calibration of {evaluation.candidate}",
        f"Calibration error {figure(evaluation.metrics.ece, 4)}. Foretold and seen share of defaults in {len(bins)} "
        "bins: "
        + "; ".join(
            f"{percent(foretold)} and {percent(seen)} of {count(loans)} loans" for foretold, seen, loans in bins
        )
        + ".",
        *made,
    )


def _longest(shares: Sequence[tuple[float, float, float, float]], place: int, low: float, high: float) -> float:
    """Give the longest bar between two probabilities."""
    return max((one[place] for one in shares if low <= one[0] < high), default=0.0)


def draw_distribution(evaluation: Evaluation) -> Element:
    """Draw how probabilities are spread: repaid loans upwards, defaulted ones downwards, each as share of its own."""
    bins = evaluation.curves.distribution
    repaid, defaulted = (sum(one[place] for one in bins) for place in (2, 3))
    shares = [(low, high, good / max(repaid, 1), bad / max(defaulted, 1)) for low, high, good, bad in bins]
    most = max((max(good, bad) for _, _, good, bad in shares), default=1.0) or 1.0
    plane = Plane(Scale(0, 1, 60, WIDTH - 20), Scale(-most, most, HEIGHT - 46, 10))
    ticks = [(sign * share * most, percent(share * most, 0)) for share in (0.5, 1.0) for sign in (1, -1)]
    made = axes(plane, share_ticks(), [(0.0, "0 %"), *ticks], "probability of default", "")
    made.append(upright_name(plane, "share of its outcome"))
    made.append(
        element(
            "pattern",
            element("rect", class_="hatch-ground", width=6, height=6),
            element("path", class_="hatch", d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5"),
            id="hatch",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )
    )
    middle = plane.y.at(0)
    for low, high, good, bad in shares:
        left, width = plane.x.at(low), plane.x.at(high) - plane.x.at(low) - 1
        top, bottom = plane.y.at(good), plane.y.at(-bad)
        made.append(element("rect", class_="soft-first", x=left, y=top, width=width, height=middle - top))
        made.append(element("rect", class_="hatched", x=left, y=middle, width=width, height=bottom - middle))
    cut = plane.x.at(evaluation.threshold)
    made.append(element("path", class_="frame", d=f"M{plane.x.start} {middle:.2f}H{plane.x.end}"))
    made.append(element("path", class_="cut", d=f"M{cut:.2f} {plane.y.end:.2f}V{plane.y.start:.2f}"))
    side = evaluation.threshold < 0.6
    made.append(
        write(
            cut + (6 if side else -6),
            plane.y.end + 12,
            f"threshold {percent(evaluation.threshold)}",
            "on-line",
            "start" if side else "end",
        )
    )
    for name, loans, place, height in (
        ("repaid", repaid, 2, plane.y.end + 28),
        ("defaulted", defaulted, 3, plane.y.start - 6),
    ):
        # At the side where its bars are the shorter, so that it stands on none.
        right = _longest(shares, place, 0.6, 1.0) <= _longest(shares, place, 0.0, 0.4)
        kind = "on-line label-first" if name == "repaid" else "on-line label-second"
        told = f"{name}, {count(loans)} loans"
        if right:
            made.append(write(plane.x.end, height, told, kind, "end"))
        else:
            made.append(write(plane.x.start + 4, height, told, kind, "start"))
    return drawing(
        WIDTH,
        HEIGHT,
        f"Probabilities of {evaluation.candidate} by outcome",
        f"Distribution of the probability of default of {count(repaid)} repaid and {count(defaulted)} defaulted loans; "
        f"the threshold is {percent(evaluation.threshold)}.",
        *made,
    )


def draw_gains(evaluation: Evaluation, part: Part) -> Element:
    """Draw which share of all defaults is among the riskiest loans, and what a perfect model would reach."""
    plane, points = unit_plane(HEIGHT), evaluation.curves.gains
    share = share_of_defaults(part)
    caught = read_at(points, 0.2)
    return drawing(
        WIDTH,
        HEIGHT,
        f"Gains of {evaluation.candidate}",
        f"Among the riskiest 10 % of loans are {percent(read_at(points, 0.1))} of all defaults, among the riskiest 20 "
        f"% {percent(caught)}, among the riskiest half {percent(read_at(points, 0.5))}.",
        *axes(plane, share_ticks(), share_ticks(), "loans, riskiest first", "defaults among them"),
        plane.area(points, "soft-first area"),
        plane.line([(0, 0), (1, 1)], "guess"),
        plane.label(0.66, 0.58, "guessing", "on-line tick"),
        plane.line([(0, 0), (share, 1), (1, 1)], "second"),
        plane.line(points, "first"),
        plane.dot(0.2, caught, 5, "fill-first"),
        write(
            plane.x.at(0.2) + 12,
            plane.y.at(caught) + 18,
            f"riskiest 20 %: {percent(caught)}",
            "on-line label-first",
        ),
        plane.label(0.97, 0.12, "dashed: perfect foresight", "on-line label-second", "end"),
    )
