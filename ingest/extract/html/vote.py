"""Asks trafilatura which text of a page is its article, unless the page is made so that the answer would take too long."""

from __future__ import annotations

import trafilatura
from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.elements import found, integer
from ingest.extract.page_text import has_surplus_marks

# What trafilatura takes time for that grows with the square of it: it looks at all text under an element once for each that is
# around it, fills in each place that a cell spans, and normalises text with however many combining marks in a row.
_DEEP = 100
_MAX_DEEP_ELEMENTS = 1_000
_MAX_SPANNED = 100_000
_MAX_SPAN = 1_000
_SPANNING = etree.XPath(".//*[@colspan or @rowspan]")


def article_text(body: HtmlElement) -> str | None:
    """The text of the page's article; empty if trafilatura finds none, None if it is not to be asked."""
    if _deep_elements(body) > _MAX_DEEP_ELEMENTS or _spanned(body) > _MAX_SPANNED or has_surplus_marks("".join(body.itertext())):
        return None
    return trafilatura.extract(body.getroottree().getroot(), include_comments=False, fast=True) or ""


def _deep_elements(body: HtmlElement) -> int:
    deep = depth = 0
    for event, _ in etree.iterwalk(body, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deep += event == "start" and depth > _DEEP
    return deep


def _spanned(body: HtmlElement) -> int:
    """The places in tables that cells span."""
    return sum(_span(cell, "colspan") * _span(cell, "rowspan") for cell in found(_SPANNING, body))


def _span(cell: HtmlElement, name: str) -> int:
    return max(1, min(_MAX_SPAN, integer(cell.get(name), default=1)))
