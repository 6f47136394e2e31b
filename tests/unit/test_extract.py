"""Golden tests of extraction: structure, boilerplate, metadata, charsets, hostile input."""

from __future__ import annotations

import re
import textwrap
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import PermanentError
from corpus.model import BlockKind
from ingest.extract import extracted as extracted_module
from ingest.extract.document import ExtractedPage, extract
from ingest.extract.html import tree as html_tree

SOUP = (
    *re.findall(
        r"</?\w+[^>]*>", "<p></p><ul><ol><li></li></ul><table><tr><td><td rowspan=3><th></table><pre></pre><h2></h2><br><dl>"
    ),
    *re.findall(
        r"</?\w+[^>]*>", "<dt><dt class=sig><dd><blockquote></blockquote><div></div><main></main><img><details><nav></nav>"
    ),
    *("text", "more.", "&amp;", "&#8203;", "|", "```", "#", "-", "\n", "漢字"),
)
URL = "http://site.test/docs/page.html"
FILLER = "<p>" + "The quick brown fox jumps over the lazy dog near the river bank. " * 5 + "</p>"
FILLER_TEXT = ("The quick brown fox jumps over the lazy dog near the river bank. " * 5).strip()


def read(markup: str | bytes, *, content_type: str | None = "text/html", charset: str | None = None) -> ExtractedPage:
    body = markup.encode() if isinstance(markup, str) else markup
    extracted = extract(body, url=URL, content_type=content_type, charset=charset)
    check_spans(extracted)
    return extracted


def text_of(markup: str) -> str:
    return read(f"<html lang=en><body><main>{markup}</main></body></html>").page.text


def check_spans(extracted: ExtractedPage) -> None:
    text, end = extracted.page.text, 0
    for block in extracted.page.blocks:
        assert text[end : block.start].strip() == ""
        piece = text[block.start : block.end]
        assert piece
        assert piece == piece.strip()
        end = block.end
    assert end == len(text)


def golden(expected: str) -> str:
    return textwrap.dedent(expected).strip("\n")


