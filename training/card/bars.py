"""The drawings that compare: features, candidates, intervals, champion, and the scale of points."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element

import msgspec

from scoring.models.policy import Policy
from training.card.plot import WIDTH, Plane, Scale, axes, drawing, element, round_ticks, write
from training.card.words import METRICS, count, figure, percent, shorten, signed
from training.records.findings import Comparison, Evaluation, Importance

_ROW = 26.0
_TALL_ROW = 40.0
# Mean width of a letter of a label; wide letters of any font that a browser may choose included.
_LETTER = 7.4
_MOST_FEATURES = 30


def draw_importance(importance: tuple[Importance, ...]) -> Element:
    """Draw the AUC lost when each feature is shuffled, with its spread; at most the thirty most important."""
    shown = importance[:_MOST_FEATURES]
    height = len(shown) * _TALL_ROW + 52
    low = min([0.0, *(one.auc_lost - one.spread for one in shown)])
    high = max([0.001, *(one.auc_lost + one.spread for one in shown)])
    plane = Plane(Scale(low, high, 26, WIDTH - 64), Scale(0, 1, height - 46, 6))
    ticks = [(value, figure(value, 3)) for value in round_ticks(low, high, 5)]
    made = axes(plane, ticks, [], "AUC lost when the column is shuffled", "")
    nought = plane.x.at(0)
    for row, one in enumerate(shown):
        # The name stands above its bar: long ones have room, and the drawing fits a narrow screen.
        top = 6 + row * _TALL_ROW
        middle, end = top + 28, plane.x.at(one.auc_lost)
        made += [
            write(nought + 4, top + 15, shorten(one.feature, 46), "on-line"),
            element(
                "rect",
                class_="soft-first",
                x=min(nought, end),
                y=middle - 7,
                width=max(abs(end - nought), 0.5),
                height=14,
            ),
            plane.across(middle, one.auc_lost - one.spread, one.auc_lost + one.spread, "whisker"),
            write(
                plane.x.at(max(one.auc_lost, 0) + one.spread) + 8, middle + 4, figure(one.auc_lost, 4), "on-line strong"
            ),
        ]
    made.append(element("path", class_="frame", d=f"M{nought:.2f} 6V{height - 46:.2f}"))
    return drawing(
        WIDTH,
        height,
        "What the model leans on",
        "AUC lost when a column is shuffled: "
        + "; ".join(f"{one.feature} {figure(one.auc_lost, 4)}, spread {figure(one.spread, 4)}" for one in shown)
        + ".",
        *made,
    )


def draw_candidates(evaluations: tuple[Evaluation, ...], chosen: str) -> Element:
    """Draw each candidate's AUC, with its 95 % interval, against its speed (logarithmic)."""
    height = 320.0
    speeds = [max(one.rows_per_second, 1.0) for one in evaluations]
    ends = [end for one in evaluations for end in _auc_range(one)]
    room = max(max(ends) - min(ends), 0.001) * 0.12
    plane = Plane(
        Scale(min(speeds) * 0.7, max(speeds) * 1.45, 66, WIDTH - 20, log=True),
        Scale(min(ends) - room, min(max(ends) + room, 1.0), height - 46, 10),
    )
    speed_ticks = [value for power in range(9) for value in (10**power, 3 * 10**power)]
    made = axes(
        plane,
        [(value, count(value)) for value in speed_ticks if plane.x.low <= value <= plane.x.high],
        [(value, figure(value, 3)) for value in round_ticks(plane.y.low, plane.y.high)],
        "rows a second on one core (logarithmic)",
        "AUC",
    )
    places = [(plane.x.at(max(one.rows_per_second, 1.0)), plane.y.at(one.metrics.auc)) for one in evaluations]
    taken = [_Box(x - 8, y - 8, x + 8, y + 8) for x, y in places]
    # The winner's name finds its place first.
    for one, (x, y) in sorted(zip(evaluations, places, strict=True), key=lambda pair: pair[0].candidate != chosen):
        first = one.candidate == chosen
        made.append(
            plane.whisker(max(one.rows_per_second, 1.0), *_auc_range(one), "whisker" if first else "whisker other")
        )
        made.append(
            element("path", class_="fill-first", d=f"M{x:.2f} {y - 7:.2f}l7 7l-7 7l-7 -7z")
            if first
            else element("circle", class_="hollow", cx=x, cy=y, r=4.5)
        )
        text = f"{shorten(one.candidate, 24)} {figure(one.metrics.auc, 4)}"
        box = _free_place(x, y, len(text) * _LETTER, taken)
        taken.append(box)
        made.append(write(box.left, box.bottom - 4, text, "on-line label-first" if first else "on-line"))
    return drawing(
        WIDTH,
        height,
        "Candidates: AUC against speed",
        "; ".join(
            f"{one.candidate}{' (chosen)' if one.candidate == chosen else ''}: AUC {figure(one.metrics.auc, 4)}, "
            f"{count(one.rows_per_second)} rows a second"
            for one in evaluations
        )
        + ".",
        *made,
    )


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _free_place(x: float, y: float, width: float, taken: list[_Box]) -> _Box:
    """Find a place for a label beside a point, within the drawing and off what is taken; the least bad if none is."""
    places = [
        _Box(left, y + down - 9, left + width, y + down + 7)
        for down in (0, -16, 16, -30, 30, -44, 44)
        for left in (x + 11, x - 11 - width)
        if left >= 64 and left + width <= WIDTH - 2
    ]
    clear = (place for place in places if not any(place.meets(other) for other in taken))
    return next(clear, places[0] if places else _Box(64, y - 25, 64 + width, y - 9))


