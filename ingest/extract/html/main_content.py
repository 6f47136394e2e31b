"""Decides what of a page is its content.

The steps, each of which can be seen in what it leaves out (:class:`~corpus.model.LeftOut`):

1. What a reader never sees is removed (:mod:`.visibility`).
2. Selectors that the site's owner gave decide alone, if they match.
3. Chrome goes: navigation, page headers and footers, side columns. Never an element that holds the page itself.
4. The element that holds the content is found: by the names that documentation generators give it, or by where trafilatura sees
   an article, grown as long as there is much prose beside it.
5. Inside it, parts go that look like navigation or teasers. That trafilatura did not mention a part is only one sign of it.
6. If little of the page's prose is then kept, the largest landmark is taken whole, and in the end the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import trafilatura
from lxml.html import HtmlElement

from corpus.model import BY_SELECTOR, ContentSelectors
from ingest.extract.html.chrome import chrome_reason, has_boilerplate_name
from ingest.extract.html.code import is_code_block
from ingest.extract.html.elements import HEADINGS, LEFT_OUT, names_of, word_set
from ingest.extract.html.selectors import compile_selectors
from ingest.extract.html.visibility import drop_unseen
from ingest.extract.html.words import PageWords

OUTSIDE = "outside the main content"
LINKS = "links"
TEASER = "teaser"
FORM = "form"
NOT_SELECTED = "not selected"

_FEW_WORDS = 30  # less is no page: a named element or a landmark with so little was meant for something else
_COVERING_SHARE = 0.9
_DOCUMENT_SHARE = 0.5  # of the body's prose that an element named as the document must hold
_REJECTED_SHARE = 0.5
_LINK_DENSE = 0.5
_MENU_LINKS = 0.8
_MENU_WORDS = 10
_MENU_ITEMS = 3
_TEASER_WORDS = 4
_FEED_SHARE = 0.8
_EDGE_LINKS = 0.1
_PARAGRAPH_WORDS = 30
_GROWTH_SHARE = 0.25
_GROWTH_WORDS = 60
_GROWTH_DENSITY = 0.5
_ENOUGH_SHARE = 0.25
_FORM_SHARE = 0.5
# Elements that documentation generators put around the content and nothing else.
_DOCUMENT_NAMES = word_set(
    "mw-parser-output markdown-body theme-doc-markdown md-content__inner docbook refentry chapter appendix sect1 preface "
    "rst-content bd-article vp-doc sl-markdown-content mw-body doc-content tsd-page-content col-content"
)
_CONTAINERS = word_set(
    "article body center div dl main ol section span table tbody td th tr ul form aside header footer font blockquote figure "
    "details"
)
_LANDMARKS = ("main", "article")
_TEXTUAL = word_set("p td th li dt dd figcaption caption pre h1 h2 h3 h4 h5 h6 span font a")  # judged as a whole, never in pieces
_LINK_BLOCKS = word_set("ul ol menu dir div section table form center")
_TEASER_TAGS = word_set("p div li")
# What trafilatura may drop from the midst of content, whatever it is called, and what it may if it isn't called boilerplate.
_STRUCTURES = ("pre", "table", "math", "details")
_QUOTED_OR_DEFINED = ("dl", "blockquote")


_ARTICLE_TYPE = re.compile(r"schema\.org/(?:\w*Article|BlogPosting)\b")
_ARTICLE_DATA = re.compile(r'"@type"\s*:\s*\[?\s*"(?:\w*Article|BlogPosting)"')


@dataclass(frozen=True, slots=True)
class Part:
    """Something visible that was left out."""

    reason: str
    words: int
    link_words: int
    text: str


@dataclass(slots=True)
class MainContent:
    """``root`` holds the content; ``inside`` what was left out within it, by the placeholder that stands there; ``before`` and
    ``after`` what was left out around it; ``words`` all that a reader sees of the page."""

    root: HtmlElement
    words: PageWords
    inside: dict[HtmlElement, Part] = field(default_factory=dict)
    before: list[Part] = field(default_factory=list)
    after: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def isolate_main_content(
    body: HtmlElement, *, selectors: ContentSelectors, title: str = "", shown_words: int | None = None
) -> MainContent:
    """Free a body of what isn't content.

    Args:
        body: changed in place: parts that are left out are replaced by empty placeholders.
        title: the page's title; a page header that holds it as a heading keeps that heading.
        shown_words: how many words of each part are given as its text; None: all.
    """
    is_article = _is_article(body)
    drop_unseen(body)
    return _Isolation(body, selectors, title, is_article, shown_words).run()


def whole_document(body: HtmlElement) -> MainContent:
    """A body that is content through and through, freed of scripts and hidden parts."""
    drop_unseen(body)
    return MainContent(body, PageWords(body))


class _Isolation:
    def __init__(
        self, body: HtmlElement, selectors: ContentSelectors, title: str, is_article: bool, shown_words: int | None
    ) -> None:
        self._body = body
        self._selectors = selectors
        self._title = title.casefold()
        self._is_article = is_article
        self._shown_words = shown_words
        self._words = PageWords(body)
        self._parts: dict[HtmlElement, Part] = {}  # by placeholder
        self._notes: list[str] = []
        self._is_voted = False
        # Ranges of words in the content: from the first to the last of running text, and of what trafilatura kept.
        self._prose_range = self._kept_range = (0, 0)

    def run(self) -> MainContent:
        root = self._selected()
        if root is None:
            root = self._found()
        return self._result(root)

    # Selectors

    def _selected(self) -> HtmlElement | None:
        """What the owner's selectors keep, in one element; None if there are none for it, or they match nothing."""
        for selector in compile_selectors(self._selectors.drop):
            for element in selector(self._body):
                if element is not self._body:
                    self._leave_out(element, BY_SELECTOR)
        if not self._selectors.keep:
            return None
        chosen = {e for selector in compile_selectors(self._selectors.keep) for e in selector(self._body)}
        outer = [e for e in self._body.iter() if e in chosen and not any(above in chosen for above in e.iterancestors())]
        outer = [e for e in outer if self._words.count(e)]
        if not outer:
            self._notes.append("the selectors of what to keep match nothing on the page; the rules decided")
            return None
        if len(outer) == 1:
            return outer[0]
        root = self._common_ancestor(outer)
        self._leave_out_all_but(root, outer, NOT_SELECTED)
        return root

    # The rules

    def _found(self) -> HtmlElement:
        named = self._named_documents()
        self._leave_out_chrome(self._body, frozenset(named))
        if named:
            document = self._common_ancestor(named)
            if self._words.prose(document) >= _DOCUMENT_SHARE * self._words.prose(self._body):
                return self._with_title(document)
        self._words.discount(e for e in self._body.iter() if has_boilerplate_name(e) and not self._holds_most(e))
        landmark = None if self._is_article else self._landmark()
        if landmark is not None:
            self._leave_out_all(self._judged(landmark, self._reason_in_document))
            return self._with_title(landmark)
        return self._voted()

    def _voted(self) -> HtmlElement:
        """The content where trafilatura sees it."""
        self._is_voted = True
        self._words.vote(trafilatura.extract(self._body.getroottree().getroot(), include_comments=False, fast=True) or "")
        root = self._grown(self._covering_element())
        judged = self._judged(root, self._reason_by_vote)
        if self._keeps_enough(root, judged):
            self._leave_out_all(judged)
            return root if self._is_article else self._with_title(root)
        return self._fallback()

    def _landmark(self) -> HtmlElement | None:
        """The one element that the page marks as its main part, if it holds much of the running text."""
        found = [e for e in self._body.iter() if e.tag == "main" or e.get("role") == "main"]
        if not found:
            found = list(self._body.iter("article"))
        if len(found) != 1:
            return None
        share = self._words.paragraphs(found[0]), self._words.paragraphs(self._body)
        return found[0] if share[0] >= _ENOUGH_SHARE * share[1] and self._words.count(found[0]) else None

    def _holds_most(self, element: HtmlElement) -> bool:
        return 2 * self._words.prose(element) > self._words.prose(self._body)

    def _with_title(self, root: HtmlElement) -> HtmlElement:
        """The root, or what holds it together with the page's heading where that stands before it."""
        start = self._words.range_of(root)[0]
        title = None
        for element in self._body.iter():
            if self._is_title(element):
                if self._words.range_of(element)[1] > start:
                    break
                title = element
        if title is None or next(root.iter("h1"), None) is not None or title in root.iterancestors():
            return root
        both = self._common_ancestor([title, root])
        begin = self._words.range_of(title)[0]
        for child in self._beside(both, (root, title)):
            if child is title or child.tag == LEFT_OUT or not self._words.count(child):
                continue
            first, last = self._words.range_of(child)
            is_between = first >= begin and last <= start
            if not is_between or self._words.in_links(child) > _LINK_DENSE * self._words.count(child):
                self._leave_out(child, OUTSIDE)
        return both

    def _is_title(self, element: HtmlElement) -> bool:
        """Whether it is the page's heading: an ``h1``, or called a title and part of the declared one."""
        if element.tag == "h1":
            return self._words.count(element) > 0
        if "title" not in names_of(element) or not self._title:
            return False
        text = self._words.text(element).casefold()
        parent = element.getparent()
        in_header = parent is not None and any("header" in name for name in names_of(parent))
        return bool(text) and (text in self._title or in_header)

    def _beside(self, holder: HtmlElement, ends: Sequence[HtmlElement]) -> list[HtmlElement]:
        """What stands under a holder beside the paths to some elements."""
        path = {above for end in ends for above in end.iterancestors()}
        found: list[HtmlElement] = []

        def visit(element: HtmlElement) -> None:
            for child in element:
                if child in ends:
                    continue
                if child in path:
                    visit(child)
                else:
                    found.append(child)

        visit(holder)
        return found

    def _leave_out_all(self, judged: Iterable[tuple[HtmlElement, str]]) -> None:
        for element, reason in judged:
            self._leave_out(element, reason)

    def _named_documents(self) -> list[HtmlElement]:
        """The outermost elements that are named as a document, whatever else is on the page."""
        found: list[HtmlElement] = []
        for element in self._body.iter("div", "article", "main", "section", "body"):
            names = names_of(element) | {element.get("id", "")}
            is_sphinx = "body" in names and element.get("role") == "main"
            if (is_sphinx or not _DOCUMENT_NAMES.isdisjoint(names)) and self._words.count(element):
                found.append(element)
        marked = set(found)
        return [e for e in found if not any(above in marked for above in e.iterancestors())]

    def _common_ancestor(self, elements: Sequence[HtmlElement]) -> HtmlElement:
        first, *others = elements
        if not others:
            return first
        above = list(first.iterancestors())
        for other in others:
            holders = {other, *other.iterancestors()}
            above = [e for e in above if e in holders]
        return above[0]

    def _leave_out_chrome(self, element: HtmlElement, documents: frozenset[HtmlElement], in_content: bool = False) -> None:
        for child in list(element):
            reason = chrome_reason(child, in_content=in_content)
            if reason is None and child.tag == "form":  # some frameworks wrap the whole page in one form
                reason = FORM if self._words.count(child) < _FORM_SHARE * self._words.count(self._body) else None
            if reason is None or self._holds_page(child):
                self._leave_out_chrome(child, documents, in_content or child in documents or _is_landmark(child))
            elif self._words.count(child):
                self._leave_out(child, reason)

    def _holds_page(self, element: HtmlElement) -> bool:
        """Whether an element that is called chrome holds the page: its content, its title, or most of its prose."""
        body_prose = self._words.prose(self._body)
        if 2 * self._words.prose(element) > body_prose and self._words.prose(element) > _FEW_WORDS:
            return True
        if any(self._words.prose(inner) >= _FEW_WORDS for inner in element.iter(*_LANDMARKS)):
            return True
        return any(self._is_page_title(heading) for heading in element.iter("h1"))

    def _is_page_title(self, heading: HtmlElement) -> bool:
        """Whether a heading names the page, and not the site: it stands in the declared title, or is the only one."""
        text = self._words.text(heading).casefold()
        if not text or heading.find(".//a[@href]") is not None or any(above.tag == "a" for above in heading.iterancestors()):
            return False
        return text in self._title or len(list(islice(self._body.iter("h1"), 2))) == 1

    def _covering_element(self) -> HtmlElement:
        """The smallest element that holds what trafilatura kept; the body if it kept nothing."""
        element, total = self._body, self._words.kept(self._body)
        while total:
            inner = max(element, key=self._words.kept, default=None)
            if inner is None or self._words.kept(inner) < _COVERING_SHARE * total or not _may_hold_page(inner):
                break
            element = inner
        return element

    def _grown(self, element: HtmlElement) -> HtmlElement:
        """The element, or one around it that has much more prose in it, and not more of anything else."""
        words, grown = self._words, element
        if _is_landmark(element):
            return element
        for above in element.iterancestors():
            if above.tag == "html":
                break
            inside = words.paragraphs(grown)
            added, added_words = words.paragraphs(above) - inside, words.count(above) - words.count(grown)
            wanted = max(_GROWTH_WORDS, _GROWTH_SHARE * inside) if self._is_article else _PARAGRAPH_WORDS
            if added >= wanted and added >= _GROWTH_DENSITY * added_words:
                grown = above
            if _is_landmark(above):  # what is beside it, its author calls no content
                break
        return grown

    def _judged(self, root: HtmlElement, reason_of: Callable[[HtmlElement], str | None]) -> list[tuple[HtmlElement, str]]:
        """The parts of the content that are to go, with why."""
        self._prose_range = self._words.paragraph_range(root)
        self._kept_range = self._words.kept_range(root)
        found: list[tuple[HtmlElement, str]] = []
        self._judge(root, reason_of, found)
        return found

    def _judge(
        self, content: HtmlElement, reason_of: Callable[[HtmlElement], str | None], found: list[tuple[HtmlElement, str]]
    ) -> None:
        words = self._words
        leads = False  # whether the element before, in reverse order, is content that a heading may lead
        for element in reversed(list(content)):
            count = words.count(element)
            if not count or element.tag == LEFT_OUT:
                continue
            if is_code_block(element):
                leads = True
                continue
            if _is_heading(element, words):
                if self._is_voted and not leads and words.kept(element) < _REJECTED_SHARE * count:
                    found.append((element, OUTSIDE))
                else:
                    leads = True  # a heading of higher rank leads to it
                continue
            weigh = words.kept if self._is_voted else words.prose
            holds_most = 2 * weigh(element) > weigh(content)
            reason = None if holds_most else reason_of(element)
            if reason is not None:
                found.append((element, reason))
                leads = False
                continue
            leads = True
            if _may_hold_page(element) and element.tag not in _TEXTUAL:
                self._judge(element, reason_of, found)

    def _reason_in_document(self, element: HtmlElement) -> str | None:
        """Why a part of a page's main part is no content: it is called so, or a menu before or after the text."""
        return TEASER if self._is_called_boilerplate(element) else self._is_menu(element)

    def _is_called_boilerplate(self, element: HtmlElement) -> bool:
        """Whether its name says surely that it is no content, or its name and its links do."""
        if element.tag == "section" and not element.get("class"):
            return False  # its id comes from its heading, which may well be "Comments"
        if has_boilerplate_name(element, surely=True):
            return True
        return has_boilerplate_name(element) and self._words.in_links(element) > _LINK_DENSE * self._words.count(element)

    def _reason_by_vote(self, element: HtmlElement) -> str | None:
        """Why a part is no content, where trafilatura's silence is one sign of it."""
        words = self._words
        count, links = words.count(element), words.in_links(element)
        if words.kept(element) >= _REJECTED_SHARE * count:
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
        is_outside = end - start >= _GROWTH_WORDS and (last <= start or first >= end)
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
        """Whether a heading, or a line that ends in a colon, says what the element is."""
        before = self._before(element)
        return before is not None and (_is_heading(before, self._words) or self._words.text(before).endswith(":"))

    def _before(self, element: HtmlElement) -> HtmlElement | None:
        before = element.getprevious()
        while before is not None and not self._words.count(before):
            before = before.getprevious()
        return before

    def _follows_heading(self, element: HtmlElement) -> bool:
        """Whether it is the first thing under a heading that trafilatura kept: a heading never stays without what it leads."""
        before = self._before(element)
        return (
            before is not None and _is_heading(before, self._words) and 2 * self._words.kept(before) >= self._words.count(before)
        )

    def _keeps_enough(self, root: HtmlElement, judged: Iterable[tuple[HtmlElement, str]]) -> bool:
        kept = self._words.paragraphs(root) - sum(self._words.paragraphs(element) for element, _ in judged)
        return kept >= _ENOUGH_SHARE * (self._words.paragraphs(self._body) - self._in_other_articles(root))

    def _in_other_articles(self, root: HtmlElement) -> int:
        """Running text of articles beside the one that was found: a list of posts, say."""
        path = {root, *root.iterancestors()}
        if not any(e.tag == "article" for e in path):
            return 0
        outer = (e for e in self._body.iter("article") if not any(above.tag == "article" for above in e.iterancestors()))
        return sum(self._words.paragraphs(e) for e in outer if e not in path)

    def _fallback(self) -> HtmlElement:
        """The page's ``main``, or else its body, less what looks like links or teasers."""
        mains = [e for e in self._body.iter() if e.tag == "main" or e.get("role") == "main"]
        largest = max(mains, key=self._words.paragraphs, default=self._body)
        enough = self._words.paragraphs(largest) >= _ENOUGH_SHARE * self._words.paragraphs(self._body)
        root = largest if enough else self._body
        self._is_voted = False
        self._leave_out_all(self._judged(root, self._reason_in_document))
        return root

    # What is left out

    def _leave_out(self, element: HtmlElement, reason: str) -> None:
        part = self._part(element, reason)
        parent = element.getparent()
        if parent is None:
            return
        placeholder = element.makeelement(LEFT_OUT)
        placeholder.tail, element.tail = element.tail, None
        parent.replace(element, placeholder)
        self._words.remove(element, under=parent)
        self._parts[placeholder] = part

    def _part(self, element: HtmlElement, reason: str) -> Part:
        words = self._words
        return Part(reason, words.count(element), words.in_links(element), words.text(element, max_words=self._shown_words))

    def _leave_out_all_but(self, root: HtmlElement, kept: Sequence[HtmlElement], reason: str) -> None:
        holders = {above for e in kept for above in e.iterancestors()}
        for holder in [e for e in root.iter() if e in holders]:
            for child in list(holder):
                if child not in holders and child not in kept and self._words.count(child):
                    self._leave_out(child, reason)

    def _result(self, root: HtmlElement) -> MainContent:
        result = MainContent(root, self._words, notes=self._notes)
        inside = set(root.iter(LEFT_OUT))
        place = result.before
        for element in self._around(root):
            if element is root:
                place = result.after
                continue
            if element not in self._parts and self._words.count(element):
                place.append(self._part(element, OUTSIDE))
            place.extend(self._parts[placeholder] for placeholder in element.iter(LEFT_OUT) if placeholder in self._parts)
        result.inside = {placeholder: part for placeholder, part in self._parts.items() if placeholder in inside}
        return result

    def _around(self, root: HtmlElement) -> Iterator[HtmlElement]:
        """What stands beside the root, level by level, in document order, with the root in its place."""
        path = {root, *root.iterancestors()}

        def visit(element: HtmlElement) -> Iterator[HtmlElement]:
            if element is root or element not in path:
                yield element
                return
            for child in element:
                yield from visit(child)

        return visit(self._body)


