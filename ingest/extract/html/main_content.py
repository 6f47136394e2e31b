"""Decides what of a page is its content.

The steps, each of which can be seen in what it leaves out (:class:`~corpus.model.LeftOut`):

1. What a reader never sees is removed (:mod:`.visibility`).
2. Selectors that the site's owner gave decide alone, if they match.
3. Chrome goes: navigation, page headers and footers, side columns. Never an element that holds the page itself.
4. The element that holds the content is found: by the names that documentation generators give it, by the page's own mark of
   its main part, or by where trafilatura sees an article, grown as long as there is much prose beside it.
5. Inside it, parts go that look like navigation or teasers (:mod:`.judging`). That trafilatura did not mention a part is only
   one sign of it.
6. If little of the page's prose is then kept, the largest landmark is taken whole, and in the end the body.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, islice

from lxml import etree
from lxml.html import HtmlElement

from corpus.model import BY_SELECTOR, ContentSelectors
from ingest.extract.html.chrome import SIDE_COLUMN, chrome_reason, has_boilerplate_name
from ingest.extract.html.elements import LEFT_OUT, names_of, word_set
from ingest.extract.html.judging import Judge, Judged, may_hold_page
from ingest.extract.html.leaving import OUTSIDE, LeftOutParts, MainContent, holders_of
from ingest.extract.html.selectors import compile_selectors
from ingest.extract.html.visibility import drop_unseen
from ingest.extract.html.vote import article_text
from ingest.extract.html.words import PageWords

FORM = "form"
NOT_SELECTED = "not selected"

_FEW_WORDS = 30  # less is no page: a named element or a landmark with so little was meant for something else
_COVERING_SHARE = 0.9
_DOCUMENT_SHARE = 0.5  # of the body's prose that an element named as the document must hold
_LINK_DENSE = 0.5
_PARAGRAPH_WORDS = 30
_GROWTH_SHARE = 0.25
_GROWTH_WORDS = 60
_GROWTH_DENSITY = 0.5
_ENOUGH_SHARE = 0.25
_FORM_SHARE = 0.5
_HOLDING_SHARE = 0.5
_ASIDE_SHARE = 0.25
_ASIDE_LINKS = 0.1
_TEXT_LINKS = 0.3
_CONTROLS = ("input", "select", "textarea", "button")
# Elements that documentation generators put around the content and nothing else.
_DOCUMENT_NAMES = word_set(
    "mw-parser-output markdown-body theme-doc-markdown md-content__inner docbook refentry chapter appendix sect1 preface "
    "rst-content bd-article vp-doc theme-default-content sl-markdown-content mw-body doc-content tsd-page-content col-content "
    "td-content markdown-section wiki-content"
)
_LANDMARKS = ("main", "article")
_ARTICLE_TYPE = re.compile(r"schema\.org/(?:\w*Article|BlogPosting)\b")
_ARTICLE_DATA = re.compile(r'"@type"\s*:\s*\[?\s*"(?:\w*Article|BlogPosting)"')


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
    forms = frozenset(form for form in body.iter("form") if next(form.iter(*_CONTROLS), None) is not None)
    drop_unseen(body)
    return _Isolation(body, selectors, title, is_article, forms, shown_words).run()


def whole_document(body: HtmlElement) -> MainContent:
    """A body that is content through and through, freed of scripts and hidden parts."""
    drop_unseen(body)
    return MainContent(body)


class _Isolation:
    def __init__(
        self,
        body: HtmlElement,
        selectors: ContentSelectors,
        title: str,
        is_article: bool,
        forms: frozenset[HtmlElement],
        shown_words: int | None,
    ) -> None:
        self._body = body
        self._selectors = selectors
        self._title = title.casefold()
        self._is_article = is_article
        self._forms = forms
        self._words = PageWords(body)
        self._left_out = LeftOutParts(body, self._words, shown_words=shown_words)
        self._notes: list[str] = []

    def run(self) -> MainContent:
        root = self._selected()
        if root is None:
            root = self._found()
        return self._left_out.content(root, notes=self._notes)

    # Selectors

    def _selected(self) -> HtmlElement | None:
        """What the owner's selectors keep, in one element; None if there are none for it, or they match nothing."""
        for selector in compile_selectors(self._selectors.drop):
            for element in selector(self._body):
                if element is not self._body:
                    self._left_out.add(element, BY_SELECTOR)
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
        self._left_out.add_all_but(root, outer, NOT_SELECTED)
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
            self._leave_out_all(Judge(self._words, landmark, is_voted=False, is_article=False).rejected())
            return self._with_title(landmark)
        return self._voted()

    def _voted(self) -> HtmlElement:
        """The content where trafilatura sees it."""
        text = article_text(self._body)
        if text is None:
            return self._fallback()
        self._words.vote(text)
        root = self._grown(self._covering_element())
        judged = Judge(self._words, root, is_voted=True, is_article=self._is_article).rejected()
        if self._keeps_enough(root, judged):
            self._leave_out_all(judged)
            return root if self._is_article else self._with_title(root)
        return self._fallback()

    def _landmark(self) -> HtmlElement | None:
        """The element that the page marks as its main part, if it holds much of the running text. On a page of several
        articles (a thread, a list of changes) that is what holds them all."""
        found = [e for e in self._body.iter() if e.tag == "main" or e.get("role") == "main"]
        if not found:
            outer = self._outer_articles()
            found = outer if len(outer) == 1 else [e for e in outer if self._reads_as_text(e)]
            if len(found) > 1:
                found = [self._common_ancestor(found)]
        if len(found) != 1:
            return None
        share = self._words.paragraphs(found[0]), self._words.paragraphs(self._body)
        return found[0] if share[0] >= _ENOUGH_SHARE * share[1] and self._words.count(found[0]) else None

    def _outer_articles(self) -> list[HtmlElement]:
        return [e for e in self._body.iter("article") if not any(above.tag == "article" for above in e.iterancestors())]

    def _reads_as_text(self, element: HtmlElement) -> bool:
        words = self._words
        return words.paragraphs(element) >= _FEW_WORDS and words.in_links(element) <= _TEXT_LINKS * words.count(element)

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
                self._left_out.add(child, OUTSIDE)
        return both

    def _is_title(self, element: HtmlElement) -> bool:
        """Whether it is the page's heading: an ``h1``, or called a title and part of the declared one."""
        if element.tag == "h1":
            return self._words.count(element) > 0
        if "title" not in names_of(element) or not self._title:
            return False
        parent = element.getparent()
        in_header = parent is not None and any("header" in name for name in names_of(parent))
        return self._words.count(element) > 0 if in_header else self._is_in_title(element)

    def _is_in_title(self, element: HtmlElement) -> bool:
        text = self._words.text(element, max_words=len(self._title)).casefold()  # a longer one can't be in it
        return bool(text) and text in self._title

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

    def _leave_out_all(self, judged: Judged) -> None:
        for element, reason in judged:
            self._left_out.add(element, reason)

    def _named_documents(self) -> list[HtmlElement]:
        """The outermost elements that are named as a document, whatever else is on the page."""
        found: list[HtmlElement] = []
        walk = etree.iterwalk(self._body, events=("start",), tag=("div", "article", "main", "section", "body"))
        for _, element in walk:
            names = names_of(element) | {element.get("id", "")}
            is_sphinx = "body" in names and element.get("role") == "main"
            if (is_sphinx or not _DOCUMENT_NAMES.isdisjoint(names)) and self._words.count(element):
                found.append(element)
                walk.skip_subtree()
        return found

    def _common_ancestor(self, elements: Sequence[HtmlElement]) -> HtmlElement:
        """The lowest element around all of these, or the only one itself. Looks at each element above them once."""
        first, *others = elements
        if not others:
            return first
        path = list(first.iterancestors())
        places = {element: place for place, element in enumerate(path)}
        highest = 0
        seen: set[HtmlElement] = set()
        for other in others:
            for element in chain((other,), other.iterancestors()):
                if element in seen:
                    break
                seen.add(element)
                if element in places:
                    highest = max(highest, places[element])
                    break
        return path[highest]

    def _leave_out_chrome(self, element: HtmlElement, documents: frozenset[HtmlElement], in_content: bool = False) -> None:
        for child in list(element):
            reason = chrome_reason(child, in_content=in_content)
            if child in self._forms:  # some frameworks wrap the whole page in one
                reason = FORM if self._words.count(child) < _FORM_SHARE * self._words.count(self._body) else None
            if reason is None or self._holds_page(child, reason):
                self._leave_out_chrome(child, documents, in_content or child in documents or _is_landmark(child))
            elif self._words.count(child):
                self._left_out.add(child, reason)

    def _holds_page(self, element: HtmlElement, reason: str) -> bool:
        """Whether an element that is called chrome holds the page: its content, its title, or most of its prose.

        An aside of running text without links that is a good part of the page is one that was never closed, or no aside.
        """
        words = self._words
        if words.prose(element) > max(_FEW_WORDS, _HOLDING_SHARE * words.prose(self._body)):
            return True
        is_plain = words.in_links(element) <= _ASIDE_LINKS * words.count(element)
        if (
            reason is SIDE_COLUMN
            and is_plain
            and words.paragraphs(element) > max(_GROWTH_WORDS, _ASIDE_SHARE * words.paragraphs(self._body))
        ):
            return True
        return element in self._page_holders

    @cached_property
    def _page_holders(self) -> frozenset[HtmlElement]:
        """What holds a landmark of some words, or the heading that names the page."""
        marks = [e for e in self._body.iter(*_LANDMARKS) if self._words.prose(e) >= _FEW_WORDS]
        marks += [heading for heading in self._body.iter("h1") if self._is_page_title(heading)]
        return frozenset((*marks, *holders_of(marks)))

    def _is_page_title(self, heading: HtmlElement) -> bool:
        """Whether a heading names the page, and not the site: it stands in the declared title, or is the only one."""
        is_link = heading.find(".//a[@href]") is not None or any(above.tag == "a" for above in heading.iterancestors())
        if is_link or not self._words.count(heading):
            return False
        return self._has_one_heading or self._is_in_title(heading)

    @cached_property
    def _has_one_heading(self) -> bool:
        return len(list(islice(self._body.iter("h1"), 2))) == 1

    def _covering_element(self) -> HtmlElement:
        """The smallest element that holds what trafilatura kept; the body if it kept nothing."""
        element, total = self._body, self._words.kept(self._body)
        while total:
            inner = max(element, key=self._words.kept, default=None)
            if inner is None or self._words.kept(inner) < _COVERING_SHARE * total or not may_hold_page(inner):
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

    def _keeps_enough(self, root: HtmlElement, judged: Judged) -> bool:
        kept = self._words.paragraphs(root) - sum(self._words.paragraphs(element) for element, _ in judged)
        return kept >= _ENOUGH_SHARE * (self._words.paragraphs(self._body) - self._in_other_articles(root))

    def _in_other_articles(self, root: HtmlElement) -> int:
        """Running text of articles beside the one that was found: a list of posts, say."""
        path = {root, *root.iterancestors()}
        if not any(e.tag == "article" for e in path):
            return 0
        return sum(self._words.paragraphs(e) for e in self._outer_articles() if e not in path)

    def _fallback(self) -> HtmlElement:
        """The page's ``main``, or else its body, less what looks like links or teasers."""
        mains = [e for e in self._body.iter() if e.tag == "main" or e.get("role") == "main"]
        largest = max(mains, key=self._words.paragraphs, default=self._body)
        enough = self._words.paragraphs(largest) >= _ENOUGH_SHARE * self._words.paragraphs(self._body)
        root = largest if enough else self._body
        self._leave_out_all(Judge(self._words, root, is_voted=False, is_article=False).rejected())
        return root


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


def _is_landmark(element: HtmlElement) -> bool:
    return element.tag in _LANDMARKS or element.get("role") == "main"
