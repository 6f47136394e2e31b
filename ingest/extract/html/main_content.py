"""Finds a page's main content: what is left of the DOM when navigation, chrome and hidden parts are gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import trafilatura
from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.blocks import is_layout_table, word_set

MIN_CONTENT_CHARS = 200
_COVERING_SHARE = 0.9
_REJECTED_SHARE = 0.5
_SHINGLE_WORDS = 4
_KEPT_STRUCTURES = ("pre", "table", "math", "details", "dl")  # trafilatura may drop these from the midst of content

_CHROME_TAGS = word_set("script style noscript template nav iframe object embed svg canvas dialog button select textarea input")
_CHROME_ROLES = word_set("navigation banner contentinfo search menu menubar toolbar complementary dialog alertdialog tablist")
# Exact class or id names of documentation generators' navigation: Sphinx, DocBook, MkDocs, MediaWiki, GitHub, Docusaurus.
_CHROME_NAMES = word_set(
    "navheader navfooter sphinxsidebar sphinxsidebarwrapper related headerlink header-anchor hash-link anchorjs-link "
    "heading-anchor viewcode-link mw-editsection mw-jump-link mw-indicators catlinks noprint printfooter navbox "
    "vertical-navbox sidebar-nav breadcrumb breadcrumbs md-sidebar md-nav md-source-file theme-doc-toc-mobile "
    "theme-doc-breadcrumbs pagination-nav prev-next-area skip-link skiplink visually-hidden sr-only screen-reader-text "
    "copybtn footnote-backref cookie-banner cookie-consent"
)
_HIDING_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|text-indent\s*:\s*-\d{3,}|(?<![\w-])(?:left|top)\s*:\s*-\d{4,}", re.IGNORECASE
)
_NO_SIZE = re.compile(r"font-size\s*:\s*0(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)", re.IGNORECASE)
_DECORATION_SHARE = 0.5
_ASIDE_IN_CONTENT = re.compile(r"admonition|callout|note|warning|tip|caution|aside", re.IGNORECASE)
_PERMALINK_SIGNS = frozenset("¶#§🔗")
# Elements that documentation generators put around the content and nothing else.
_DOCUMENT_NAMES = word_set(
    "mw-parser-output markdown-body theme-doc-markdown md-content__inner docbook refentry chapter appendix sect1 preface "
    "rst-content bd-article"
)
_CONTAINERS = word_set(
    "article body center div dl main ol section span table tbody td tr ul form aside header footer font blockquote"
)
_WORD = re.compile(r"\w+")


def isolate_main_content(body: HtmlElement) -> HtmlElement:
    """The element that holds the content, freed in place of what isn't content.

    It is known by its name, or else found by trafilatura's judgement, or else the largest landmark, or else ``body``.
    """
    document = _named_document(body)
    if document is not None:
        _prune(document, is_document=True)
        return document
    # trafilatura sees the untouched page, for which its rules were made.
    extracted = trafilatura.extract(body.getroottree().getroot(), include_comments=False, fast=True)
    _prune(body, is_document=False)
    covering = _covering_element(body, extracted or "")
    if covering is not None:
        return covering
    landmarks = [
        e
        for e in body.iterdescendants("main", "article", "div", "section")
        if e.tag in ("main", "article") or e.get("role") == "main"
    ]
    largest = max(landmarks, key=_text_chars, default=body)
    return largest if _text_chars(largest) >= MIN_CONTENT_CHARS else body


def prune_document(body: HtmlElement) -> HtmlElement:
    """A body that is content through and through, freed of scripts and hidden parts."""
    _prune(body, is_document=True)
    return body


def _prune(body: HtmlElement, *, is_document: bool) -> None:
    """Remove what is never content: scripts, navigation, page headers and footers, hidden parts, permalinks.

    Inside a document, asides, headers and footers are the author's: sidebars, footnotes, title pages.
    """
    for script in body.iter("script"):
        if script.get("type", "").lower().startswith("math/tex"):  # MathJax 2 keeps its sources so
            script.tag = "math"
            script.set("alttext", script.text or "")
    for element in [e for e in body.iterdescendants() if _is_chrome(e, is_document)]:
        element.drop_tree()
    total_chars = _text_chars(body)
    for form in list(body.iter("form")):  # some frameworks wrap the whole page in one form
        if 2 * _text_chars(form) < total_chars:
            form.drop_tree()


def _is_chrome(element: HtmlElement, is_document: bool) -> bool:
    tag = element.tag
    if tag in _CHROME_TAGS:
        return True
    if tag in ("header", "footer", "aside") and not is_document:
        content = next(element.iterancestors("main", "article"), None)
        if content is None or (tag == "aside" and not _ASIDE_IN_CONTENT.search(element.get("class", ""))):
            return True
    if not element.attrib:
        return False
    if tag == "a" and (element.text or "").strip() in _PERMALINK_SIGNS and not len(element):
        return True
    return _is_hidden(element) or element.get("role") in _CHROME_ROLES or not _CHROME_NAMES.isdisjoint(_names(element))


def _is_hidden(element: HtmlElement) -> bool:
    hidden = element.get("hidden")
    if hidden is not None and hidden != "until-found" and element.get("role") != "tabpanel":
        return True
    if element.get("aria-hidden") == "true" and element.tag not in ("img", "math") and not _holds_page(element):
        return True
    style = element.get("style")
    if not style:
        return False
    # Formulas are hidden beside the picture that shows them (MediaWiki).
    is_hidden = bool(_HIDING_STYLE.search(style)) and element.find(".//math") is None
    return is_hidden or (not len(element) and bool(_NO_SIZE.search(style)))


def _holds_page(element: HtmlElement) -> bool:
    """Whether most of the page is in it: frameworks hide that from screen readers while a dialog is open, and save it so."""
    body = next((above for above in islice(element.iterancestors(), 2) if above.tag == "body"), None)
    return body is not None and _text_chars(element) > max(MIN_CONTENT_CHARS, _DECORATION_SHARE * _text_chars(body))


def _names(element: HtmlElement) -> set[str]:
    return {*element.get("class", "").split(), *element.get("id", "").split()}


def _text_chars(element: HtmlElement) -> int:
    return sum(len(text.strip()) for text in element.itertext())


def _named_document(body: HtmlElement) -> HtmlElement | None:
    """Documentation generators mark their content; take the outermost such element that holds enough text."""
    for element in body.iter("div", "article", "main", "section", "body"):
        names = _names(element)
        is_sphinx = "body" in names and element.get("role") == "main"
        if (is_sphinx or not _DOCUMENT_NAMES.isdisjoint(names)) and _text_chars(element) >= MIN_CONTENT_CHARS:
            return element
    return None


def _covering_element(body: HtmlElement, extracted: str) -> HtmlElement | None:
    """The smallest element that covers what trafilatura ``extracted``, freed of the parts that it rejected.

    trafilatura decides *where* the content is; the structure then comes from the page's own DOM, which keeps the code,
    tables and lists that trafilatura's output would lose.
    """
    votes = _votes(body, extracted)
    total = votes[body].kept if body in votes else 0
    if not total:
        return None
    element = body
    while True:
        inner = max(element, key=lambda child: votes[child].kept if child in votes else 0, default=None)
        if inner is None or inner not in votes or votes[inner].kept < _COVERING_SHARE * total or not _may_hold_page(inner):
            break
        element = inner
    _drop_rejected(element, votes, expendable=(1 - _COVERING_SHARE) * total)
    return element


def _may_hold_page(element: HtmlElement) -> bool:
    return element.tag in _CONTAINERS and (element.tag != "table" or is_layout_table(element))


@dataclass(slots=True)
class _Votes:
    """How many of an element's words there are, and how many of them trafilatura kept."""

    words: int = 0
    kept: int = 0