def draw_intervals(evaluation: Evaluation) -> Element:
    """Draw how far each metric may lie from its value: 95 % intervals as whiskers, on one scale for all."""
    values = msgspec.to_builtins(evaluation.metrics)
    rows = [
        (METRICS[name].name, values[name], values[name] - interval.low, interval.high - values[name])
        for name in METRICS
        if (interval := evaluation.intervals.get(name))
    ]
    height = len(rows) * _ROW + 52
    reach = max((max(below, above) for _, _, below, above in rows), default=0.0) * 1.15 or 0.01
    plane = Plane(Scale(-reach, reach, 186, WIDTH - 66), Scale(0, 1, height - 46, 6))
    made = axes(
        plane, [(tick, signed(tick, 3)) for tick in round_ticks(-reach, reach, 4)], [], "distance from the value", ""
    )
    nought = plane.x.at(0)
    made.append(element("path", class_="guess", d=f"M{nought:.2f} 6V{height - 46:.2f}"))
    for row, (name, value, below, above) in enumerate(rows):
        middle = 6 + (row + 0.5) * _ROW
        made += [
            write(178, middle + 4, name, "", "end"),
            plane.across(middle, -below, above, "whisker"),
            element("circle", class_="fill-first", cx=nought, cy=middle, r=3.5),
            write(WIDTH - 56, middle + 4, figure(value), "strong"),
        ]
    return drawing(
        WIDTH,
        height,
        f"Metrics of {evaluation.candidate} with 95 % intervals",
        "; ".join(
            f"{name} {figure(value)} from {figure(value - below)} to {figure(value + above)}"
            for name, value, below, above in rows
        )
        + ".",
        *made,
    )


def draw_gain(comparison: Comparison, challenger: str) -> Element:
    """Draw the gain in AUC over the champion with its interval, and where no gain would be."""
    height = 96.0
    reach = max(abs(comparison.gain.low), abs(comparison.gain.high), abs(comparison.auc_gain), 1e-4) * 1.25
    plane = Plane(Scale(-reach, reach, 30, WIDTH - 30), Scale(0, 1, height - 44, 10))
    ticks = [(value, signed(value, 4)) for value in round_ticks(-reach, reach, 6)]
    middle = (plane.y.start + plane.y.end) / 2
    return drawing(
        WIDTH,
        height,
        f"Gain of {challenger} over the champion {comparison.champion}",
        f"The gain in AUC is {signed(comparison.auc_gain)}, 95 % interval {signed(comparison.gain.low)} to "
        f"{signed(comparison.gain.high)}.",
        *axes(plane, ticks, [], "← champion better · difference in AUC · candidate better →", ""),
        element("path", class_="cut", d=f"M{plane.x.at(0):.2f} {plane.y.end:.2f}V{plane.y.start:.2f}"),
        plane.across(middle, comparison.gain.low, comparison.gain.high, "whisker"),
        element("circle", class_="fill-first", cx=plane.x.at(comparison.auc_gain), cy=middle, r=5),
    )


def draw_policy(policy: Policy, refer_score: float, decline_score: float) -> Element:
    """Draw the scale of points: its bands above, and below it what is declined, referred and accepted."""
    height = 150.0
    scale = Scale(policy.lowest_score, policy.highest_score, 24, WIDTH - 24)
    made = []
    end = float(policy.highest_score)
    for number, band in enumerate(policy.bands):
        left, right = scale.at(band.from_score), scale.at(end)
        kind = "soft-first" if number % 2 == 0 else "soft-third"
        made.append(element("rect", class_=kind, x=left, y=22, width=right - left, height=30))
        if right - left > 14:
            made.append(
                write((left + right) / 2, 42, shorten(band.name, max(int((right - left) / 8), 1)), "", "middle")
            )
        # Where bands are narrow, the table beside the drawing has the points.
        if right - left > 24:
            made.append(write(left, 14, count(band.from_score), "tick", "middle"))
        end = band.from_score
    made.append(write(scale.end, 14, count(policy.highest_score), "tick", "middle"))
    spans = (
        ("decline", float(policy.lowest_score), decline_score, "soft-second"),
        ("refer", decline_score, refer_score, "soft-third"),
        ("accept", refer_score, float(policy.highest_score), "soft-first"),
    )
    for text, low, high, kind in spans:
        left, right = scale.at(low), scale.at(high)
        made.append(element("rect", class_=kind, x=left, y=66, width=max(right - left, 0), height=34))
        if right - left > 48:
            made.append(write((left + right) / 2, 88, text, "strong", "middle"))
    for score, pd, left_of in ((decline_score, policy.decline_from, True), (refer_score, policy.refer_from, False)):
        place = scale.at(score)
        made.append(element("path", class_="cut", d=f"M{place:.2f} 60V108"))
        for down, text in ((122, f"pd {percent(pd)}"), (137, f"about {count(score)} points")):
            made.append(write(place + (-4 if left_of else 4), down, text, "tick", "end" if left_of else "start"))
    return drawing(
        WIDTH,
        height,
        "Points, bands and decisions",
        f"From {count(policy.lowest_score)} to {count(policy.highest_score)} points; declined below about "
        f"{count(decline_score)}, referred up to about {count(refer_score)}, accepted above.",
        *made,
    )


def _auc_range(evaluation: Evaluation) -> tuple[float, float]:
    interval = evaluation.intervals.get("auc")
    auc = evaluation.metrics.auc
    return (interval.low, interval.high) if interval else (auc, auc)