class TestStructure:
    def test_headings_paragraphs_and_inline_markup(self) -> None:
        assert text_of(
            "<h1>A <em>title</em><a class=headerlink href='#a'>¶</a></h1><p>One\n  <b>bold</b> and <code>x = 1</code>,"
            " H<sub>2</sub>O,&nbsp;<a href=/x>a link</a>.</p><h3>Deep</h3>loose text<div>boxed</div>"
        ) == golden("""
            # A title

            One bold and x = 1, H2O, a link.

            ### Deep

            loose text

            boxed
        """)

    def test_line_breaks(self) -> None:
        assert text_of("<p>Roses<br>are red<br><br>Violets</p>") == "Roses\nare red\n\nViolets"

    def test_lists_nest_by_two_spaces(self) -> None:
        page = read(
            "<main><ul><li>one<ol start=3><li>three<li><p>four</p><p>more of four</p></ol></li><li>two</li></ul>"
            "<p>after</p></main>"
        ).page
        assert page.text == golden("""
            - one
              3. three
              4. four

            more of four

            - two

            after
        """)
        assert [(b.kind, b.level) for b in page.blocks[:3]] == [
            (BlockKind.LIST_ITEM, 0),
            (BlockKind.LIST_ITEM, 1),
            (BlockKind.LIST_ITEM, 1),
        ]

    def test_tables(self) -> None:
        assert text_of(
            "<table><caption>Sizes</caption><thead><tr><th>Name<th>Size</thead><tr><td>a|b<td>1\n2</tr>"
            "<tr><td rowspan=2>c<td>3</tr><tr><td>4</tr><tr><td colspan=2>wide</tr></table>"
        ) == golden(r"""
            Sizes

            | Name | Size |
            | --- | --- |
            | a\|b | 1 2 |
            | c | 3 |
            | c | 4 |
            | wide |  |
        """)

    def test_no_text_is_lost_to_the_column_cap(self) -> None:
        text = text_of("<table>" + ("<tr>" + "".join(f"<td>c{i}" for i in range(70))) * 2 + "</table>")
        assert text.split("\n")[0].count("|") == 65
        assert "c69 |" in text

    def test_a_table_without_header_has_no_separator(self) -> None:
        assert text_of("<table><tr><td>a<td>b<tr><td>c<td>d</table>") == "| a | b |\n| c | d |"

    @pytest.mark.parametrize(
        "markup",
        [
            "<table><tr><td><p>one</p><p>two</p></table>",
            "<table role=presentation><tr><td>one<td>two</table>",
            "<table><tr><td>one<td>two</table>",
            "<table><tr><td>one<tr><td><table><tr><td>two</table></table>",
        ],
    )
    def test_layout_tables_are_plain_content(self, markup: str) -> None:
        assert text_of(markup) == "one\n\ntwo"

    def test_code_is_verbatim(self) -> None:
        page = read("<main><pre>\n\n  def f():\n\n    <b>return</b> &lt;1&gt;  \n</pre><pre>a<br>b\n```\n</pre></main>").page
        assert page.text == "```\n  def f():\n\n    return <1>\n```\n\n````\na\nb\n```\n````"
        assert [b.kind for b in page.blocks] == [BlockKind.CODE, BlockKind.CODE]

    def test_line_numbers_are_no_code(self) -> None:
        markup = "<table><tr><td class=linenos><pre>1\n2</pre><td class=code><pre>a\n<span class=linenos>2</span>b</pre></table>"
        assert text_of(markup) == "```\na\nb\n```"

    def test_definition_lists_and_signatures(self) -> None:
        assert text_of(
            "<h2>Section</h2><dl><dt>term</dt><dd>what it means<p>more</p></dd></dl>"
            "<dl class='py class'><dt class='sig sig-object py'>class Path<em>(*parts)</em><a class=headerlink>¶</a></dt>"
            "<dd><p>A path.</p><dl class='py method'><dt class='sig'>exists()</dt><dd>Whether it is there.</dd></dl></dd></dl>"
        ) == golden("""
            ## Section

            term

            what it means

            more

            ### class Path(*parts)

            A path.

            #### exists()

            Whether it is there.
        """)

    def test_quotes_admonitions_details_and_line_blocks(self) -> None:
        assert text_of(
            "<blockquote><p>To be<br>or not</p></blockquote><div class='admonition note'>"
            "<p class=admonition-title>Note</p><p>Mind it.</p></div>"
            "<div class=warning><h3>Warning</h3><p>Hot.</p></div><details><summary>More</summary>hidden depths</details>"
            "<div class=line-block><div class=line>first</div><div class=line>second</div></div>"
        ) == golden("""
            > To be or not

            Note: Mind it.

            Warning: Hot.

            More

            hidden depths

            first
            second
        """)

    def test_formulas_and_figures(self) -> None:
        assert (
            text_of(
                "<p>So <img class=math alt='x^2'> and <math alttext='y'><mi>why</mi></math>.</p>"
                "<img alt='decoration of the page'>"
                "<figure><img alt='A map of the harbour'></figure><figure><img alt='A map of the port'>"
                "<figcaption>The port</figcaption></figure>"
            )
            == "So x^2 and y.\n\nA map of the harbour\n\nThe port"
        )

    def test_invisible_characters_go(self) -> None:
        hidden = "".join(map(chr, (0x200B, 0x202E, 0xAD, 0xFEFF, 0xE0041, 0xFE0F, 0x200D)))
        assert text_of(f"<p>in{hidden}ject\0</p>") == "inject"
        assert text_of("<p>cafe\u0301</p>") == "caf\u00e9"
        assert text_of("<pre>a\u200b\u00a0= 1</pre>") == "```\na\u00a0= 1\n```"

    def test_joiners_stay_where_a_script_spells_with_them(self) -> None:
        assert text_of("<p>می\u200cخواهم</p>") == "می\u200cخواهم"


