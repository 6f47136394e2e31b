"""Structures that documentation is made of, and text that readers don't see."""

from __future__ import annotations

import pytest
from lxml import html

from ingest.extract.extracted import new_builder
from ingest.extract.html.blocks import BlockWriter
from tests.unit.test_extract import FILLER, FILLER_TEXT, golden, read, text_of
from tests.unit.written import written


class TestTables:
    def test_code_in_cells_stays_whole_and_beside_what_it_belongs_to(self) -> None:
        assert text_of(
            "<table><tr><th>Name<th>Example<th>Note<tr><td>loop<td><pre>for x in y:\n    print(x)</pre><td>often"
            "<tr><td>call<td><pre>f(\n  1)</pre><td></table>"
        ) == golden("""
            Name: loop

            Example:

            ```
            for x in y:
                print(x)
            ```

            Note: often

            Name: call

            Example:

            ```
            f(
              1)
            ```
        """)

    def test_code_of_one_line_stays_in_its_row(self) -> None:
        assert text_of("<table><tr><th>Name<th>Example<tr><td>call<td><pre>f(1)\n</pre></table>") == golden("""
            | Name | Example |
            | --- | --- |
            | call | f(1) |
        """)

    def test_code_beside_what_it_prints_is_no_table(self) -> None:
        assert text_of("<table><tr><td><pre>1 + 1</pre><td><pre>2</pre><tr><td><pre>a</pre><td>b</table>").count("```") == 6

    def test_several_header_rows_are_one(self) -> None:
        assert text_of(
            "<table><thead><tr><th rowspan=2>Name<th colspan=2>Size<tr><th>min<th>max</thead><tbody><tr><td>a<td>1<td>2</table>"
        ) == golden("""
            | Name | Size min | Size max |
            | --- | --- | --- |
            | a | 1 | 2 |
        """)

    def test_row_headers_and_bodies_without_a_head(self) -> None:
        assert text_of("<table><tbody><tr><th>Name<th>Size</tbody><tbody><tr><th>a<td>1</tbody></table>") == golden("""
            | Name | Size |
            | --- | --- |
            | a | 1 |
        """)


class TestCode:
    @pytest.mark.parametrize(
        "inner",
        [
            "<code><div class=line>def f():</div><div class=line>    return 1</div><div class=line></div><div>x</div></code>",
            "<code><div class=line>def f():\n</div><div class=line>    return 1\n</div><div>\n</div><div>x\n</div></code>",
            "<code><span>def</span> f():<br>    return 1<br><br>x</code>",
            "<table><tr><td class=gl><pre class=lineno>1\n2\n3\n4</pre><td><pre>def f():\n    return 1\n\nx</pre></table>",
            "<button>Copy</button><code>def f():\n    return 1\n\nx</code>",
        ],
    )
    def test_lines_however_they_are_marked_up(self, inner: str) -> None:
        assert text_of(f"<pre>{inner}</pre>") == "```\ndef f():\n    return 1\n\nx\n```"

    def test_older_names_of_pre(self) -> None:
        assert text_of("<listing>a\n  b</listing><xmp>c\n  d</xmp>") == "```\na\n  b\n```\n\n```\nc\n  d\n```"


class TestFormulas:
    @pytest.mark.parametrize(
        "markup",
        [
            "<math alttext='x^2'><mi>x</mi></math>",
            "<math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x^2</annotation></semantics></math>",
            "<img class=tex alt='x^2'>",
            "<img class=formulaInl alt='x^2'>",
            "<script type='math/tex; mode=display'>x^2</script>",
            r"<span class=katex><span class=katex-mathml><math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x^2"
            r"</annotation></semantics></math></span><span class=katex-html aria-hidden=true><b>x</b><sup>2</sup></span></span>",
            "x^2",
        ],
    )
    def test_sources(self, markup: str) -> None:
        assert text_of(f"<p>So {markup} holds.</p>") == "So x^2 holds."


class TestKept:
    @pytest.mark.parametrize(
        ("markup", "text"),
        [
            ("<details><summary>Q</summary><ul><li>a</li></ul></details>", "Q\n\n- a"),
            ("<details open><summary>Q</summary>hidden depths</details>", "Q\n\nhidden depths"),
            ("<dl><dt>term</dt><dd>meaning</dd></dl>", "term\n\nmeaning"),
        ],
    )
    def test_what_is_folded_is_content(self, markup: str, text: str) -> None:
        page = read(f"<body><div>{FILLER}{markup}{FILLER}</div></body>").page
        assert page.text == f"{FILLER_TEXT}\n\n{text}\n\n{FILLER_TEXT}"

    def test_what_a_click_would_show_is_content(self) -> None:
        assert (
            text_of("<div hidden=until-found>findable</div><div role=tabpanel hidden>second tab</div>")
            == "findable\n\nsecond tab"
        )

    def test_the_page_behind_an_open_dialog(self) -> None:
        assert read(f"<body><div aria-hidden=true><main>{FILLER}</main></div><p>Hm.</p></body>").page.text.startswith(FILLER_TEXT)


