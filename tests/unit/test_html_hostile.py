"""Markup that was made to cost time, memory or text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.model import ContentSelectors
from ingest.extract.document import extract
from tests.unit.test_extract import FILLER, read
from tests.unit.written import written

MANY, DEEP = 20_000, 3_000
COSTLY = {
    "struck out within struck out": "<p>" + "<del>a " * MANY,
    "raised within raised": "<p>" + "<sup>a " * MANY,
    "many raised": "<p>" + "x<sup>2</sup>" * MANY,
    "many lowered": "<p>" + "1<sub>2</sub>" * MANY,
    "many marks of notes": "<p>" + "x<sup><a href='#a'>1</a></sup>" * MANY,
    "a page within struck out": "<del>" + "<p>a</p>" * MANY,
    "tables within cells": "<table><tr><th>a<td>" * DEEP,
    "layout within cells": "<table><tr><td>a<td>" * DEEP,
    "tables by role within cells": "<div role=table><div role=row><div role=cell>a</div><div role=cell>" * DEEP,
    "100,000 cells": "<table><tr><th>a<th>b" + ("<tr>" + "<td>a" * 5) * MANY + "</table>",
    "100,000 cells in a row": "<table><tr><th>a<tr>" + "<td>a" * 5 * MANY + "</table>",
    "cells over all columns and rows": "<table><tr><th>a<tr>" + "<td colspan=999999 rowspan=999>a" * MANY + "</table>",
    "cells over all rows": "<table><tr>" + ("<th rowspan=60000>" + "y" * 190) * 64 + "<tr><td>a" * 3 * MANY + "</table>",
    "headings in a cell": "<table><tr><th>a<tr><td>" + "<h2>a</h2>" * MANY,
    "icons in cells": "<table><tr><th>a<tr>" + "<td><svg><title>a</title></svg>" * MANY,
    "icons within icons": "<table><tr><th>a<tr><td>" + "<i title=''>" * DEEP,
    "blank items within items": "<ul><li><img>" * DEEP,
    "items within items": "<ol type=i><li>a" * DEEP,
    "many items": "<ol type=i>" + "<li>a" * MANY,
    "boxes": "<ul>" + "<li><input type=checkbox>a" * MANY,
    "inputs before a label": "<p>" + "<input><label></label>" * MANY + "<input>" * MANY + "<label>a</label>",
    "buttons": "<button aria-expanded=true>a</button>" * MANY,
    "terms": "<dl>" + "<dt>a" * MANY,
    "readings within readings": "<p>" + "<ruby>a<rt>b" * DEEP,
    "formulas within formulas": "<math>" + "<mrow>" * DEEP + "<mi>a",
    "line numbers within line numbers": "<div class=line-numbers>1" * DEEP + "<pre>" + "<span class=line-numbers>1" * DEEP + "a",
    "frames of code within frames": "<div class=highlight>" * DEEP + "a",
    "lines of code": "<pre>" + "<span class=line>a</span>" * MANY + "</pre>",
    "labels of code": "<div>" + "<span class=lang>a</span>" * MANY + "<pre>x</pre></div>",
}


WIDE, NEST = 12_000, 390
COSTLY_PAGES = {
    "unseen text that may stand for a picture": "<table><tr><td>" + "<b class=sr-only>a</b>" * WIDE,
    "text between unseen elements": "<p>" + "<i hidden></i>a " * 4 * WIDE,
    "unseen elements after each other": "<i hidden></i>" * 4 * WIDE,
    "permalinks around the page": "<div class=headerlink>" * NEST + "<b>a</b> " * WIDE,
    "headings within headings": "<h1><div>" * (NEST // 2) + "<b>a</b> " * WIDE,
    "headings and a long title": "<title>" + "a bc " * 10 * WIDE + "</title>" + "<h1>a b c</h1>" * WIDE,
    "headings in headers in headers": "<header>" * NEST + "<h1>a</h1>" * WIDE,
    "documents by name, deep down": "<div>" * NEST + "<div class=sect1>a</div>" * WIDE,
    "cells over many rows and columns": "<table>" + "<tr><td colspan=99 rowspan=99>a<td>b" * WIDE,
    "rows in tables in tables": "<table><tr><td>" * 90 + "<table><tr><th>a<tr><td>b</table>" * (WIDE // 3),
    "marks in two orders": "<p>a" + "\u0301\u0323" * 2 * WIDE,
    "formatting that is never closed": "".join(f"<p><b id=b{i}>a b</p>" for i in range(WIDE // 3)),
    "options": "<select>" + "<option>a" * 4 * WIDE + "</select>",
    "tags without an end": FILLER + "<a " * 8 * WIDE,
    "noscript within noscript": "<div><noscript>" * (NEST // 2) + "<p>a b</p>" * WIDE,
    "shadow roots of one host": "<div>" + "<template shadowrootmode=open><slot></slot></template>a" * WIDE,
    "shadow roots within each other": "<div><template shadowrootmode=open>" * (NEST // 2) + "<slot>a</slot>" * WIDE,
}


@pytest.mark.parametrize("markup", COSTLY_PAGES.values(), ids=COSTLY_PAGES)
def test_time_is_linear_in_the_page(markup: str) -> None:
    begun = time.process_time()
    read(f"{markup}{FILLER}")
    assert time.process_time() - begun < 8


def test_time_is_linear_in_what_selectors_match() -> None:
    markup = f"<body>{FILLER}" + "<p>a</p><div>b</div>" * WIDE
    begun = time.process_time()
    kept = extract(
        markup.encode(), url="http://a.test/", content_type="text/html", charset="utf-8", selectors=ContentSelectors(keep=("p",))
    )
    assert time.process_time() - begun < 8
    assert kept.page.text.count("\n\na") == WIDE


@pytest.mark.parametrize("markup", COSTLY.values(), ids=COSTLY)
def test_time_is_linear_in_the_markup(markup: str) -> None:
    begun = time.process_time()
    written(markup)
    assert time.process_time() - begun < 6  # of these, what is quadratic takes minutes


@pytest.mark.parametrize(
    "opening", ["<table><tr><td>a<td>", "<table><tr><th>a<td>", "<ul><li>a ", "<dl><dt>a<dd>a ", "<del>a ", "<pre>a "]
)
def test_no_text_is_lost_to_depth(opening: str) -> None:
    assert len(re.findall(r"\ba\b", written(opening * DEEP))) == DEEP * opening.count(">a")


TAGS = re.findall(
    r"\w+",
    "table tr td th thead tbody tfoot caption ul ol li dl dt dd div p span a b sup sub del s h3 pre code blockquote figure ruby"
    " details summary br label math mi msup section",
)
PIECES = st.lists(st.one_of(st.sampled_from(TAGS), st.sampled_from(TAGS).map("/{}".format), st.just("")), max_size=40)


@settings(max_examples=400, deadline=None)
@given(PIECES)
def test_no_word_is_lost_to_any_nesting(pieces: list[str]) -> None:
    """Each word stands in the text once or more (cells over several rows repeat), whatever elements are around it."""
    markup = "".join(f" word{i} " if not piece else f"<{piece}>word{i}x" for i, piece in enumerate(pieces))
    text = written(markup)
    assert not [word for word in re.findall(r"word\d+x?", markup) if word not in text]
