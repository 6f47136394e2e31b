"""The report is one file that needs nothing from elsewhere, and what strangers wrote can do nothing in it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re

import pytest
from lxml import html
from rich.console import Console

from footnote.evaluation import charts
from footnote.evaluation.markup import data, tag
from footnote.evaluation.progress import Progress, pace
from footnote.evaluation.retrieval_report import page
from footnote.evaluation.retrieval_table import decimals, difference_between, table
from tests.unit.evaluations import evaluation


@pytest.mark.parametrize("sets", [1, 3])
def test_nothing_that_strangers_wrote_is_markup(sets: int) -> None:
    written = page(evaluation(sets=sets))
    tree = html.document_fromstring(written)
    assert len(tree.findall(".//script")) == 2
    assert not tree.findall(".//img")
    assert not tree.xpath("//@onerror | //@onclick | //@onload")
    assert "\x1b" not in written
    found = json.loads(tree.get_element_by_id("evaluation").text)
    assert found["sets"][0]["questions"][0]["text"].startswith("First? </script>")
    assert len(found["sets"]) == sets


def test_it_loads_nothing_and_runs_no_other_script_than_its_own() -> None:
    written = page(evaluation())
    tree = html.document_fromstring(written)
    assert not tree.xpath("//@src | //@href | //link | //iframe | //object | //form")
    assert "url(" not in written
    assert "@import" not in written
    policy = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    script = tree.xpath("//script[not(@type)]")[0].text
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_it_says_what_was_measured() -> None:
    tree = html.document_fromstring(page(evaluation(hostile="")))
    rows = {
        row.xpath("string(th/span)"): row
        for row in tree.xpath("//section[2]//tbody/tr | //section[1]//tbody/tr")
        if row.xpath("th/span")
    }
    assert [cell.text_content() for cell in rows["maxsim"].xpath("td")][:2] == ["1.000", "1.000–1.000"]
    assert rows["maxsim"].get("class") == "reference"
    assert "1 / 2" not in rows["bm25"].text_content()
    assert "0 / 2" in rows["bm25"].text_content()
    for image in tree.xpath("//*[@role='img']"):
        titled = image.get("aria-labelledby").split()
        assert all(tree.get_element_by_id(one).text for one in titled)
    assert "--seed" not in tree.text_content()
    assert "seed 1" in tree.text_content()


def test_the_table_for_terminals_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    table(Console(markup=False, highlight=False, emoji=False), evaluation())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("set0 </script>")
    assert not any("\x1b" in line for line in lines)
    assert [line.split("\t")[0] for line in lines if "\t" in line] == ["", "bm25", "maxsim"]
    assert any(line.startswith("Left out: dense") for line in lines)


def test_differences_are_known_both_ways() -> None:
    [one] = evaluation(hostile="")["sets"]
    there, back = difference_between(one, "maxsim", "bm25"), difference_between(one, "bm25", "maxsim")
    assert there is not None
    assert back is not None
    assert (there["wins"], there["losses"]) == (back["losses"], back["wins"]) == (2, 0)
    assert there["mean"] == -back["mean"] > 0
    assert (there["low"], there["high"]) == (-back["high"], -back["low"])
    assert difference_between(one, "bm25", "bm25") is None


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [(0.7341, False, ".734"), (1.0, False, "1.000"), (0.0, False, ".000"), (-0.0001, True, ".000"), (0.05, True, "+.050"),
     (-0.05, True, "−.050"), (0.9996, False, "1.000")],
)  # fmt: skip
def test_decimals(value: float, signed: bool, text: str) -> None:
    assert decimals(value, signed=signed) == text


def test_labels_of_a_chart_never_overlap() -> None:
    points = [charts.Point(f"c{number}", 10.0 + number / 10, 0.7 + number / 1e4, 0.65, 0.75) for number in range(8)]
    drawn = html.fragment_fromstring(str(charts.quality_against_cost(points, identifier="x", x_label="ms", y_label="nDCG")))
    places = sorted(
        float(label.get("y")) for label in drawn.xpath("//*[contains(@class, 'label') and not(contains(@class, 'axis'))]")
    )
    assert len(places) == 8
    assert all(below - above >= charts.LABEL_GAP - 0.2 for above, below in itertools.pairwise(places))
    assert 0 < places[0] < places[-1] < charts.HEIGHT


@pytest.mark.parametrize("cost_ms", [0.0, 0.003, 7.0, 99_999.0])
def test_a_chart_of_one_point_at_any_cost(cost_ms: float) -> None:
    drawn = str(
        charts.quality_against_cost([charts.Point("a", cost_ms, 1.0, 1.0, 1.0)], identifier="x", x_label="ms", y_label="q")
    )
    assert not re.search(r"nan|inf", drawn)


def test_markup_is_only_what_was_made_as_markup() -> None:
    assert str(tag("p", "<b>", tag("b", "&"), None, [1, "x"], class_="a", hidden=True, title='"')) == (
        '<p class="a" hidden title="&quot;">&lt;b&gt;<b>&amp;</b>1x</p>'
    )
    assert "</script" not in str(data("x", {"</script>": "<!--\ud800"}))[:-9]


def test_progress_off_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = Progress(clock=lambda: now)
    with progress.counting("harbour: embedding", total=100, unit="chunks") as advance:
        advance(10)
        now = 11.0
        advance(10)
        advance(10)
    assert capsys.readouterr().err.splitlines() == ["harbour: embedding: 20 of 100 chunks, 1.8 chunks/s, 0:00:44 left"]
    assert pace(0, 10, 1.0, "chunks") == ""
