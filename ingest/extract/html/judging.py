"""Judges the parts of a page's content: which of them are menus, teasers and forms in its midst."""

from __future__ import annotations

import re
from itertools import islice

from lxml.html import HtmlElement

from ingest.extract.html.chrome import has_boilerplate_name
from ingest.extract.html.code import is_code_block
from ingest.extract.html.elements import HEADINGS, LEFT_OUT, word_set
from ingest.extract.html.leaving import OUTSIDE
from ingest.extract.html.words import PageWords

LINKS = "links"
TEASER = "teaser"

# Shares of an element's words.
REJECTED_SHARE = 0.5  # fewer of them kept by trafilatura, and it rejected the element
_LINK_DENSE = 0.5
_MENU_LINKS = 0.8
_EDGE_LINKS = 0.1
_FEED_SHARE = 0.8
_MENU_WORDS = 10
_MENU_ITEMS = 3
_TEASER_WORDS = 4
_TEXT_WORDS = 60  # with less running text, a page may be an index: a list of links is then what it has to say
_CONTAINERS = word_set(
    "article body center div dl main ol section span table tbody td th tr ul form aside header footer font blockquote figure "
    "details"
)
_TEXTUAL = word_set("p td th li dt dd figcaption caption pre h1 h2 h3 h4 h5 h6 span font a")  # judged as a whole, never in pieces
_LINK_BLOCKS = word_set("ul ol menu dir div section table form center")
_LISTS = word_set("ul ol")
_TEASER_TAGS = word_set("p div li")
# What trafilatura may drop from the midst of content, whatever it is called, and what it may if it isn't called boilerplate.
_STRUCTURES = ("pre", "table", "math", "details")
_QUOTED_OR_DEFINED = ("dl", "blockquote")

_GENERATED_CLASS = re.compile(r"(?:section|level\d|sect\d|unnumbered|\s)*", re.IGNORECASE)  # Sphinx, Pandoc, Quarto, Hugo
_NOT_IN_IDS = re.compile(r"[\W_]+")

Judged = list[tuple[HtmlElement, str]]  # parts that are to go, with the reason


