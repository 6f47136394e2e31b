"""Takes out of a document what its reader never sees, and leaves in what a click would show (:mod:`.folded`).

Text that is hidden for good is where a page's author can say to machines what people don't read, so it goes. Text that a
control of the page opens (an answer under its question, a tab, a collapsed section) is the page's content.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.elements import (
    DROPPED,
    VISUALLY_HIDDEN,
    found,
    heading_rank,
    is_text_button,
    is_visually_hidden,
    names_of,
    word_set,
)
from ingest.extract.html.folded import is_folded, is_opened, label_panels, opened_by_controls
from ingest.extract.html.words import words_of

_NEVER_TEXT = word_set("script style template iframe object embed canvas audio video select textarea datalist noembed noframes")
_PICTURES = word_set("img math svg picture")
_FOLDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)", re.IGNORECASE)
# What no control of a page undoes: text that is moved off the screen. Carousels move their slides by a few hundred pixels, and
# negative margins draw backgrounds over the whole width.
_OFF_SCREEN_STYLE = re.compile(
    r"text-indent\s*:\s*(?:-\d{3,}|100%)|translate(?:x|y|3d)?\(\s*-\d{4,}"
    r"|(?<![\w-])(?:left|top|right|bottom|inset(?:-(?:inline|block))?(?:-start|-end)?)\s*:\s*-(?:\d{4,}|999(?!\d)|\d{3,}(?:r?em|v[wh]))",
    re.IGNORECASE,
)
_STYLE_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STYLE_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|(.))", re.IGNORECASE)
_NO_SIZE = re.compile(r"font-size\s*:\s*0(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)", re.IGNORECASE)
_PERMALINK_SIGNS = frozenset("¶#§🔗∞⚓")
_PERMALINK_NAMES = word_set(
    "headerlink header-anchor hash-link anchorjs-link heading-anchor headinglink anchor-link anchorlink viewcode-link "
    "viewcode-back mw-editsection copybtn footnote-backref skip-link skiplink mw-jump-link"
)
_ALONE_IN = word_set("td th li dt a button h1 h2 h3 h4 h5 h6 summary label")  # a picture may stand for the whole text of these
# Searched for by libxml2, as most elements are none of these.
_CANDIDATES = etree.XPath(
    ".//*["
    + " or ".join(f"self::{tag}" for tag in sorted(_NEVER_TEXT | {"input", "button", "dialog", "a"}))
    + " or @hidden or @aria-hidden or @style or @popover or @role = 'button']"
)
_SCREEN_SHARE = 0.5  # of the body's text: what holds more of it is not decoration, whatever it says of itself
_MIN_PAGE_CHARS = 200
_MIN_NOSCRIPT_WORDS = 25  # "Please enable JavaScript to view this page" and its like are shorter
_REPEATED_SHARE = 0.5
_MAX_LABEL_WORDS = 12
_MAX_BESIDE = 200  # starts and ends of elements that a formula, or a label in the place of a picture, may have beside it
_MAX_LABEL_CHARS = 400


def show_noscript(body: HtmlElement) -> None:
    """Put the content of each ``noscript`` in its place where it is a text that the page does not show otherwise."""
    noscripts = list(body.iter("noscript"))
    elsewhere = _words_outside_of_noscript(body) if noscripts else frozenset()
    inner: set[HtmlElement] = set()
    for element in noscripts:
        if element in inner:
            element.tag = "div"
            continue
        inner.update(element.iterdescendants("noscript"))
        content = words_of(" ".join(element.itertext()))
        repeated = sum(word in elsewhere for word in content)
        if len(content) >= _MIN_NOSCRIPT_WORDS and repeated < _REPEATED_SHARE * len(content):
            element.tag = "div"
        else:
            _drop(element)


def _words_outside_of_noscript(body: HtmlElement) -> frozenset[str]:
    texts: list[str] = []
    walk = etree.iterwalk(body, events=("start", "end"))
    for event, element in walk:
        if event == "start" and (element.tag in _NEVER_TEXT or element.tag == "noscript"):
            walk.skip_subtree()
        elif event == "start":
            texts.append(element.text or "")
        if event == "end" and element is not body:
            texts.append(element.tail or "")
    return frozenset(words_of(" ".join(texts)))


def drop_unseen(body: HtmlElement) -> None:
    """Remove scripts, hidden parts, controls and permalinks; keep what a control opens. Then give tabs their labels."""
    for script in body.iter("script"):
        if script.get("type", "").lower().startswith("math/tex"):  # MathJax 2 keeps its sources so
            script.tag = "math"
            script.set("alttext", script.text or "")
    show_noscript(body)
    opened = opened_by_controls(body)
    body_chars = _text_chars(body)
    named = [e for e in body.iterdescendants() if (classes := e.get("class")) and _is_telling(classes)]
    gone: set[HtmlElement] = set()
    for element in (*found(_CANDIDATES, body), *named):
        if element not in gone and element.tag != DROPPED and _is_unseen(element, opened, body_chars):
            gone.update(element.iterdescendants())
            _drop(element)
    etree.strip_elements(body, DROPPED, with_tail=False)
    label_panels(body)


def _drop(element: HtmlElement) -> None:
    """Empty an element and mark it. All are removed at once: one by one, the text after each would be copied anew each time."""
    element.clear(keep_tail=True)
    element.tag = DROPPED


@lru_cache(maxsize=4_096)
def _is_telling(classes: str) -> bool:
    """Whether classes may say that an element is hidden, or a permalink."""
    return not (_PERMALINK_NAMES | VISUALLY_HIDDEN).isdisjoint(classes.split())


def _is_unseen(element: HtmlElement, opened: frozenset[str], body_chars: int) -> bool:
    tag = element.tag
    if tag in _NEVER_TEXT:
        return True
    if tag == "input":
        return element.get("type", "").lower() not in ("checkbox", "radio")
    if tag == "button" or element.get("role") == "button":
        return tag == "button" and not is_text_button(element)
    if tag == "dialog":
        return element.get("open") is None
    if not element.attrib:
        return False
    if tag == "a" and _is_permalink(element):
        return True
    if not _PERMALINK_NAMES.isdisjoint(names_of(element)) and _is_label(element):
        return True
    if is_visually_hidden(element):
        return not _stands_alone(element)
    if element.get("popover") is not None and not is_opened(element, opened):
        return True
    return _is_off_screen(element) or (_is_hidden(element, body_chars) and not is_folded(element, opened))


def _is_label(element: HtmlElement) -> bool:
    """Whether an element holds a few words, or none."""
    text = ""
    for piece in element.itertext():
        text += piece.strip() and piece
        if len(text) > _MAX_LABEL_CHARS:
            return False
    return len(words_of(text)) <= _MAX_LABEL_WORDS


def _is_permalink(link: HtmlElement) -> bool:
    return (link.text or "").strip() in _PERMALINK_SIGNS and not len(link)


def _is_hidden(element: HtmlElement, body_chars: int) -> bool:
    hidden = element.get("hidden")
    if hidden is not None and hidden != "until-found":
        return True
    if element.get("aria-hidden") == "true" and element.tag not in _PICTURES and not _holds_page(element, body_chars):
        return True
    if not _FOLDING_STYLE.search(_style_of(element)):
        return False
    # Formulas are hidden beside the picture that shows them (MediaWiki); whole pages until a script has run.
    return not _is_formula(element) and not _holds_page(element, body_chars)


def _is_off_screen(element: HtmlElement) -> bool:
    style = _style_of(element)
    return bool(style) and bool(_OFF_SCREEN_STYLE.search(style) or (not len(element) and _NO_SIZE.search(style)))


def _style_of(element: HtmlElement) -> str:
    """The style of an element as a browser reads it: without comments and escapes."""
    style: str = element.get("style", "")
    if "/*" in style:
        style = _STYLE_COMMENT.sub("", style)
    return _STYLE_ESCAPE.sub(_unescaped, style) if "\\" in style else style


def _unescaped(escape: re.Match[str]) -> str:
    if not escape[1]:
        return escape[2]
    code = int(escape[1], 16)
    return chr(code) if code <= sys.maxunicode else ""


def _is_formula(element: HtmlElement) -> bool:
    """Whether formulas are all that an element holds."""
    walk = etree.iterwalk(element, events=("start", "end"))
    has_formula = False
    for looked_at, (event, node) in enumerate(walk):
        if looked_at > _MAX_BESIDE:
            return False
        if event == "start" and node.tag == "math":
            has_formula = True
            walk.skip_subtree()
            continue
        text = node.text if event == "start" else node.tail if node is not element else ""
        if text and text.strip():
            return False
    return has_formula


def _holds_page(element: HtmlElement, body_chars: int) -> bool:
    """Whether most of the page is in it: frameworks hide that from screen readers while a dialog is open, or from everybody
    until their scripts have run."""
    near_top = any(above.tag == "body" for above in islice(element.iterancestors(), 2))
    return near_top and _text_chars(element) > max(_MIN_PAGE_CHARS, _SCREEN_SHARE * body_chars)


def _stands_alone(element: HtmlElement) -> bool:
    """Whether what only screen readers get is all that its cell, item or heading says: it stands there for a picture."""
    holder = next((above for above in islice(element.iterancestors(), 4) if above.tag in _ALONE_IN or heading_rank(above)), None)
    if holder is None or holder.tag == "a":
        return False
    walk = etree.iterwalk(holder, events=("start", "end"))
    for looked_at, (event, node) in enumerate(walk):
        if looked_at > _MAX_BESIDE:
            return False
        if event == "start" and node is element:
            walk.skip_subtree()
            continue
        text = node.text if event == "start" else node.tail if node is not holder else ""
        if text and text.strip():
            return False
    return True


def _text_chars(element: HtmlElement) -> int:
    return sum(len(text.strip()) for text in element.itertext())