class TestBoilerplate:
    CHROME = (
        "<nav>NAV</nav><div role=navigation>NAV</div><header>TOP</header><footer>END</footer>"
        "<aside>SIDE</aside><script>JS</script>"
        "<style>CSS</style><div style='color:red; display: none'>HID</div><div hidden>HID</div><p aria-hidden=true>HID</p>"
        "<form><input value=x>FORM<button>GO</button></form><div class=sphinxsidebar>SIDE</div><div class='navheader x'>NAV</div>"
    )

    @pytest.mark.parametrize(
        "content",
        [
            "<main>{}</main>",
            "<div role=main class=body>{}</div>",
            "<article>{}</article>",
            "<div class=sect1>{}</div>",
            "<div>{}</div>",
        ],
    )
    def test_chrome_goes_and_content_stays(self, content: str) -> None:
        hidden = "<nav>NAV</nav><div style='display: none'>HID</div><p aria-hidden=true>HID</p><p hidden>HID</p>"
        inner = FILLER + hidden + "<table><tr><th>k<th>v<tr><td>a<td>b</table><pre>code()</pre>" + FILLER
        page = read(f"<html lang=en><body>{self.CHROME}{content.format(inner)}{self.CHROME}</body></html>").page
        assert page.text == "\n\n".join((FILLER_TEXT, "| k | v |\n| --- | --- |\n| a | b |", "```\ncode()\n```", FILLER_TEXT))

    def test_a_header_inside_an_article_is_content(self) -> None:
        assert text_of(f"<article><header><h1>Title</h1></header>{FILLER}</article>").startswith("# Title")

    def test_what_trafilatura_rejects_around_an_article_goes(self) -> None:
        links = "".join(f"<li><a href=/{i}>Another story number {i} you may like</a></li>" for i in range(8))
        page = read(
            f"<html><body><div id=wrap><div><h1>Story</h1>{FILLER * 4}<div class=related-posts><h3>Related</h3>"
            f"<ul>{links}</ul></div></div>"
            f"<div class=sidebar><ul>{links}</ul></div></div></body></html>"
        ).page
        assert "Another story" not in page.text
        assert "Related" not in page.text
        assert page.text.count(FILLER_TEXT) == 4

    def test_a_form_around_the_whole_page_is_kept(self) -> None:
        assert FILLER_TEXT in read(f"<body><form>{FILLER}</form></body>").page.text

    def test_asides_in_a_document_are_the_authors(self) -> None:
        body = f"<div class=body role=main>{FILLER}<aside class=sidebar><pre>hello()</pre></aside></div>"
        assert "hello()" in read(f"<body>{body}</body>").page.text