def _votes(body: HtmlElement, extracted: str) -> dict[HtmlElement, _Votes]:
    """Match the page's words with trafilatura's by shingles, over the running text, so that markup plays no part."""
    words: list[str] = []
    owners: list[tuple[HtmlElement, int, int]] = []
    for element, text in _text_nodes(body):
        found = _WORD.findall(text)
        if found:
            owners.append((element, len(words), len(words) + len(found)))
            words += found
    wanted = set(_shingles(_WORD.findall(extracted)))
    kept = bytearray(len(words))
    for i, shingle in enumerate(_shingles(words)):
        if shingle in wanted:
            kept[i : i + _SHINGLE_WORDS] = b"\1" * _SHINGLE_WORDS
    votes: dict[HtmlElement, _Votes] = {}
    for owner, start, end in owners:
        kept_words = sum(kept[start:end])
        for element in (owner, *owner.iterancestors()):
            vote = votes.setdefault(element, _Votes())
            vote.words += end - start
            vote.kept += kept_words
    return votes


def _text_nodes(body: HtmlElement) -> Iterator[tuple[HtmlElement, str]]:
    """Each text node with the element that it stands in, in document order."""
    for event, element in etree.iterwalk(body, events=("start", "end")):
        if event == "start":
            yield element, element.text or ""
        elif element is not body:
            yield element.getparent(), element.tail or ""


def _shingles(words: list[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[i:] for i in range(_SHINGLE_WORDS)), strict=False)


def _drop_rejected(content: HtmlElement, votes: dict[HtmlElement, _Votes], *, expendable: float) -> None:
    """Drop the parts that trafilatura rejected, but for code, tables and formulas, and headings that lead kept content.

    No part with more than ``expendable`` kept words goes as a whole.
    """
    leads_content = False
    for element in reversed(list(content)):
        vote = votes.get(element)
        if vote is None:
            continue
        is_rejected = vote.kept < _REJECTED_SHARE * vote.words and vote.kept <= expendable
        if _is_heading(element, votes):
            if is_rejected and not leads_content:
                element.drop_tree()
            leads_content = False
        elif is_rejected and next(element.iter(*_KEPT_STRUCTURES), None) is None:
            element.drop_tree()
        else:
            leads_content = True
            is_whole = is_rejected and element.tag in _KEPT_STRUCTURES
            if element.tag in _CONTAINERS and vote.kept < vote.words and not is_whole:
                _drop_rejected(element, votes, expendable=expendable)


def _is_heading(element: HtmlElement, votes: dict[HtmlElement, _Votes]) -> bool:
    """A heading, or a wrapper that holds little else."""
    heading = next(element.iter("h1", "h2", "h3", "h4", "h5", "h6"), None)
    return heading is not None and heading in votes and 2 * votes[heading].words > votes[element].words
