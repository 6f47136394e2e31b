"""Which parts of a page are its content, and what is said of the others."""

from __future__ import annotations

import pytest

from corpus.model import ContentSelectors, Coverage
from ingest.extract.document import extract
from ingest.extract.extracted import ExtractedPage
from tests.unit.test_extract import check_spans


def part(number: int, *, tag: str = "p") -> str:
    """A paragraph that no other one shares four words with."""
    words = (f"ferry{number} leaves{number} quay{number} at{number} dawn{number} and{number} comes{number} back{number} ",)
    return f"<{tag}>Part {number}: " + "".join(words) * 5 + f"</{tag}>"


MENU = "<ul>" + "".join(f"<li><a href=/{n}>Entry number {n}</a></li>" for n in range(12)) + "</ul>"
ARTICLE = "<meta property=og:type content=article>"


def read(
    body: str, *, head: str = "", keep: tuple[str, ...] = (), drop: tuple[str, ...] = (), explain: bool = False
) -> ExtractedPage:
    page = extract(
        f"<!doctype html><html lang=en><head><title>Ferries</title>{head}</head><body>{body}</body></html>".encode(),
        url="http://site.test/ferries",
        content_type="text/html",
        charset=None,
        selectors=ContentSelectors(keep, drop),
        explain=explain,
    )
    check_spans(page)
    return page


def parts_of(page: ExtractedPage) -> list[int]:
    return [number for number in range(20) if f"Part {number}:" in page.page.text]


def coverage_of(page: ExtractedPage) -> Coverage:
    assert page.coverage is not None
    return page.coverage


class TestSeveralElementsOfOneName:
    @pytest.mark.parametrize("names", ["sect1", "chapter", "markdown-body", "comment-body markdown-body", "refentry"])
    def test_all_of_them_are_the_document(self, names: str) -> None:
        sections = "".join(f"<div class='{names}'><h2>Head {n}</h2>{part(n)}</div>" for n in range(5))
        assert parts_of(read(f"<div id=content><div>{part(5)}</div>{sections}</div><div id=footer>{MENU}</div>")) == list(
            range(6)
        )

    def test_one_that_holds_a_small_part_is_not_the_document(self) -> None:
        body = f"<div class=markdown-body>{part(0)}</div>" + "".join(map(part, range(1, 8)))
        assert parts_of(read(f"<div>{body}</div>")) == list(range(8))

    @pytest.mark.parametrize("tag", ["article", "main", "div class=posts"])
    def test_several_articles_are_all_read(self, tag: str) -> None:
        posts = "".join(f"<article><h2>Post {n}</h2>{part(n)}{part(n + 10)}</article>" for n in range(4))
        body = f"<{tag}>{posts}</{tag.split(maxsplit=1)[0]}>" if tag != "article" else posts
        assert parts_of(read(body)) == [0, 1, 2, 3, 10, 11, 12, 13]

    def test_teasers_of_other_articles_are_not(self) -> None:
        teaser = "<article><h3><a href=/other>Some other ferry</a></h3><p>More of it …</p></article>"
        page = read(f"<article><h1>Ferries</h1>{part(0)}{part(1)}{part(2)}</article>{teaser * 4}")
        assert parts_of(page) == [0, 1, 2]
        assert "Some other" not in page.page.text


class TestSilence:
    """That an extractor of articles passes over something on a plain page says little."""

    @pytest.mark.parametrize(
        "markup",
        [
            "<ul><li>Lamp care</li><li>Rope care</li></ul>",
            "<ol><li>Ring the bell</li><li>Wait</li></ol>",
            "<div class=alert>Mind the gap</div>",
            "<aside class=note>Mind the gap</aside>",
            "<figure><img src=a.png><figcaption>The crane turns</figcaption></figure>",
            "<dl><dt>Slip</dt><dd>Where boats go in</dd></dl>",
            "<div><span>Text in a span</span></div>",
            "<blockquote>Said the warden</blockquote>",
            "<address>North quay 4</address>",
        ],
    )
    @pytest.mark.parametrize("around", ["main", "div", "body"])
    def test_what_stands_under_a_heading_between_paragraphs(self, markup: str, around: str) -> None:
        content = f"<h1>Ferries</h1>{part(0)}<h2>More</h2>{markup}{part(1)}{part(2)}"
        page = read(content if around == "body" else f"<{around}>{content}</{around}>")
        assert parts_of(page) == [0, 1, 2]
        assert len(page.page.text.split("## More")[1].split("Part 1")[0].split()) >= 3

    def test_a_list_of_links_that_a_line_leads_to(self) -> None:
        page = read(f"<div>{part(0)}<p>These are the ferries:</p>{MENU}{part(1)}{part(2)}</div>")
        assert "Entry number 11" in page.page.text

    def test_also_where_a_box_is_around_the_list(self) -> None:
        page = read(f"<div>{part(0)}<p>These are the ferries: <div class=columns>{MENU}</div>{part(1)}{part(2)}</div>")
        assert "Entry number 11" in page.page.text

    def test_a_page_that_is_a_list_of_links(self) -> None:
        assert "Entry number 11" in read(f"<main><h1>All entries</h1>{MENU}</main>").page.text


