"""Charts as inline SVG. Colours are classes of ``report.css``, so that they follow the light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from footnote.evaluation.markup import Html, tag

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 56, 176, 16, 46
LABEL_GAP = 17
TICKS_MS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


@dataclass(frozen=True, slots=True)
class Point:
    """``x`` in milliseconds; ``y`` with its interval."""

    label: str
    x: float
    y: float
    low: float
    high: float
    is_reference: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.begin + share * (self.end - self.begin), 1)


def quality_against_cost(points: Sequence[Point], *, identifier: str, x_label: str, y_label: str) -> Html:
    """A point for each configuration: cost to the right on a logarithmic axis, quality upwards with its interval. The line
    joins those that nothing cheaper is better than."""
    spent = [max(point.x, 0.05) for point in points]
    first = max((tick for tick in TICKS_MS if tick <= min(spent)), default=TICKS_MS[0])
    last = min((tick for tick in TICKS_MS if tick >= max(spent)), default=TICKS_MS[-1])
    x = Scale(math.log10(first), math.log10(last if last > first else first * 2), LEFT + 14, WIDTH - RIGHT)
    ticks = _round_ticks(min(point.low for point in points), max(point.high for point in points))
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    drawn: list[Html] = []
    for tick in ticks:
        drawn.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT + 14, y1=y(tick), y2=y(tick), class_="grid"))
        drawn.append(tag("text", f"{tick:.2f}", x=LEFT - 8, y=y(tick) + 4, class_="tick end"))
    for milliseconds in (tick for tick in TICKS_MS if first <= tick <= last):
        place = x(math.log10(milliseconds))
        drawn.append(tag("line", x1=place, x2=place, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 5, class_="axis"))
        drawn.append(tag("text", f"{milliseconds:g}", x=place, y=HEIGHT - BOTTOM + 19, class_="tick middle"))
    drawn.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT + 14, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="axis"))
    drawn.append(tag("text", x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="axis-label middle"))
    front = [f"{x(math.log10(max(point.x, 0.05)))},{y(point.y)}" for point in _best_for_their_cost(points)]
    drawn.append(tag("polyline", points=" ".join(front), class_="front"))
    labels = _spread_out([y(point.y) for point in points], low=TOP + 6, high=HEIGHT - BOTTOM - 4)
    for point, label_y in zip(points, labels, strict=True):
        drawn += _point(point, x(math.log10(max(point.x, 0.05))), y, label_y)
    summary = "; ".join(f"{point.label} {point.y:.3f} at {point.x:.0f} ms" for point in points)
    return tag(
        "svg",
        tag("title", f"{y_label} against {x_label}", id=f"{identifier}-title"),
        tag("desc", summary, id=f"{identifier}-desc"),
        drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{identifier}-title {identifier}-desc",
        class_="chart",
    )


def interval(low: float, mean: float, high: float, *, scale: tuple[float, float], is_reference: bool = False) -> Html:
    """One row of a forest plot: a dot with its whiskers, on the same scale as the rows above and below. The figures stand
    beside it, so it is hidden from screen readers."""
    x = Scale(scale[0], scale[1], 4, 156)
    kind = "reference" if is_reference else "plain"
    return tag(
        "svg",
        tag("line", x1=0, x2=160, y1=10, y2=10, class_="grid"),
        tag("line", x1=x(low), x2=x(high), y1=10, y2=10, class_=f"whisker {kind}"),
        tag("circle", cx=x(mean), cy=10, r=4.5, class_=f"dot {kind}"),
        viewBox="0 0 160 20",
        aria_hidden="true",
        class_="interval",
    )


def _point(point: Point, x: float, y: Scale, label_y: float) -> list[Html]:
    kind = "reference" if point.is_reference else "plain"
    label_x = WIDTH - RIGHT + 26
    return [
        tag("line", x1=x, x2=x, y1=y(point.low), y2=y(point.high), class_=f"whisker {kind}"),
        tag("polyline", points=f"{x + 7},{y(point.y)} {label_x - 10},{label_y} {label_x - 4},{label_y}", class_="leader"),
        tag(
            "circle",
            tag("title", f"{point.label}: {point.y:.3f}, {point.x:.1f} ms"),
            cx=x,
            cy=y(point.y),
            r=6,
            class_=f"dot {kind}",
        ),
        tag("text", point.label, x=label_x, y=label_y + 4, class_=f"label {kind}"),
    ]


def _best_for_their_cost(points: Sequence[Point]) -> list[Point]:
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.x, -one.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front


def _spread_out(places: Sequence[float], *, low: float, high: float) -> list[float]:
    """Label positions near ``places`` that don't overlap, all between ``low`` and ``high``."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = dict.fromkeys(order, 0.0)
    floor = low
    for index in order:
        moved[index] = floor = max(places[index], floor)
        floor += LABEL_GAP
    ceiling = high
    for index in reversed(order):
        moved[index] = ceiling = min(moved[index], ceiling)
        ceiling -= LABEL_GAP
    return [round(moved[index], 1) for index in range(len(places))]


def _round_ticks(low: float, high: float) -> list[float]:
    """About five round values that take in both ends."""
    step = next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / step <= 6), 0.2)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 2) for number in range(first, max(last, first + 1) + 1)]
