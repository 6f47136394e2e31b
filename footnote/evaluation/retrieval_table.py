"""A retrieval evaluation on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from footnote.evaluation.metrics import MAIN_MEASURE, MEASURES
from footnote.terminal import clean, show

NAMES = {"ndcg@10": "nDCG@10", "mrr@10": "MRR@10", "recall@10": "recall@10", "recall@100": "recall@100"}
NAMES_SHOWN = 5


def table(console: Console, body: Mapping[str, Any]) -> None:
    """Every configuration on every set: figures, the difference from the default, milliseconds."""
    for one in body["sets"]:
        reference = reference_of(body, one)
        heading = f"{clean(one['name'])}: {one['queries']:,} questions"
        if one["documents"]:
            heading += f", {one['documents']:,} documents, {one['index']['chunks']:,} chunks"
        show(console, Text(heading, style="bold"))
        if console.is_terminal:
            _draw(console, one, reference)
        else:
            for row in _rows(one, reference):
                print("\t".join(row), file=console.file)
        for note in notes(one):
            show(console, Text(clean(note), style="yellow"))
        console.print()
    for name, lack in body["left_out"].items():
        show(console, Text(f"Left out: {clean(name)}, as {clean(lack)}.", style="dim"))


def notes(one: Mapping[str, Any]) -> list[str]:
    """What somebody must know who reads a set's figures."""
    said = []
    if unread := one.get("index", {}).get("unread"):
        said.append(f"Documents that hold nothing to index: {_few(list(unread))}.")
    if missing := one.get("expected_urls_not_indexed"):
        said.append(f"Expected URLs that are not indexed, so they count as not found: {_few(missing)}.")
    return said


def reference_of(body: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """The configuration that the others are compared with: the default, or else the last."""
    names = [configuration["name"] for configuration in one["configurations"]]
    return str(body["default"] if body["default"] in names else names[-1])


def difference_between(one: Mapping[str, Any], first: str, second: str) -> Mapping[str, Any] | None:
    """The paired difference ``first`` minus ``second`` in the main measure, None between a configuration and itself."""
    for known in one["differences"]:
        if (known["first"], known["second"]) == (first, second):
            return dict(known)
        if (known["first"], known["second"]) == (second, first):
            turned = {"mean": -known["mean"], "low": -known["high"], "high": -known["low"]}
            return {**known, **turned, "first": first, "second": second, "wins": known["losses"], "losses": known["wins"]}
    return None


def is_clear(difference: Mapping[str, Any]) -> bool:
    """Whether zero lies outside the interval."""
    return bool(difference["low"] > 0 or difference["high"] < 0)


def decimals(value: float, *, signed: bool = False) -> str:
    """Three decimals without the zero before the point, as the field writes them: ``.734``, ``−.012``, ``1.000``."""
    text = f"{abs(value):.3f}"
    sign = "" if float(text) == 0 else "−" if value < 0 else "+" if signed else ""
    return sign + (text[1:] if float(text) < 1 else text)


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _draw(console: Console, one: Mapping[str, Any], reference: str) -> None:
    header, *rows = _rows(one, reference)
    drawn = Table(box=None, pad_edge=False)
    for place, name in enumerate(header):
        drawn.add_column(Text(name), justify="left" if place == 0 else "right", no_wrap=place > 0)
    for row, configuration in zip(rows, one["configurations"], strict=True):
        drawn.add_row(*map(Text, row), style="bold" if configuration["name"] == reference else "")
    console.print(drawn)


def _rows(one: Mapping[str, Any], reference: str) -> list[list[str]]:
    header = ["", NAMES[MAIN_MEASURE], "95%", f"beside {reference}"]
    header += [NAMES[measure] for measure in MEASURES if measure != MAIN_MEASURE] + ["ms p50", "p95"]
    rows = [header]
    for configuration in one["configurations"]:
        measures = configuration["measures"]
        main = measures[MAIN_MEASURE]
        difference = difference_between(one, configuration["name"], reference)
        beside = ""
        if difference is not None:
            beside = decimals(difference["mean"], signed=True) + (" *" if is_clear(difference) else "  ")
        row = [configuration["name"], decimals(main["mean"]), f"{decimals(main['low'])}–{decimals(main['high'])}", beside]
        row += [decimals(measures[measure]["mean"]) for measure in MEASURES if measure != MAIN_MEASURE]
        rows.append([*row, f"{configuration['ms']['p50']:.0f}", f"{configuration['ms']['p95']:.0f}"])
    return rows