class TestHead:
    def test_title_without_the_site(self) -> None:
        def title(head: str, body: str) -> str:
            return read(f"<html><head>{head}</head><body>{body}{FILLER}</body></html>").page.title

        assert (
            title("<title>paths — Work — Docs 3.11</title>", "<h1>paths — Work<a class=headerlink>¶</a></h1>") == "paths — Work"
        )
        assert title("<title>Story | The Site</title><meta property=og:site_name content='The Site'>", "") == "Story"
        site = "<header><h1>Tool v18 manual</h1></header><h2>DNS</h2>"
        assert title("<title>DNS | Tool v18 Manual</title>", site) == "DNS"
        assert title("<title>Tool v18 | DNS</title>", "<h1>DNS</h1>") == "DNS"
        linked = "<div><h1><a href='../'>Tool 3.2 documentation</a></h1></div><h2>Models</h2>"
        assert title("<title>Models — Tool 3.2 documentation</title>", linked) == "Models"
        assert title("<title>Fast - and good</title>", "") == "Fast - and good"
        assert (
            title("<title>X | Site</title><meta property=og:title content='The whole story'>", "<h1>Site</h1>")
            == "The whole story"
        )
        assert title("", "<h1>Only heading</h1>") == "Only heading"

    def test_language_declared_or_detected(self) -> None:
        assert read(f"<html lang=pt-BR><body>{FILLER}</body></html>").page.language == "pt"
        assert read(f"<html><body>{FILLER}</body></html>").page.language == "en"
        german = "<p>Der schnelle braune Fuchs springt über den faulen Hund und läuft dann in den Wald.</p>"
        assert read(f"<html><body>{german}</body></html>").page.language == "de"
        assert read("<p>Hm.</p>").page.language is None

    def test_links(self) -> None:
        extracted = read(
            "<head><base href='/b/'></head><nav><a href='one#x'>1</a></nav><p>text <a href='one#y'>1</a>"
            "<a rel='nofollow ugc' href=no>n</a>"
            "<a href='mailto:a@b'>m</a><a href='javascript:x'>j</a><a href='//other.test/p?q=1&amp;r=2'>o</a>"
            "<a href='http://[bad'>b</a><a>none</a></p>"
        )
        assert extracted.links == ("http://site.test/b/one", "http://other.test/p?q=1&r=2")

    @pytest.mark.parametrize(
        ("markup", "links"),
        [
            ("<a href='\\docs\\a.html'>", ["docs/a.html"]),
            ("<a href='..\\b.html'>", ["b.html"]),
            ("<a href='\n  sub\\c.html\t'>", ["docs/sub/c.html"]),
            ("<a href='a\nb\tc\r.html'>", ["docs/abc.html"]),
            ("<a href='my page.html'>", ["docs/my%20page.html"]),
            ("<a href='HTTP://SITE.test/D'>", ["D"]),
            ("<a href='http:e.html'>", ["docs/e.html"]),
            ("<a href='?q=1#f'>", ["docs/page.html?q=1"]),
            ("<a href='caf\u00e9'>", ["docs/caf%C3%A9"]),
            (
                "<a href='data:text/html,x'><a href=' javascript:x'><a href='tel:1'><a href='ftp://site.test/'><a href='blob:x'>",
                [],
            ),
            ("<img usemap=#m><map name=m><area href=here><area nohref></map>", ["docs/here"]),
            ("<iframe src=/embedded></iframe><iframe src=about:blank></iframe><iframe></iframe>", ["embedded"]),
            ("<link rel=next href=2><link rel='Prev ' href=0><link rel=previous href=1>", ["docs/2", "docs/0", "docs/1"]),
            ("<link rel=stylesheet href=s.css><link rel=alternate href=/de><link rel='next nofollow' href=3>", []),
            ("<noscript><a href=plain>x</a></noscript>", ["docs/plain"]),
            ("<div><template shadowrootmode=open><a href=shadow>x</a></template></div>", ["docs/shadow"]),
            ("<template><a href=never>x</a></template>", []),
            ("<base href='\\other\\'><a href=a>", ["other/a"]),
            ("<base target=_top><base href='/first/'><base href='/second/'><a href=a>", ["first/a"]),
            ("<base href='javascript:x'><a href=a>", ["docs/a"]),
            ("<base href='http://['><a href=a>", ["docs/a"]),
        ],
    )
    def test_links_are_read_as_browsers_read_them(self, markup: str, links: list[str]) -> None:
        assert read(f"{markup}<p>Some text.</p>").links == tuple(f"http://site.test/{link}" for link in links)

    def test_a_frameset_leads_on_to_its_frames(self) -> None:
        frames = "<frameset cols='20%,80%'><frame src='toc.html'><frameset><frame src='\\main.html'></frameset>"
        notice = "<noframes>Your browser has no frames. <a href=old>Go on</a></noframes></frameset>"
        extracted = read(f"<html><head><title>Old manual</title></head>{frames}{notice}</html>")
        assert extracted.is_frameset
        assert extracted.links == ("http://site.test/docs/toc.html", "http://site.test/main.html")
        assert (extracted.page.title, extracted.page.text) == ("Old manual", "")

    def test_what_a_frameset_says_without_frames_counts_if_it_is_more_than_a_notice(self) -> None:
        extracted = read(f"<frameset><frame src=a><noframes><body>{FILLER}<a href=b>b</a></body></noframes></frameset>")
        assert extracted.is_frameset
        assert FILLER_TEXT in extracted.page.text
        assert set(extracted.links) == {"http://site.test/docs/a", "http://site.test/docs/b"}

    def test_an_ordinary_page_is_no_frameset(self) -> None:
        extracted = read("<p>Text of its own.</p><iframe src=a></iframe><frameset><frame src=b></frameset>")
        assert not extracted.is_frameset
        assert extracted.links == ("http://site.test/docs/a",)

    def test_canonical_and_robots(self) -> None:
        head = "<link rel=canonical href='/c#f'><meta name=robots content='NOINDEX'><meta name=FootnoteBot content='nofollow, x'>"
        extracted = read(f"<head>{head}</head><p>text</p>")
        assert (extracted.canonical, extracted.noindex, extracted.nofollow) == ("http://site.test/c", True, True)
        extracted = read("<head><meta name=otherbot content=none></head><p>text</p>")
        assert (extracted.canonical, extracted.noindex, extracted.nofollow) == (None, False, False)
        extracted = read("<head><meta name=robots content=none></head><p>text</p>")
        assert (extracted.noindex, extracted.nofollow) == (True, True)

    @pytest.mark.parametrize(
        ("content", "target"),
        [
            ("0; url=next#part", "http://site.test/docs/next"),
            ("0;URL='/next'; x", "http://site.test/next"),
            ('5 , url = "http://other.test/a" and more', "http://other.test/a"),
            ("0.5 next", "http://site.test/docs/next"),
            ("30; url=next", None),
            ("0; url=page.html#top", None),
            ("0; url=javascript:alert(1)", None),
            ("0; url=ftp://other.test/", None),
            ("0; url=", None),
            ("60", None),
            ("url=next", None),
        ],
    )
    def test_refresh(self, content: str, target: str | None) -> None:
        extracted = read(
            f"<head><meta http-equiv=Refresh content='{content}'></head><p>Moved.".replace("'/next'", "&#39;/next&#39;")
        )
        assert extracted.refresh == target

    def test_a_refresh_for_readers_without_scripts_is_not_followed(self) -> None:
        assert read("<noscript><meta http-equiv=refresh content='0; url=plain'></noscript><p>Words.").refresh is None

    def test_a_page_that_is_nothing_but_a_refresh_is_one(self) -> None:
        assert read("<meta http-equiv=refresh content='0; url=next'>").refresh == "http://site.test/docs/next"

    def test_dates(self) -> None:
        head = "<meta property='article:published_time' content=2024-05-06><meta name=last-modified content=2999-01-01>"
        extracted = read(f"<head>{head}</head><p>text</p>")
        assert (extracted.published_at, extracted.modified_at) == (datetime(2024, 5, 6, tzinfo=UTC), None)


