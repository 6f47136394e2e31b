"""A line plot as a self-contained SVG, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50  # margins; the curves' names stand in the right one
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # told apart by the colour-blind too
NAME_PX = 16  # least distance between two names


@dataclass(frozen=True, slots=True)
class Curve:
    """``points``: (x, y), both above zero, by ascending x."""

    name: str
    points: Sequence[tuple[float, float]]


def line_plot(curves: Sequence[Curve], *, title: str, x_label: str, y_label: str) -> str:
    """The picture, readable on light and dark grounds."""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    x_axis = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_axis = _Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="{TOP - 16}" font-size="16">{escape(title)}, {escape(y_label)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>',
    ]
    for x in x_axis.decades:
        at = x_axis.px(x)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,g}</text>')
    for y in y_axis.decades:
        at = y_axis.px(y)
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{y:,g}</text>')
    coloured = [(curve, COLOURS[number % len(COLOURS)]) for number, curve in enumerate(curves)]
    for curve, colour in coloured:
        line = " ".join(f"{x_axis.px(x):.1f},{y_axis.px(y):.1f}" for x, y in curve.points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x_axis.px(x):.1f}" cy="{y_axis.px(y):.1f}" r="3" fill="{colour}"/>' for x, y in curve.points]
    below = -math.inf
    for curve, colour in sorted(coloured, key=lambda one: y_axis.px(one[0].points[-1][1])):
        below = max(below + NAME_PX, y_axis.px(curve.points[-1][1]) + 4)  # names don't cover each other
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{below:.1f}" fill="{colour}">{escape(curve.name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


class _Axis:
    """From values, widened to whole powers of ten, to pixels."""

    def __init__(self, least: float, most: float, first_px: float, last_px: float) -> None:
        self._low = math.floor(math.log10(least))
        self._high = max(self._low + 1, math.ceil(math.log10(most)))
        self._first_px, self._last_px = first_px, last_px

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]

    def px(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._first_px + share * (self._last_px - self._first_px)
