"""Markup that was made to cost time, memory or text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