class TestTypes:
    def test_plain_text(self) -> None:
        extracted = read("First  line\r\nsecond\r\n\r\n\r\nNext & <b>paragraph</b>", content_type="text/plain; charset=utf-8")
        assert extracted.page.text == "First line\nsecond\n\nNext & <b>paragraph</b>"
        assert extracted.page.title == "First line"

    @pytest.mark.parametrize(
        ("body", "content_type", "reason"),
        [
            (b"{}", "application/json", "unsupported_type"),
            (b"%PDF-1.7 text", "text/html", "broken_document"),
            (bytes(range(256)) * 20, "text/html", "not_text"),
            (b"", "text/html", "no_text"),
            (b"<!-- nothing -->", "text/html", "no_text"),
            (b"<script>app()</script><div id=root></div>", "text/html", "no_text"),
            (b" \n ", "text/plain", "no_text"),
        ],
    )
    def test_what_cannot_be_read_is_said(self, body: bytes, content_type: str, reason: str) -> None:
        with pytest.raises(PermanentError) as failure:
            extract(body, url=URL, content_type=content_type, charset=None)
        assert failure.value.reason == reason

    def test_an_unnamed_type_is_looked_at(self) -> None:
        assert read("<!DOCTYPE html><p>text", content_type=None).page.text == "text"
        assert read("a < b and more", content_type=None).page.text == "a < b and more"


