"""What kinds of elements there are: by tag, role, class and style, as a browser would show them."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import cast

from lxml import etree
from lxml.html import HtmlElement


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


DROPPED = "_"  # the tag of an element that is about to be removed; no page has one of this name
LEFT_OUT = "left-out"  # the tag of the empty element that stands where a part was left out
SKIPPED = word_set(
    "script style noscript template svg canvas iframe object embed audio video select textarea input datalist head title rp rt "
    "map area dialog left-out"
)
BLOCKS = word_set(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p pre search section "
    "summary table tbody td tfoot th thead tr ul xmp"
)
CELLS = word_set("td th")
LISTS = word_set("ul ol menu dir")
VERBATIM = word_set("pre listing xmp")
TABLE_ROLES = word_set("table grid treegrid")
HEADINGS = {f"h{rank}": rank for rank in range(1, 7)}
_BLOCK_ROLES = word_set("heading list listitem table grid treegrid row rowgroup cell gridcell columnheader rowheader")
_BLOCK_STYLE = re.compile(
    r"(?:^|[;\s])display\s*:\s*(?:block|flex|grid|flow-root|list-item|table|table-row)\s*(?:[;!]|$)", re.IGNORECASE
)
# Each of these is a thing of its own on the page: two in a row are never one word.
_SET_APART = word_set("a button code kbd label option samp")
_DEFAULT_ARIA_RANK = 2

VISUALLY_HIDDEN = word_set(
    "sr-only is-sr-only usa-sr-only visually-hidden visuallyhidden visually_hidden hidden-visually u-hidden-visually "
    "govuk-visually-hidden cdk-visually-hidden screen-reader-text screen-reader-only screenreader-text screenreader-only "
    "show-for-sr element-invisible a11y-hidden assistive-text offscreen"
)
_CLIPPED = re.compile(r"clip(?:-path)?\s*:\s*(?:rect\(\s*[01]|inset\(\s*(?:50|100)%|circle\(\s*0)", re.IGNORECASE)
_OPENS = ("aria-controls", "aria-expanded")
_OPENS_IN_BOOTSTRAP = word_set("collapse tab pill")
# Buttons that scripts alone know to open what follows them are called so.
_FOLDING_BUTTON = re.compile(r"(?:^|[\s_-])(?:accordion|collapsible|faq|question|spoiler)(?:$|[\s_-])", re.IGNORECASE)
_OPENS_OVER_PAGE = word_set("modal offcanvas dropdown popover tooltip")  # as Bootstrap names it
# Alpine's directives: a script shows the element once a control was clicked. Those that float are menus and windows.
_SHOWN_BY_SCRIPT = ("x-show", "x-collapse")
_FLOATS = word_set("absolute fixed sticky")
_ACTION_TYPES = word_set("submit reset")


_NONE: frozenset[str] = frozenset()
_split = lru_cache(maxsize=1024)(word_set)  # pages repeat the same few


def found(path: etree.XPath, element: HtmlElement) -> list[HtmlElement]:
    """What a path that selects elements finds from an element on, in document order."""
    return cast("list[HtmlElement]", path(element))


def names_of(element: HtmlElement) -> frozenset[str]:
    """The classes of an element."""
    classes = element.get("class")
    return _split(classes) if classes else _NONE


def is_block(element: HtmlElement) -> bool:
    """Whether an element stands on lines of its own."""
    if element.tag in BLOCKS:
        return True
    if not element.attrib:
        return False
    if element.get("role") in _BLOCK_ROLES or (element.tag == "button" and is_block_button(element)):
        return True
    style = element.get("style")
    return bool(style) and bool(_BLOCK_STYLE.search(style))


def heading_rank(element: HtmlElement) -> int:
    """1 to 6 for a heading, 0 for anything else."""
    role = element.get("role")
    if role == "heading":
        level = element.get("aria-level", "").strip()
        default = HEADINGS.get(element.tag, _DEFAULT_ARIA_RANK)
        return min(6, max(1, int(level))) if re.fullmatch(r"[0-9]{1,3}", level) else default
    return 0 if role in ("presentation", "none") else HEADINGS.get(element.tag, 0)


def is_skipped(element: HtmlElement) -> bool:
    """Whether nothing of an element is running text."""
    if element.tag in SKIPPED:
        return True
    if element.tag == "button" and not is_text_button(element):
        return True
    return is_visually_hidden(element)


def is_text_button(button: HtmlElement) -> bool:
    """Whether a button's text belongs to the page: it is a heading or a term that folds what follows, or opens a part of it."""
    if button.get("aria-haspopup", "false") != "false" or _toggles(button) in _OPENS_OVER_PAGE:
        return False
    return _opens_part(button) or any(
        above.tag in ("dt", "summary") or heading_rank(above) for above in islice(button.iterancestors(), 6)
    )


def is_block_button(button: HtmlElement) -> bool:
    """Whether a button stands above what it opens, without a heading around it."""
    return _opens_part(button) and not any(
        above.tag in ("dt", "summary", "p", "li", *CELLS) or heading_rank(above) for above in islice(button.iterancestors(), 6)
    )


def is_shown_by_script(element: HtmlElement) -> bool:
    """Whether a script shows an element in its place on the page, after a click."""
    return any(element.get(name) is not None for name in _SHOWN_BY_SCRIPT) and _FLOATS.isdisjoint(names_of(element))


def _toggles(button: HtmlElement) -> str:
    return button.get("data-bs-toggle") or button.get("data-toggle") or ""


def _opens_part(button: HtmlElement) -> bool:
    if any(button.get(name) is not None for name in _OPENS) or _toggles(button) in _OPENS_IN_BOOTSTRAP:
        return True
    if button.get("type", "").lower() in _ACTION_TYPES:
        return False
    following = button.getnext()
    if following is not None and is_shown_by_script(following):
        return True
    return bool(_FOLDING_BUTTON.search(button.get("class", ""))) and _leads_block(button)


def _leads_block(button: HtmlElement) -> bool:
    """Whether a block with text follows a button, or the frames that hold the button alone."""
    for element in (button, *islice(button.iterancestors(), 3)):
        following = element.getnext()
        if following is not None:
            return following.tag in BLOCKS and any(text.strip() for text in islice(following.itertext(), 20))
        above = element.getparent()
        if element.getprevious() is not None or above is None or f"{above.text or ''}{element.tail or ''}".strip():
            return False
    return False


def is_visually_hidden(element: HtmlElement) -> bool:
    """Whether only screen readers read it aloud."""
    if not element.attrib:
        return False
    if not VISUALLY_HIDDEN.isdisjoint(names_of(element)):
        return True
    style = element.get("style")
    return bool(style) and bool(_CLIPPED.search(style))


def is_set_apart(element: HtmlElement) -> bool:
    """Whether an inline element follows another of its kind so closely that their words would run together."""
    tag = element.tag
    if tag not in _SET_APART and "-" not in tag:
        return False
    before = element.getprevious()
    while before is not None and before.tag == "input" and not before.tail:
        before = before.getprevious()
    return before is not None and before.tag == tag and not before.tail and (bool(before.text) or len(before) > 0)


def integer(value: str | None, *, default: int) -> int:
    """An attribute's whole number."""
    return int(value) if value and re.fullmatch(r"-?[0-9]{1,9}", value.strip()) else default
