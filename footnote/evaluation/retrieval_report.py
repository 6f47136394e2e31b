"""The HTML report of a retrieval evaluation: figures with intervals, quality against cost, wins and losses by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from footnote.evaluation.charts import Point, interval, quality_against_cost
from footnote.evaluation.markup import Html, data, tag
from footnote.evaluation.metrics import MAIN_MEASURE, MEASURES
from footnote.evaluation.report_page import report
from footnote.evaluation.retrieval_table import NAMES, decimals, difference_between, is_clear, notes, reference_of
from footnote.terminal import clean

Body = Mapping[str, Any]


def page(body: Body) -> str:
    """The report as one self-contained file."""
    sets = body["sets"]
    sections = [_overview(body)] if len(sets) > 1 else []
    sections += [_section(body, one, number) for number, one in enumerate(sets)]
    sections.append(_comparison())
    questions = sum(one["queries"] for one in sets)
    lead = f"{questions:,} questions on {_count(len(sets), 'set')}, each asked in {_count(_most(sets), 'configuration')}."
    return report(
        title="How well search finds what answers a question",
        lead=lead,
        sections=sections,
        body=body,
        script="compare.js",
        data=data("evaluation", _for_script(body)),
    )


def _overview(body: Body) -> Html:
    """One row a configuration, one column a set."""
    sets = body["sets"]
    names: dict[str, str] = {one["name"]: one["title"] for each in sets for one in each["configurations"]}
    head = tag(
        "tr", tag("th", "Configuration", scope="col"), [tag("th", one["name"], scope="col", class_="figure") for one in sets]
    )
    best = [max(one["measures"][MAIN_MEASURE]["mean"] for one in each["configurations"]) for each in sets]
    rows = []
    for name, title in names.items():
        cells = []
        for each, highest in zip(sets, best, strict=True):
            found = next((one for one in each["configurations"] if one["name"] == name), None)
            if found is None:
                cells.append(tag("td", "—", class_="figure"))
                continue
            main = found["measures"][MAIN_MEASURE]
            figure = tag("strong", decimals(main["mean"])) if main["mean"] == highest else decimals(main["mean"])
            cells.append(tag("td", figure, tag("small", f"{decimals(main['low'])}–{decimals(main['high'])}"), class_="figure"))
        rows.append(
            tag("tr", tag("th", _title(name, title), scope="row"), cells, class_="reference" if name == body["default"] else None)
        )
    return tag(
        "section",
        tag("h2", "At a glance"),
        _scrolling(
            tag(
                "caption",
                f"{NAMES[MAIN_MEASURE]} with its 95% interval. The best of each set is bold; the tinted row is the default.",
            ),
            tag("thead", head),
            tag("tbody", rows),
        ),
    )


def _section(body: Body, one: Body, number: int) -> Html:
    reference = reference_of(body, one)
    points = [
        Point(
            label=configuration["name"],
            x=configuration["ms"]["p50"],
            y=configuration["measures"][MAIN_MEASURE]["mean"],
            low=configuration["measures"][MAIN_MEASURE]["low"],
            high=configuration["measures"][MAIN_MEASURE]["high"],
            is_reference=configuration["name"] == reference,
        )
        for configuration in one["configurations"]
    ]
    chart = quality_against_cost(
        points, identifier=f"cost-{number}", x_label="milliseconds a question, median", y_label=NAMES[MAIN_MEASURE]
    )
    return tag(
        "section",
        tag("h2", one["name"]),
        tag("p", _facts(one), class_="lead"),
        [tag("p", note, class_="note") for note in notes(one)],
        tag(
            "figure",
            chart,
            tag(
                "figcaption",
                f"{NAMES[MAIN_MEASURE]} (upwards, with 95% intervals) against the median time of a question. The dashed line "
                "joins those that nothing cheaper is better than.",
            ),
        ),
        _table(one, reference),
        tag("details", tag("summary", "Every pair, and where the time goes"), _pairs(one), _stages(one)),
    )


def _facts(one: Body) -> str:
    said = [_count(one["queries"], "question")]
    if one["documents"]:
        said += [_count(one["documents"], "document"), _count(one["index"]["chunks"], "chunk")]
        said.append(f"embedded by {one['index']['stamp']['embedder']['name']}")
    else:
        said.append(f"asked of the collection {one['collection']}")
    if left := one["queries_without_relevant_documents"]:
        said.append(f"{left:,} without a relevant document not counted")
    return ", ".join(said) + "."


def _table(one: Body, reference: str) -> Html:
    others = [measure for measure in MEASURES if measure != MAIN_MEASURE]
    columns = [NAMES[MAIN_MEASURE], "95% interval", f"beside {reference}", "better / worse"]
    columns += [NAMES[measure] for measure in others] + ["ms, median / 95th"]
    mains = [configuration["measures"][MAIN_MEASURE] for configuration in one["configurations"]]
    scale = (min(main["low"] for main in mains), max(main["high"] for main in mains))
    rows = []
    for configuration, main in zip(one["configurations"], mains, strict=True):
        is_reference = configuration["name"] == reference
        difference = difference_between(one, configuration["name"], reference)
        drawn = interval(main["low"], main["mean"], main["high"], scale=scale, is_reference=is_reference)
        rows.append(
            tag(
                "tr",
                tag("th", _title(configuration["name"], configuration["title"]), scope="row"),
                tag("td", decimals(main["mean"]), class_="figure main"),
                tag("td", drawn, tag("small", f"{decimals(main['low'])}–{decimals(main['high'])}"), class_="figure"),
                _difference_cells(difference),
                [tag("td", decimals(configuration["measures"][measure]["mean"]), class_="figure") for measure in others],
                tag("td", _spread(configuration["ms"]), class_="figure"),
                class_="reference" if is_reference else None,
            )
        )
    head = tag("tr", tag("th", "Configuration", scope="col"), [tag("th", name, scope="col", class_="figure") for name in columns])
    caption = (
        "Differences are paired, question by question; a mark and colour say that zero lies outside their 95% interval. "
        f"All are compared with {reference}."
    )
    return _scrolling(tag("caption", caption), tag("thead", head), tag("tbody", rows))


def _difference_cells(difference: Body | None) -> list[Html]:
    if difference is None:
        return [tag("td", "—", class_="figure"), tag("td", "—", class_="figure")]
    return [
        tag("td", _verdict(difference), class_="figure"),
        tag("td", f"{difference['wins']:,} / {difference['losses']:,}", class_="figure"),
    ]


def _verdict(difference: Body) -> Html:
    sign = "better" if difference["mean"] > 0 else "worse"
    kind = f"{sign} clear" if is_clear(difference) else "even"
    label = f"95% interval {decimals(difference['low'], signed=True)} to {decimals(difference['high'], signed=True)}"
    return tag(
        "span",
        decimals(difference["mean"], signed=True),
        tag("small", f"{decimals(difference['low'], signed=True)} … {decimals(difference['high'], signed=True)}"),
        class_=f"verdict {kind}",
        title=label,
    )


def _pairs(one: Body) -> Html:
    names = [configuration["name"] for configuration in one["configurations"]]
    head = tag("tr", tag("td"), [tag("th", name, scope="col", class_="figure") for name in names])
    rows = []
    for first in names:
        found = [difference_between(one, first, second) for second in names]
        cells = [tag("td", _verdict(each) if each else "·", class_="figure") for each in found]
        rows.append(tag("tr", tag("th", first, scope="row"), cells))
    caption = f"{NAMES[MAIN_MEASURE]} of the row less that of the column, with the 95% interval."
    return _scrolling(tag("caption", caption), tag("thead", head), tag("tbody", rows))


def _stages(one: Body) -> Html:
    stages = list(dict.fromkeys(stage for configuration in one["configurations"] for stage in configuration["stages_ms"]))
    head = tag(
        "tr", tag("th", "Configuration", scope="col"), [tag("th", stage, scope="col", class_="figure") for stage in stages]
    )
    rows = []
    for configuration in one["configurations"]:
        spent = [configuration["stages_ms"].get(stage) for stage in stages]
        cells = [tag("td", _spread(each) if each else "—", class_="figure") for each in spent]
        rows.append(tag("tr", tag("th", configuration["name"], scope="row"), cells))
    caption = "Milliseconds of each stage, median / 95th percentile. Dense and lexical search run side by side."
    return _scrolling(tag("caption", caption), tag("thead", head), tag("tbody", rows))


def _comparison() -> Html:
    """Filled by the script, for any two configurations."""
    return tag(
        "section",
        tag("h2", "Question by question", id="questions"),
        tag(
            "noscript",
            tag(
                "p", "Comparing question by question needs scripts, which are off. All figures above are complete.", class_="note"
            ),
        ),
        tag("div", id="comparison", hidden=True),
    )


def _for_script(body: Body) -> dict[str, Any]:
    return {
        "measure": NAMES[MAIN_MEASURE],
        "sets": [
            {
                "name": one["name"],
                "reference": reference_of(body, one),
                "configurations": [[each["name"], each["title"]] for each in one["configurations"]],
                "questions": [
                    {
                        "text": clean(question["text"]),
                        "relevant": sorted(question["relevant"].items(), key=lambda item: -item[1]),
                        "found": {
                            name: [round(found["measures"][MAIN_MEASURE], 4), found["ranking"]]
                            for name, found in question["found"].items()
                        },
                    }
                    for question in one["by_query"]
                ],
                "texts": {name: [clean(text["title"]), clean(text["text"])] for name, text in one["texts"].items()},
            }
            for one in body["sets"]
        ],
    }


def _scrolling(*content: Html) -> Html:
    """A table that scrolls by itself where it is wider than the screen; it can be reached by keyboard for that."""
    return tag("div", tag("table", content), class_="scrolling", tabindex="0", role="region", aria_label="Table")


def _title(name: str, title: str) -> list[Html]:
    return [tag("span", name, class_="name"), tag("small", title)]


def _spread(ms: Body) -> str:
    return " / ".join(f"{ms[share]:.1f}" if ms[share] < 10 else f"{ms[share]:,.0f}" for share in ("p50", "p95"))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _most(sets: Sequence[Body]) -> int:
    return max(len(one["configurations"]) for one in sets)
