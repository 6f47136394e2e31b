"""CSS selectors that say what of a page is content: what is accepted, and what is refused with which words."""

from __future__ import annotations

import pytest
from lxml import html

from corpus.errors import InvalidInput, PermanentError
from corpus.model import ContentSelectors
from corpus.selectors import MAX_SELECTOR_CHARS, MAX_SELECTORS, SiteSelectors, check_selectors, site_key
from ingest.extract.html.selectors import compile_selectors

PAGE = """<html><body><nav id=top><a href=/>Home</a></nav><MAIN class="doc wide"><h1>Limits</h1><p lang=en>Ten requests.</p>
<div class=ad>Buy</div><ul><li>one</li><li>two</li></ul></MAIN></body></html>"""


@pytest.mark.parametrize(
    ("selector", "texts"),
    [
        ("main", ["Limits"]),  # in any case
        ("#top > a", ["Home"]),
        ("div.ad, nav", ["Home", "Buy"]),  # in document order
        (".doc :not(.ad):not(ul):not(li)", ["Limits", "Ten requests."]),
        ("li:nth-child(2)", ["two"]),
        ("ul:has(> li) li:first-child", ["one"]),
        ('[lang|="en"]', ["Ten requests."]),
        ('a[href="/"]', ["Home"]),
        ("li:contains(two)", ["two"]),
        ("  h1  ", ["Limits"]),
        ("ul:has(li)", ["one"]),
        (":is(h1, .ad)", ["Limits", "Buy"]),
    ],
)
def test_selectors_match_as_in_a_style_sheet(selector: str, texts: list[str]) -> None:
    root = html.document_fromstring(PAGE)

    (compiled,) = compile_selectors([selector])

    assert [next(text.strip() for text in element.itertext() if text.strip()) for element in compiled(root)] == texts


UNREADABLE = ["", " ", ",", "div >", "a{", "p:first-liner", "p::first-line", "svg|path", "[xlink|href]", "a[href=foo/bar]", "#"]
UNREADABLE += ["@media", "@x", "\0", "p:nth-child(two)", "*:first-of-type", "\\", "div\ud800"]


@pytest.mark.parametrize("selector", UNREADABLE)
def test_what_is_no_selector_is_refused_by_name(selector: str) -> None:
    with pytest.raises(InvalidInput, match="can't be read") as caught:
        check_selectors(["main", selector])
    assert f'"{selector.strip()}"' in caught.value.message

    with pytest.raises(PermanentError) as failed:
        compile_selectors([selector])
    assert failed.value.reason == "bad_selector"


def test_selectors_have_a_longest_and_a_most() -> None:
    assert check_selectors(["p" * MAX_SELECTOR_CHARS]) == ("p" * MAX_SELECTOR_CHARS,)
    with pytest.raises(InvalidInput, match="longer than 500 characters"):
        check_selectors(["p" * (MAX_SELECTOR_CHARS + 1)])
    assert len(check_selectors(["p"] * MAX_SELECTORS)) == MAX_SELECTORS
    with pytest.raises(InvalidInput, match="20 are the most"):
        check_selectors(["p"] * (MAX_SELECTORS + 1))


LONGEST = [":is(" * 90 + "p" + ")" * 90, ":has(" * 80 + "p" + ")" * 80, "p " * 249 + "p", "p~" * 249 + "p", "[a]" * 166]


@pytest.mark.parametrize("selector", LONGEST)
def test_the_longest_selectors_are_read_or_refused_with_words(selector: str) -> None:
    try:
        (compiled,) = compile_selectors([selector])
    except PermanentError:
        return
    assert compiled(html.document_fromstring(PAGE)) is not None


def said(*selectors: str) -> ContentSelectors:
    return ContentSelectors(keep=selectors)


SITES = SiteSelectors(
    {
        "Docs.Example.com": said("of host"),
        "docs.example.com:8000": said("of port"),
        "https://docs.example.com/guide": said("of guide"),
        "https://docs.example.com/guide/api/": said("of api"),
        "bücher.example": said("of idna"),
        "[::1]": said("of ipv6"),
    }
)


@pytest.mark.parametrize(
    ("url", "selectors"),
    [
        ("https://docs.example.com/", said("of host")),
        ("http://docs.example.com/a?b", said("of host")),
        ("https://docs.example.com:8443/", said("of host")),
        ("https://docs.example.com:8000/", said("of port")),
        ("https://docs.example.com/guide", said("of guide")),
        ("https://docs.example.com/guide?page=2", said("of guide")),
        ("https://docs.example.com/guide/", said("of guide")),
        ("https://docs.example.com/guidelines", said("of host")),  # by whole segments
        ("https://docs.example.com/guide/api/x", said("of api")),  # the longest prefix
        ("http://docs.example.com/guide/", said("of host")),  # a prefix has a scheme
        ("https://xn--bcher-kva.example/", said("of idna")),
        ("http://[::1]:8000/", said("of ipv6")),
        ("https://www.docs.example.com/", said()),
        ("https://example.com/", said()),
    ],
)
def test_the_selectors_of_a_site_are_those_of_its_longest_key(url: str, selectors: ContentSelectors) -> None:
    assert SITES.of(url) == selectors


def test_what_a_source_says_takes_the_place_of_what_the_settings_say() -> None:
    own = ContentSelectors(drop=(".ad",))
    assert SITES.of("https://docs.example.com/", own=own) == own


@pytest.mark.parametrize(
    "site", ["", "docs.example.com/guide", "ftp://docs.example.com/", "a b", "https://u:p@h/", "https://h/#x", "//h"]
)
def test_what_is_no_site_is_refused_by_name(site: str) -> None:
    with pytest.raises(InvalidInput, match="neither a host nor a URL"):
        site_key(site)
