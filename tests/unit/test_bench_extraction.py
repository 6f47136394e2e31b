"""The pure parts of the extraction benchmarks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from lxml import html
from lxml.html import HtmlElement

from bench.errors import BenchError
from bench.extraction import articles, dump, manuals
from bench.extraction.extractors import OURS, Run
from bench.extraction.generators import GENERATORS, generator_of
from bench.extraction.measures import Overlap, Score, differences, matched, overlap, runs_of, score, words_of
from bench.extraction.visible_text import (
    code_of,
    flat,
    path_of,
    places_of,
    rows_of,
    stands_as_code,
    stored_lines,
    unmarked,
    words_under,
)
from bench.survival import Survival, expected_code, expected_rows, section, stands_in


def tree(markup: str) -> HtmlElement:
    return html.document_fromstring(markup, parser=html.HTMLParser(encoding="utf-8"))


def nothing(_: HtmlElement) -> bool:
    return False


def test_overlap_is_of_shingles_of_four_words_as_multisets() -> None:
    assert overlap("a b c d e", "a b c d e") == Overlap(1, 0, 0)
    assert overlap("a b c d e", "A, b c d e f") == Overlap(1 / 4, 2 / 4, 1 / 4)
    assert overlap("a b c d a b c d", "a b c d") == Overlap(1 / 5, 0, 4 / 5)
    assert overlap("a b", "a b") == Overlap(1, 0, 0)
    assert overlap("", "") == Overlap(0, 0, 0)


def test_score_is_f1_of_mean_precision_and_mean_recall() -> None:
    got = score([Overlap(0.5, 0.5, 0), Overlap(0.25, 0, 0.75), Overlap(0, 0, 1)])
    assert got == Score(0.75, pytest.approx((1 + 0.25 + 0) / 3))  # no text: nothing to be precise about
    assert got.f1 == pytest.approx(2 * 0.75 * 1.25 / 3 / (0.75 + 1.25 / 3))
    assert score([]).f1 == 0


def test_words_are_those_that_are_seen() -> None:
    assert words_of("Hafen\xadver\u200bwaltung, ﬁx it") == ["Hafenverwaltung", "fix", "it"]


def test_a_mark_between_words_costs_nothing_and_a_lost_stretch_all_of_it() -> None:
    wanted = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    assert matched(wanted, ["1", *wanted[:2], "2", *wanted[2:]])[0] == [True] * 10
    assert matched(wanted, [*wanted[:2], "1", *wanted[2:5], "2", *wanted[5:7], "3", *wanted[7:]])[0] == [True] * 10
    kept, found = matched(wanted, ["ten", "nine", "five", "six", *wanted[:4], "Home", "About"])
    assert kept == [True] * 4 + [False] * 6  # a run of lost words isn't forgiven for words that stand elsewhere
    assert found == [False] * 4 + [True] * 4 + [False] * 2
    assert runs_of(kept) == [(4, 10)]


def test_text_that_comes_twice_must_be_kept_twice() -> None:
    words = ["mind", "the", "gap", "please"]
    assert matched(words * 2, words)[0].count(False) == 4


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    (tmp_path / "html").mkdir()
    page = b"<html><body><article><h1>Lamps</h1><p>The lamps of the quay are lit at dusk every day.</p></article></body></html>"
    (tmp_path / "html" / "one.html.gz").write_bytes(gzip.compress(page))
    (tmp_path / "ground-truth.json").write_text(
        json.dumps({"one": {"articleBody": "The lamps of the quay are lit at dusk every day."}})
    )
    return tmp_path


def test_the_kind_of_a_folder_is_told_by_what_lies_in_it(bodies: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    marked = articles.read_set(bodies)
    assert marked is not None
    assert list(marked.pages) == [bodies / "html" / "one.html.gz"]
    expected = tmp_path_factory.mktemp("expected")
    (expected / "expected.json.gz").write_bytes(gzip.compress(b'{"two": "text"}'))
    kept = articles.read_set(expected)
    assert kept is not None
    assert kept.pages == {expected / "two.html.gz": "text"}
    manual = tmp_path_factory.mktemp("manuals")
    assert articles.read_set(manual) is None
    (manual / "b" / "deep").mkdir(parents=True)
    (manual / "b" / "deep" / "page.html").touch()
    (manual / "a").mkdir()
    assert manuals.manual_folders(manual) == [manual / "b"]
    assert manuals.manual_folders(manual / "b" / "deep") == [manual / "b" / "deep"]


def test_a_damaged_set_is_refused(bodies: Path) -> None:
    (bodies / "ground-truth.json").write_text('{"one": {}}')
    with pytest.raises(BenchError, match="Is it whole"):
        articles.read_set(bodies)


def test_pages_are_measured_and_reported_beside_the_others(bodies: Path) -> None:
    wanted = articles.read_set(bodies)
    assert wanted is not None
    [page] = [articles.measure_page(one, extractors=(OURS, "trafilatura", "readability-lxml")) for one in wanted.pages.items()]
    assert page.overlaps[OURS].recall == 1
    lines = articles.report(wanted, [page], (OURS, "trafilatura", "readability-lxml")).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == [OURS, "trafilatura", "readability-lxml"]
    assert lines[-1].endswith("MISSED")  # precision: the heading isn't in the marked body


def test_falling_short_is_said() -> None:
    page = articles.Article("one", "a b c d", {OURS: Run("", 0.001)}, {OURS: overlap("a b c d", "")})
    wanted = articles.ArticleSet("pages", {}, {"recall": 0.97})
    assert "recall ≥ 0.97: MISSED" in articles.report(wanted, [page], [OURS])
    assert articles.report(wanted, [page], [OURS]).splitlines()[2].split()[4] == "1"  # a page that keeps none
    page = articles.Article("one", "a b c d", {OURS: Run("a b c d", 0.001)}, {OURS: overlap("a b c d", "a b c d")})
    assert "recall ≥ 0.97: met" in articles.report(wanted, [page], [OURS])


def test_differences_are_stretches_of_words() -> None:
    wanted, found = "The first of them. And this one is lost to us.", "Home. The first of them."
    assert differences(wanted, found) == {"lacks": ["(7) And this one is lost to us"], "has besides": ["(1) Home"]}


def test_texts_are_written_side_by_side(tmp_path: Path) -> None:
    dump.write(tmp_path, "a/b", {"truth": "One. Two.", OURS: "One."})
    assert "-Two." in (tmp_path / "a-b.diff").read_text()
    assert (tmp_path / f"a-b.{OURS}.txt").read_text() == "One.\n"


def test_a_word_goes_on_over_inline_elements_alone() -> None:
    root = tree(
        "<p>Hydr<b>ant</b>s, 10<sup>6</sup> of H<sub>2</sub>O on the 1<sup>st</sup><br>day<script>no()</script><i>½</i></p><p>end"
    )
    words = words_under([root], is_chrome=nothing)
    assert [word.text for word in words] == ["Hydrants", "10", "6", "of", "H2O", "on", "the", "1st", "day", "1", "2", "end"]
    assert path_of(words[-1].element) == "body > p"


def test_chrome_is_no_text() -> None:
    root = tree('<h2>Title<a class="headerlink">¶ link</a></h2><p>text</p>')
    assert [word.text for word in words_under([root], is_chrome=lambda one: one.get("class") == "headerlink")] == [
        "Title",
        "text",
    ]


def test_marks_of_markdown_are_no_words() -> None:
    assert words_of(unmarked("```ts\n1. let x\n```\n1. one\n  b) two\n- [x] three\n2026 was\niv. four\nA. B")) == [
        "1", "let", "x", "one", "two", "three", "2026", "was", "four", "B"
    ]  # fmt: skip


def test_code_stands_to_the_letter_wherever_it_is_indented_or_quoted() -> None:
    code = code_of(tree("<pre><b>\n\n</b>if x:  \n    y(1)\u200b<br>z\n</pre>").find(".//pre"), is_chrome=nothing)
    assert code == ["if x:", "    y(1)", "z"]
    for text, stands in (
        ("```\nif x:\n    y(1)\nz\n```", True),
        ("- item\n  if x:\n      y(1)\n  z", True),
        ("> if x:\n>     y(1)\n> z", True),
        ("if x:\n  y(1)\nz", False),
        ("if x:\n    y(1)", False),
        ("1 if x:\n2    y(1)\n3 z", False),
    ):
        stored = stored_lines(text)
        assert stands_as_code(code, stored, places_of(stored)) is stands, text


def test_code_with_an_element_for_each_line_and_a_gutter() -> None:
    fragment = tree("<div class=fragment><div><i>1</i>int a;</div>\n<div><i>2</i> </div><div><i>3</i>  b();</div></div>").find(
        ".//div"
    )
    assert code_of(fragment, is_chrome=lambda one: one.tag == "i") == ["int a;", "", "  b();"]
    module = tree("<pre>import x\n<div>class A:\n    pass</div>\nb = 1</pre>").find(".//pre")
    assert code_of(module, is_chrome=nothing) == ["import x", "class A:", "    pass", "b = 1"]
    shown = tree("<pre><div>#[repr(C)]</div>pub struct A {<div>\n  b</div>\n}</pre>").find(".//pre")
    assert code_of(shown, is_chrome=nothing)[0] == "#[repr(C)]pub struct A {"
    assert code_of(shown, is_chrome=nothing, as_shown=True) == ["#[repr(C)]", "pub struct A {", "", "  b", "", "}"]


def test_rows_are_those_of_tables_of_data() -> None:
    root = tree(
        "<table><tr><th>a<th>b|c<tr><td><p>1</p><p>2</p><td>3 <code>4_x</code><tr><td>5<td></table>"
        "<table><tr><td><pre>x</pre><td>y"
    )
    tables = [rows_of(table, is_chrome=nothing) for table in root.iter("table")]
    assert tables == [[["a", "b|c"], ["12", "34x"]], []]
    assert rows_of(next(root.iter("table")), is_chrome=lambda one: one.tag == "tr") == []
    assert stands_in(tables[0][1], flat("| 1 2 | 3 `4_x` |"))
    assert stands_in(tables[0][0], flat(r"| a | b\|c |"))


def test_generators_are_known_by_their_pages() -> None:
    page = tree(
        '<head><meta name="generator" content="Docusaurus v3.9"></head><body><nav>menu</nav><article>'
        '<div class="theme-doc-markdown markdown"><h1>A<a class="hash-link">#</a></h1><div class="markdown">B</div></div>'
    )
    generator = generator_of(page)
    assert generator is not None
    assert generator.name == "Docusaurus"
    [part] = generator.content_of(page)  # the inner one lies in the outer
    assert [word.text for word in words_under([part], is_chrome=generator.chrome_of([part]).__contains__)] == ["A", "B"]
    assert generator_of(tree("<body><main><p>By hand.")) is None
    assert len({one.name for one in GENERATORS}) == len(GENERATORS)


def test_every_selector_can_be_read() -> None:
    for generator in GENERATORS:
        root = tree("<p>x")
        assert not generator.made(root)
        parts = generator.content_of(root) or [root]
        generator.chrome_of(parts), generator.either_of(parts), generator.layout_of(parts), generator.code_of(parts)


def test_a_page_of_a_manual_is_measured(tmp_path: Path) -> None:
    paragraphs = "".join(f"<p>Lamp {i} of the quay is lit at dusk.</p>" for i in range(9))
    page = (
        '<html><head><meta name="generator" content="Asciidoctor 2.0"></head><body><div id="header"><h1>Lamps</h1></div>'
        f'<div id="content">{paragraphs}<pre>light --all\n  --now</pre>'
        "<table><tr><th>lamp<th>colour<tr><td>one<td>red</table></div><div id=footer>Last updated never</div></body></html>"
    )
    (tmp_path / "lamps.html").write_text(page)
    (tmp_path / "stub.html").write_text("<meta name=generator content=Asciidoctor><div id=content>moved</div>")
    (tmp_path / "other.html").write_text("<p>No generator says that it wrote this page.")
    found = manuals.measure_page(tmp_path, Path("lamps.html"), extractors=(OURS,))
    assert isinstance(found, manuals.ManualPage)
    assert (found.generator, found.code, found.code_kept, found.rows, found.rows_kept) == ("Asciidoctor", 1, 1, 2, 2)
    assert found.kept[OURS] > 0.9
    assert manuals.measure_page(tmp_path, Path("stub.html"), extractors=(OURS,)) == "under 20 words"
    assert manuals.measure_page(tmp_path, Path("other.html"), extractors=(OURS,)) == "of no known generator"
    manual = manuals.Manual("lamps", [found])
    assert "1/1" in manuals.report([manual], (OURS,))


def test_what_is_lost_is_said_with_its_place() -> None:
    page = manuals.ManualPage(
        "a.html",
        "Sphinx",
        "",
        {OURS: Run("", 0.01)},
        {OURS: 0.5},
        {OURS: 0.0},
        losses=(manuals.Loss("div > p", 7, "the lost words"),),
    )
    manual = manuals.Manual("site", [page])
    assert "lost 7 words at div > p: the lost words" in manuals.failures(manual, 1)
    assert manuals.losses_by_path(manual, 1) == "  7 words on 1 pages at div > p: the lost words (a.html)"


def test_what_is_expected_of_a_page() -> None:
    root = html.document_fromstring(
        "<div class=linenos><pre>1\n2\n3</pre></div><nav><pre>menu()</pre></nav><pre>\n\n  a &lt; &#8203;b\n</pre><pre>x</pre>"
        "<table><tr><th>a<th>b|c<tr><td><p>1</p><p>2</p><td>3 <b>4</b><tr><td>5<td></table><table><tr><td>one<td>row</table>"
    )
    assert expected_code(root) == ["  a < b"]
    assert expected_rows(root) == [["a", "b\\|c"], ["1 2", "3 4"]]
    noted = "<table><tr><td>fee<a class='footnote'><sup>[a]</sup></a> due<td>4<tr><td>due<td><a class='headerlink'>¶</a>5</table>"
    assert expected_rows(html.document_fromstring(noted)) == [["fee due", "4"], ["due", "5"]]


def test_a_row_stands_with_its_cells_in_order() -> None:
    assert stands_in(["a", "b"], "| a | x | b |")
    assert not stands_in(["b", "a"], "| a | x | b |")
    assert not stands_in(["a", "a"], "| a | b |")


def test_shares_are_added_up_and_shown() -> None:
    total = Survival()
    total.add(Survival(pages=1, code=3, code_kept=3, rows=4, rows_kept=1, parts=1))
    total.add(Survival(pages=1, code=1))
    lines = section("a site", total).lines
    assert [(line.ours, line.judged) for line in lines] == [
        ("3 of 4", 75),
        ("0 of 0", None),
        ("1 of 4", 25),
        ("0 of 0", None),
        ("0 of 1", 0),
    ]
    assert lines[0].verdict.endswith("MISSED")
