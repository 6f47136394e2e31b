"""An answer evaluation on the terminal, and as an HTML report with every case to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from footnote.evaluation.markup import Html, tag
from footnote.evaluation.report_page import report
from footnote.terminal import clean, show

Body = Mapping[str, Any]
Row = tuple[str, str]

SIDE, EDGE = 300, 40  # of a plot, in pixels
STATES = ("grounded", "quoted", "abstained")


def table(console: Console, body: Body) -> None:
    """Each set's figures, one a line; tab-separated where nobody looks."""
    for one in body["sets"]:
        show(console, Text(clean(_heading(one)), style="bold"))
        for name, value in rows(one):
            show(console, Text(f"{name:<34}{value}" if console.is_terminal else f"{name}\t{value}"))
        console.print()


def rows(one: Body) -> list[Row]:
    """Names and figures of a set, for people."""
    refusal = one["refusal"]
    lines = [(f"refusal {name}", _share(refusal[name])) for name in ("precision", "recall", "f1")]
    lines.append(("answerable, but refused", f"{refusal['wrongly_refused']} of {one['answerable']}"))
    lines.append(("unanswerable, but answered", f"{refusal['wrongly_answered']} of {one['questions'] - one['answerable']}"))
    if one["gold_sentence_cited"]:
        lines.append(("gold sentence among the citations", _share(one["gold_sentence_cited"])))
    if one["answer_said"]:
        lines.append(("an expected answer is said", _share(one["answer_said"])))
    lines.append(("citations that don't resolve", f"{one['citations_unresolved']} of {one['citations']}"))
    lines.append(("states", ", ".join(f"{one['states'].get(state, 0)} {state}" for state in STATES)))
    lines.append(("calibration error (ECE)", f"{one['calibration']['ece']:.3f}"))
    lines += [(f"{stage}, ms", f"{ms['p50']:.0f} (p95 {ms['p95']:.0f})") for stage, ms in one["ms"].items()]
    return lines


def page(body: Body) -> str:
    """The report as one self-contained file."""
    questions = sum(one["questions"] for one in body["sets"])
    return report(
        title="Whether answers hold",
        lead=f"{questions:,} questions, each asked as the service answers it; every case is below.",
        sections=[_section(one) for one in body["sets"]],
        body=body,
    )


def _section(one: Body) -> Html:
    figures = [tag("tr", tag("th", name, scope="row"), tag("td", value, class_="figure")) for name, value in rows(one)]
    bins = one["calibration"]["bins"]
    return tag(
        "section",
        tag("h2", _heading(one)),
        tag("table", tag("tbody", figures)),
        tag("h3", "Calibration: how often the pages do answer, by confidence"),
        _plot([(each["confidence"], each["answerable"]) for each in bins], x="confidence", y="answerable", diagonal=True),
        tag("h3", "Risk and coverage: if only the most confident were answered"),
        _plot([(each["coverage"], each["risk"]) for each in one["risk_coverage"]], x="share answered", y="of them unanswerable"),
        tag("h3", "Every case"),
        [_case(case) for case in sorted(one["cases"], key=lambda case: (case["right"], -case["confidence"]))],
    )


def _case(case: Body) -> Html:
    kind = "answerable" if case["answerable"] else "unanswerable"
    head = f"{'✓' if case['right'] else '✗'} {case['question']} — {kind}, {case['state']}, {case['confidence']:.2f}"
    return tag(
        "details",
        tag("summary", head),
        tag("p", case["answer"]),
        [tag("blockquote", quote["quote"], tag("br"), tag("small", quote["url"])) for quote in case["quotes"]],
        [tag("p", tag("small", f"Wanted: {wanted}")) for wanted in case["wanted"]],
    )


def _plot(points: Sequence[tuple[float, float]], *, x: str, y: str, diagonal: bool = False) -> Html:
    """Both axes from 0 to 1."""

    def place(value: tuple[float, float]) -> tuple[float, float]:
        return round(EDGE + value[0] * SIDE, 1), round(EDGE / 2 + (1 - value[1]) * SIDE, 1)

    (left, bottom), (right, top) = place((0, 0)), place((1, 1))
    dots = [
        tag("circle", tag("title", f"{x} {at[0]:.2f}, {y} {at[1]:.2f}"), cx=place(at)[0], cy=place(at)[1], r=4) for at in points
    ]
    return tag(
        "svg",
        tag("title", f"{y} against {x}"),
        tag("line", x1=left, y1=bottom, x2=right, y2=bottom, class_="axis"),
        tag("line", x1=left, y1=bottom, x2=left, y2=top, class_="axis"),
        tag("line", x1=left, y1=bottom, x2=right, y2=top, class_="grid") if diagonal else None,
        tag("polyline", points=" ".join(f"{px},{py}" for px, py in map(place, points)), class_="front"),
        [tag("text", f"{tick:g}", x=place((tick, 0))[0], y=bottom + 16, class_="tick middle") for tick in (0, 0.5, 1)],
        [tag("text", f"{tick:g}", x=left - 6, y=place((0, tick))[1] + 4, class_="tick end") for tick in (0.5, 1)],
        tag("text", x, x=right, y=bottom + 32, class_="axis-label end"),
        tag("text", y, x=left + 6, y=top + 4, class_="axis-label"),
        dots,
        viewBox=f"0 0 {SIDE + 2 * EDGE} {SIDE + 2 * EDGE}",
        width=SIDE + 2 * EDGE,
        role="img",
        class_="chart",
    )


def _heading(one: Body) -> str:
    phrased = one["model"] or "no model: quotes alone"
    return f"{one['name']}: {one['questions']:,} questions, {one['answerable']:,} answerable; {phrased}"


def _share(value: Mapping[str, float]) -> str:
    return f"{value['mean']:.1%} ({value['low']:.1%}–{value['high']:.1%})"