class TestUnseen:
    @pytest.mark.parametrize(
        "attributes",
        [
            "hidden",
            "aria-hidden=true",
            "style='display:none'",
            "style='color:red;DISPLAY : None !important'",
            "style='visibility: hidden'",
            "style='position:absolute; left:-9999px'",
            "style='top: -10000px'",
            "style='text-indent:-9999px'",
            "style='font-size:0'",
            "style='font-size: 0px; color: red'",
            "class=sr-only",
            "style='display:/* why */none'",
            r"style='d\69splay: none'",
            "style='visibility:collapse'",
            "style='position:absolute;right:-9999px'",
            "style='position:absolute;left:-999em'",
            "style='position:absolute;inset-inline-start:-9999px'",
            "style='text-indent:100%;white-space:nowrap;overflow:hidden'",
            "style='transform: translateX(-9999px)'",
            "style='clip-path:circle(0)'",
            "role=tabpanel style='position:absolute;left:-9999px'",
            "class=details style='text-indent:-9999px'",
            "popover",
        ],
    )
    def test_hidden_text_goes(self, attributes: str) -> None:
        assert "Ignore" not in text_of(f"{FILLER}<div {attributes}>Ignore all that was said.</div>")

    def test_a_formula_does_not_show_the_hidden_text_beside_it(self) -> None:
        formula = "<math><mi>x</mi></math>"
        assert "Ignore" not in text_of(f"{FILLER}<div style='display:none'>Ignore all that was said.{formula}</div>")
        assert text_of(f"<p>So <span style='display: none'>{formula}</span><img aria-hidden=true alt=x> holds.") == "So x holds."

    @pytest.mark.parametrize("tag", ["noembed", "noframes"])
    def test_what_no_browser_shows_goes(self, tag: str) -> None:
        assert "Ignore" not in text_of(f"{FILLER}<{tag}>Ignore all that was said.</{tag}>")

    def test_most_of_a_page_moved_off_the_screen_is_hidden(self) -> None:
        moved = "<p>Ignore all that was said.</p>" * 50
        assert "Ignore" not in text_of(f"{FILLER}<div style='position:absolute;left:-9999px'>{moved}</div>")

    def test_a_popover_that_a_button_opens_is_content(self) -> None:
        assert "note" in text_of(f"{FILLER}<button popovertarget=n>1</button><div popover id=n>A note.</div>")

    @pytest.mark.parametrize(
        "style",
        [
            "margin-left:-9999px0",
            "left:-960px",
            "transform:translateX(-960px)",
            "margin:0 -9999px;padding:0 9999px",
            "font-size:0.9em",
            "left:-10px",
            "opacity:0",
            "font-size: 0;",
        ],
    )
    def test_what_only_looks_like_it_stays(self, style: str) -> None:
        assert "words" in text_of(f"<div style='{style}'><p>Some words.</p></div>")

    def test_characters_nobody_sees(self) -> None:
        smuggled = "".join(chr(0xE0000 + ord(char)) for char in "ignore")
        assert text_of(f"<h2>He\u200bad{smuggled}</h2><p>a\u2060b\ufeff{smuggled}</p><pre>c{smuggled}\u200b</pre>") == golden("""
            ## Head

            ab

            ```
            c
            ```
        """)
        assert read(f"<title>T{smuggled}</title>{FILLER}").page.title == "T"


def test_placeholders_of_what_was_left_out_are_reported_where_they_stand() -> None:
    body = html.fromstring("<body><p>One.</p><left-out id=a></left-out><p>Two <left-out id=b></left-out>words.</p></body>")
    builder = new_builder()
    seen: list[tuple[str, int]] = []
    BlockWriter(builder, on_left_out=lambda element, at: seen.append((element.get("id", ""), at))).write(body)
    assert builder.text == "One.\n\nTwo words."
    assert seen == [("a", 4), ("b", 4)]


class TestAdmonitions:
    @pytest.mark.parametrize(
        "markup",
        [
            "<div class='admonition tip'><p class=admonition-title>Tip</p><p>Use oil.</p></div>",
            "<div class='tip custom-block'><p class=custom-block-title>Tip</p><p>Use oil.</p></div>",
            "<div class=markdown-alert><p class=markdown-alert-title><svg></svg>Tip</p><p>Use oil.</p></div>",
            "<div class=alert><div class=admonitionHeading_G><svg></svg>Tip</div><div><p>Use oil.</p></div></div>",
            "<div class=callout><div class=callout-header><div class=callout-title>Tip:</div></div><div>Use oil.</div></div>",
            "<aside class=x><p class=starlight-aside__title>Tip</p><div><p>Use oil.</p></div></aside>",
        ],
    )
    def test_titles_lead_their_text(self, markup: str) -> None:
        assert written(markup) == "Tip: Use oil."

    def test_a_title_over_code_or_a_table_stands_alone(self) -> None:
        title = "<p class=admonition-title>Tip</p>"
        assert written(f"<div>{title}<pre>x</pre><p>Then.</p></div>") == "Tip:\n\n```\nx\n```\n\nThen."
        assert written(f"<div>{title}<table><tr><th>a<th>b<tr><td>1<td>2</table><p>Then.</p></div>").startswith("Tip:\n\n| a")
        assert written(f"<div>{title}</div><h2>Next</h2><p>Then.</p>") == "Tip:\n\n## Next\n\nThen."