class TestChrome:
    @pytest.mark.parametrize("tag", ["header", "nav", "aside", "footer", "div role=banner", "div role=navigation"])
    def test_goes(self, tag: str) -> None:
        page = read(f"<{tag}>{MENU}</{tag.split(maxsplit=1)[0]}><div>{part(0)}{part(1)}{part(2)}</div>")
        assert "Entry number" not in page.page.text
        assert parts_of(page) == [0, 1, 2]

    @pytest.mark.parametrize("tag", ["header", "nav", "aside", "footer", "table", "form"])
    def test_never_holds_the_page(self, tag: str) -> None:
        inside = f"<tr><td>{''.join(map(part, range(5)))}</table>" if tag == "table" else "".join(map(part, range(5)))
        assert parts_of(read(f"<{tag}>{inside}")) == list(range(5))

    @pytest.mark.parametrize("tag", ["header", "nav", "aside", "footer"])
    def test_that_was_never_closed_ends_where_a_browser_ends_it(self, tag: str) -> None:
        page = read(f"<{tag}><div class=logo><a href=/>Harbour</a></{tag}><main>{part(0)}{part(1)}{part(2)}</main>")
        assert parts_of(page) == [0, 1, 2]

    def test_the_pages_title_stays_though_it_stands_in_the_header(self) -> None:
        page = read(f"<header>{MENU}<h1>Ferries</h1></header><div>{part(0)}{part(1)}{part(2)}</div>")
        assert page.page.text.startswith("# Ferries\n")
        assert "Entry number" not in page.page.text

    def test_the_sites_name_does_not(self) -> None:
        page = read(f"<header><h1><a href=/>Harbour</a></h1></header><div><h1>Ferries</h1>{part(0)}{part(1)}{part(2)}</div>")
        assert "Harbour" not in page.page.text

    def test_a_section_on_comments_is_no_comments(self) -> None:
        page = read(f"<main>{part(0)}<section id=comments><h2>Comments</h2>{part(1)}</section>{part(2)}</main>")
        assert parts_of(page) == [0, 1, 2]

    def test_comments_are(self) -> None:
        page = read(f"<main>{part(0)}{part(1)}{part(2)}<div class=comments-area>{part(3)}</div></main>")
        assert parts_of(page) == [0, 1, 2]

    def test_a_form_with_controls_goes_and_one_without_is_text(self) -> None:
        forms = f"<form>{part(4)}<input name=q></form><form>{part(5)}</form>"
        assert parts_of(read(f"<main>{''.join(map(part, range(4)))}{forms}</main>")) == [0, 1, 2, 3, 5]


class TestPoorGuesses:
    def test_a_box_is_not_taken_for_the_page(self) -> None:
        page = read(
            "<div id=page>" + "".join(part(n, tag="span") for n in range(5)) + "</div>"
            "<div class=cookie-box><p>We use cookies. You may accept them all, or choose which ones you want to accept.</p></div>"
        )
        assert parts_of(page) == list(range(5))

    def test_articles_lose_what_is_about_others(self) -> None:
        more = "<p><a href=/a>Read more: The other ferry of the harbour</a></p>"
        page = read(f"<div>{part(0)}{more}{part(1)}{part(2)}</div>", head=ARTICLE)
        assert parts_of(page) == [0, 1, 2]
        assert "Read more" not in page.page.text

    def test_manuals_do_not(self) -> None:
        more = "<p><a href=/a>Read more: The other ferry of the harbour</a></p>"
        assert "Read more" in read(f"<main>{part(0)}{more}{part(1)}</main>").page.text