class Judge:
    """Judges what stands under a root.

    Args:
        is_voted: trafilatura's vote counts (:meth:`PageWords.vote`); else the root is the page's own main part, and only names
            and links speak against what is in it.
        is_article: the page is an article, so that what is about other things goes, at its edges above all.
    """

    def __init__(self, words: PageWords, root: HtmlElement, *, is_voted: bool, is_article: bool) -> None:
        self._words = words
        self._root = root
        self._is_voted = is_voted
        self._is_article = is_article
        # Ranges of words in the root: from the first to the last of running text, and of what trafilatura kept.
        self._prose_range = words.paragraph_range(root)
        self._kept_range = words.kept_range(root)

    def rejected(self) -> Judged:
        found: Judged = []
        self._judge(self._root, found)
        return found

    def _judge(self, content: HtmlElement, found: Judged) -> None:
        words = self._words
        leads = False  # whether the element before, in reverse order, is content that a heading may lead
        for element in reversed(list(content)):
            count = words.count(element)
            if not count or element.tag == LEFT_OUT:
                continue
            if is_code_block(element):
                leads = True
                continue
            if is_heading(element, words):
                leads = leads or bool((element.tail or "").strip())
                if self._is_voted and not leads and words.kept(element) < REJECTED_SHARE * count:
                    found.append((element, OUTSIDE))
                else:
                    leads = True  # a heading of higher rank leads to it
                continue
            weigh = words.kept if self._is_voted else words.prose
            holds_most = 2 * weigh(element) > weigh(content)
            reason = None if holds_most else self._reason(element)
            if reason is not None:
                found.append((element, reason))
                leads = False
                continue
            leads = True
            if may_hold_page(element) and element.tag not in _TEXTUAL:
                self._judge(element, found)

    def _reason(self, element: HtmlElement) -> str | None:
        return self._reason_by_vote(element) if self._is_voted else self._reason_in_document(element)

    def _reason_in_document(self, element: HtmlElement) -> str | None:
        """Why a part of a page's main part is no content: it is called so, or a menu before or after the text."""
        return TEASER if self._is_called_boilerplate(element) else self._is_menu(element)

    def _is_called_boilerplate(self, element: HtmlElement) -> bool:
        """Whether its name says surely that it is no content, or its name and its links do."""
        if self._is_named_by_heading(element):
            return False
        if has_boilerplate_name(element, surely=True):
            return True
        return has_boilerplate_name(element) and self._words.in_links(element) > _LINK_DENSE * self._words.count(element)

    def _is_named_by_heading(self, element: HtmlElement) -> bool:
        """Whether an element's id was made of its heading, as generators do: a manual may have a section on comments."""
        name = element.get("id", "").lower()
        if not name or not _GENERATED_CLASS.fullmatch(element.get("class", "")):
            return False
        heading = next(element.iter(*HEADINGS), None)
        return heading is not None and _NOT_IN_IDS.sub("", name) in _NOT_IN_IDS.sub("", self._words.text(heading).lower())

    def _reason_by_vote(self, element: HtmlElement) -> str | None:
        """Why a part is no content, where trafilatura's silence is one sign of it."""
        words = self._words
        count, links = words.count(element), words.in_links(element)
        if words.kept(element) >= REJECTED_SHARE * count:
            if self._is_article and element.tag in _TEASER_TAGS and count >= _TEASER_WORDS and links > _MENU_LINKS * count:
                return TEASER
            return self._is_menu(element)
        if next(element.iter(*_STRUCTURES), None) is not None:
            return None
        if self._is_article and self._is_feed(element):
            return TEASER
        if has_boilerplate_name(element) if self._is_article else self._is_called_boilerplate(element):
            return TEASER
        if next(element.iter(*_QUOTED_OR_DEFINED), None) is not None:
            return None
        if links > _LINK_DENSE * count and self._may_be_menu(element):
            is_led = self._follows_heading(element) if self._is_article else self._is_led(element)
            if not is_led:
                return LINKS
        first, last = words.range_of(element)
        at_edge = last <= self._kept_range[0] or first >= self._kept_range[1]
        reads_on = words.paragraphs(element) and links <= _EDGE_LINKS * count
        if self._is_article and at_edge and not reads_on and not self._follows_heading(element):
            return OUTSIDE
        return None

    def _is_menu(self, element: HtmlElement) -> str | None:
        """Whether a part is a list of links before or after all of the page's running text, with nothing that leads to it."""
        words = self._words
        count, (first, last) = words.count(element), words.range_of(element)
        if element.tag not in _LINK_BLOCKS or count < _MENU_WORDS or words.in_links(element) <= _MENU_LINKS * count:
            return None
        start, end = self._prose_range
        is_outside = end - start >= _TEXT_WORDS and (last <= start or first >= end)
        return LINKS if is_outside and not self._is_led(element) else None

    def _is_feed(self, element: HtmlElement) -> bool:
        """Whether it is a list of other articles: each item begins with a link, to which the rest is an appetiser."""
        items = [e for e in element.iter("li") if self._words.count(e)]
        if len(items) < _MENU_ITEMS or sum(map(self._words.count, items)) < _FEED_SHARE * self._words.count(element):
            return False
        first = (next((e for e in item.iter("a", "p", "span", "h2", "h3", "h4") if self._words.count(e)), None) for item in items)
        return all(e is not None and e.tag == "a" for e in first)

    def _may_be_menu(self, element: HtmlElement) -> bool:
        """A single link in a block of its own may be what a manual points to; in an article it is a teaser."""
        if element.tag not in _LINK_BLOCKS:
            return False
        return self._is_article or len(list(islice(element.iter("a"), _MENU_ITEMS))) == _MENU_ITEMS

    def _is_led(self, element: HtmlElement) -> bool:
        """Whether a heading, a line that ends in a colon, or a list's paragraph says what the element is."""
        before = self._before(element)
        if before is None:
            return False
        parts = [part for part in element if self._words.count(part)]
        is_list = element.tag in _LISTS or (len(parts) == 1 and parts[0].tag in _LISTS)
        is_list_of_paragraph = before.tag == "p" and is_list
        return is_list_of_paragraph or is_heading(before, self._words) or self._words.text(before).endswith(":")

    def _before(self, element: HtmlElement) -> HtmlElement | None:
        """What is read before an element: its last sibling with words, or that of what it begins."""
        while element is not self._root:
            before = element.getprevious()
            while before is not None and not self._words.count(before):
                before = before.getprevious()
            parent = element.getparent()
            if before is not None or parent is None:
                return before
            element = parent
        return None

    def _follows_heading(self, element: HtmlElement) -> bool:
        """Whether it is the first thing under a heading that trafilatura kept: a heading never stays without what it leads."""
        before = self._before(element)
        return (
            before is not None and is_heading(before, self._words) and 2 * self._words.kept(before) >= self._words.count(before)
        )


def may_hold_page(element: HtmlElement) -> bool:
    """Whether an element may hold others that are judged one by one."""
    return element.tag in _CONTAINERS or "-" in element.tag  # custom elements


def is_heading(element: HtmlElement, words: PageWords) -> bool:
    """A heading, or a wrapper that holds little else."""
    heading = next(element.iter(*HEADINGS), None)
    return heading is not None and 2 * words.count(heading) > words.count(element)