def _is_article(body: HtmlElement) -> bool:
    """Whether the page says that it is an article, of a newspaper or a blog: then what stands around the text is about other
    things, while of a manual or a company's page all of the main part is meant."""
    root = body.getroottree().getroot()
    for meta in root.iter("meta"):
        name = meta.get("property", "") or meta.get("name", "")
        if name.startswith("article:") or (name == "og:type" and meta.get("content", "").strip().lower() == "article"):
            return True
    if any(_ARTICLE_TYPE.search(e.get("itemtype", "")) for e in root.iter("body", "article", "div", "main", "html")):
        return True
    scripts = (e.text or "" for e in root.iter("script") if e.get("type", "").lower() == "application/ld+json")
    return any(_ARTICLE_DATA.search(text) for text in scripts)


def _may_hold_page(element: HtmlElement) -> bool:
    return element.tag in _CONTAINERS or "-" in element.tag  # custom elements


def _is_landmark(element: HtmlElement) -> bool:
    return element.tag in _LANDMARKS or element.get("role") == "main"


def _is_heading(element: HtmlElement, words: PageWords) -> bool:
    """A heading, or a wrapper that holds little else."""
    heading = next(element.iter(*HEADINGS), None)
    return heading is not None and 2 * words.count(heading) > words.count(element)