class TestCharset:
    WORDS = "Größe, naïve façade, “quoted” — 10 €"

    @pytest.mark.parametrize(
        ("encoding", "charset", "head"),
        [
            ("utf-8-sig", "iso-8859-1", ""),
            ("utf-16", "utf-8", ""),
            ("cp1252", "iso-8859-1", ""),
            ("cp1252", None, "<meta charset=latin1>"),
            ("cp1252", "utf-8", "<meta http-equiv=content-type content='text/html; charset=windows-1252'>"),
            ("utf-8", None, "<meta charset=utf-16>"),
            ("utf-8", "no-such-charset", ""),
            ("utf-8", None, ""),
        ],
    )
    def test_claims(self, encoding: str, charset: str | None, head: str) -> None:
        markup = f"<head>{head}</head><p>{self.WORDS}</p>".encode(encoding)
        assert read(markup, charset=charset).page.text == self.WORDS

    def test_detection(self) -> None:
        russian = "Быстрая коричневая лиса перепрыгивает через ленивую собаку у реки. " * 4
        assert read(f"<p>{russian}</p>".encode("cp1251")).page.text == russian.strip()

    def test_one_bad_byte_does_not_change_the_charset(self) -> None:
        assert read("<p>Größe über Öl äöü ".encode() + b"\xff</p>", charset="utf-8").page.text == "Größe über Öl äöü"


class TestHostile:
    def test_deep_nesting_keeps_text_and_is_noted(self) -> None:
        extracted = read("<div class=body role=main>" + "<div>" * 300 + FILLER)
        assert FILLER_TEXT in extracted.page.text
        assert any("flattened" in note for note in extracted.notes)

    def test_text_below_any_depth_is_kept(self) -> None:
        extracted = read(FILLER + "<div>" * 10_000 + "found")
        assert extracted.page.text == f"{FILLER_TEXT}\n\nfound"
        assert any("nested deeper" in note for note in extracted.notes)

    def test_too_many_elements_are_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(html_tree, "MAX_ELEMENTS", 50)
        extracted = read("<p>word</p>" * 100)
        assert 40 < extracted.page.text.count("word") < 50
        assert extracted.is_truncated

    def test_too_much_text_is_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extracted_module, "MAX_TEXT_CHARS", 100)
        extracted = read("<p>ten chars.</p>" * 50)
        assert len(extracted.page.text) <= 100
        assert extracted.is_truncated

    def test_spans_that_would_multiply_text(self) -> None:
        big = "word " * 2_000
        rows = "".join("<tr><td>x" for _ in range(500))
        extracted = read(f"<main><table><tr><th>a<th>b<tr><td rowspan=99999 colspan=99999>{big}<td>y{rows}</table></main>")
        assert len(extracted.page.text) < 200_000
        assert "y" in extracted.page.text

    def test_entities_are_not_expanded(self) -> None:
        bomb = "<!DOCTYPE html [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><p>&b;&b;&amp;amp; end</p>"
        assert len(read(bomb).page.text) < 100

    def test_unclosed_and_misnested_tags(self) -> None:
        assert text_of("<p>one<p>two <b>bold<i>x</b>y<ul><li>item<table><tr><td>a<td>b</li>").startswith("one\n\ntwo boldxy")

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.sampled_from(SOUP), max_size=40))
    def test_any_soup_gives_right_spans(self, pieces: list[str]) -> None:
        read(f"<p>start</p>{' '.join(pieces)}")


def test_a_page_that_leaves_out_head_and_body_tags_is_read() -> None:
    body = "<!doctype html><html lang=en><meta charset=utf-8><title>T</title><main><h1>One</h1><p>Two three.</main><p>Four."
    extracted = extract(body.encode(), url=URL, content_type="text/html", charset=None)
    assert extracted.page.title == "T"
    assert "Two three." in extracted.page.text
    assert (
        extract(b"<title>T</title><p>First.<p>Second.", url=URL, content_type=None, charset=None).page.text == "First.\n\nSecond."
    )