class TestFolded:
    @pytest.mark.parametrize(
        "markup",
        [
            "<h3><button aria-expanded=false aria-controls=a>Why?</button></h3><div id=a hidden>Because.</div>",
            "<button aria-expanded=false>Why?</button><div hidden>Because.</div>",
            "<h3><a data-toggle=collapse href='#a'>Why?</a></h3><div id=a class=collapse style='display:none'>Because.</div>",
            "<button class=accordion-button data-bs-target='#a'>Why?</button><div id=a style='display:none'>Because.</div>",
            "<details><summary>Why?</summary>Because.</details>",
            "<p>Why?</p><div hidden=until-found>Because.</div>",
            "<p>Why?</p><div class=accordion-body style='display: none'>Because.</div>",
        ],
    )
    def test_what_a_control_opens_is_content(self, markup: str) -> None:
        text = read(f"<main>{part(0)}{markup}{part(1)}</main>").page.text
        assert "Why?" in text
        assert "Because." in text

    @pytest.mark.parametrize(
        "markup",
        [
            "<button aria-controls=a>Menu</button><div id=a class=dropdown-menu hidden>Unseen</div>",
            "<button data-target='#a'>More</button><div id=a role=dialog hidden>Unseen</div>",
            "<div id=a hidden>Unseen</div>",
            "<dialog>Unseen</dialog>",
        ],
    )
    def test_what_only_lies_over_the_page_is_not(self, markup: str) -> None:
        assert "Unseen" not in read(f"<main>{part(0)}{markup}{part(1)}</main>").page.text

    def test_a_post_for_readers_without_scripts(self) -> None:
        assert parts_of(read(f"<div><script>x()</script><noscript>{part(0)}{part(1)}</noscript></div>")) == [0, 1]

    def test_but_not_a_second_time(self) -> None:
        page = read(f"<main>{part(0)}{part(1)}<noscript>{part(0)}{part(1)}</noscript></main>")
        assert page.page.text.count("Part 0:") == 1

    def test_nor_a_plea_for_scripts(self) -> None:
        plea = "<noscript>Please enable JavaScript to see this page as it is meant to be.</noscript>"
        assert "JavaScript" not in read(f"<main>{plea}{part(0)}{part(1)}</main>").page.text


class TestComparedAlike:
    def test_soft_hyphens(self) -> None:
        soft = part(0).replace("leaves", "lea&shy;ves") + part(1).replace("quay", "qu<wbr>ay") + part(2)
        page = read(f"<div>{soft}</div>")
        assert parts_of(page) == [0, 1, 2]
        assert "leaves0" in page.page.text

    def test_scripts_without_spaces(self) -> None:
        text = "港口的渡轮每天早晨从北码头出发，傍晚返回，乘客须在开船前十分钟到达码头并出示船票。"
        page = read(f"<div><h2>渡轮</h2><p>{text}</p><ul><li>北码头</li><li>南码头</li></ul><p>{text[::-1]}</p></div>")
        assert "北码头\n" in page.page.text
        assert coverage_of(page).share == 1


class TestCoverage:
    def test_what_was_left_out_is_told_with_its_place_and_reason(self) -> None:
        page = read(
            f"<nav>{MENU}</nav><main>{part(0)}<div class=newsletter>Sign up for our letter</div>{part(1)}</main>"
            "<footer>© us</footer>"
        )
        coverage = coverage_of(page)
        assert [(one.reason, one.words) for one in coverage.left_out] == [("navigation", 36), ("teaser", 5), ("page footer", 1)]
        assert coverage.left_out[0].link_words == 36
        assert coverage.left_out[0].text.endswith(" …")
        assert coverage.left_out[1].text == "Sign up for our letter"
        before = page.page.text[: coverage.left_out[1].at]
        assert (before.count("Part 0:"), before.count("Part 1:")) == (1, 0)
        assert [one.at for one in coverage.left_out] == [0, len(before), len(page.page.text)]

    def test_figures(self) -> None:
        coverage = coverage_of(read(f"<nav>{MENU}</nav><main>{part(0)}{part(1)}</main>"))
        assert coverage.visible_words == 36 + 2 * 42
        assert coverage.kept_words == 2 * 42
        assert coverage.prose_share == 1

    def test_explaining_gives_the_whole_text(self) -> None:
        page = read(f"<nav>{MENU}</nav><main>{part(0)}</main>", explain=True)
        assert coverage_of(page).left_out[0].text.endswith("Entry number 11")


class TestSelectors:
    def test_keep(self) -> None:
        page = read(
            f"<main><div class=a>{part(0)}</div>{part(1)}<div class=a>{part(2)}</div></main><nav class=a>{MENU}</nav>",
            keep=(".a",),
        )
        assert parts_of(page) == [0, 2]
        assert "Entry number 11" in page.page.text
        assert "not selected" in {one.reason for one in coverage_of(page).left_out}

    def test_drop(self) -> None:
        page = read(f"<main>{part(0)}<div id=x>{part(1)}</div>{part(2)}</main>", drop=("#x",))
        assert parts_of(page) == [0, 2]

    def test_both(self) -> None:
        page = read(f"<main><div class=a>{part(0)}<b>{part(1)}</b></div>{part(2)}</main>", keep=("div.a",), drop=("b",))
        assert parts_of(page) == [0]

    def test_one_that_matches_nothing_leaves_it_to_the_rules(self) -> None:
        page = read(f"<main>{part(0)}{part(1)}</main>", keep=(".none",))
        assert parts_of(page) == [0, 1]
        assert any("match nothing" in note for note in page.notes)
