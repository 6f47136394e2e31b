"""Parses HTML as browsers do, into lxml elements.

lexbor (through selectolax) builds the tree by the HTML standard's own algorithm: an unclosed element ends where a browser
ends it. libxml2 knows the rules of HTML 4 alone, and on such pages takes the article for part of the page's header. The
tree is then copied into lxml elements, which the rest of extraction reads; the copy costs some 3 ms a page.

What a browser shows without running a script is in the tree: declarative shadow roots stand in the place of their hosts'
children, and the content of ``noscript`` is parsed. The content of other templates is not shown and left out.
"""

from __future__ import annotations

import re

from lxml import html
from lxml.etree import SubElement
from lxml.html import HtmlElement
from selectolax.lexbor import LexborHTMLParser, LexborNode

MAX_ELEMENTS = 500_000
MAX_DEPTH = 400  # Chromium's is 512; what lies deeper is kept, without its nesting
_SUSPECT_TAGS = 5_000  # fewer can't nest so deep that the parser's own search for open elements takes long

_NAME = re.compile(r"[a-zA-Z_][\w.-]*", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^\w.-]", re.ASCII)
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
# Elements that never hold others, or end without an end tag: they do not make a page deep.
_FLAT = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
        "p",
        "li",
        "dt",
        "dd",
        "option",
        "tr",
        "td",
        "th",
        "tbody",
        "thead",
        "tfoot",
        "colgroup",
    ]
)


def parse_tree(markup: str) -> tuple[HtmlElement, list[str]]:
    """The document's root element, and notes on what a limit changed.

    Never raises for what the markup says. Takes time linear in the markup, except for an element with very many attributes.
    """
    notes: list[str] = []
    markup = _without_depth(markup, notes)
    parsed = LexborHTMLParser(markup)
    root = html.html_parser.makeelement("html")
    if parsed.root is not None:
        _set_attributes(root, parsed.root)
        _copy(parsed.root, root, notes)
    for name in ("head", "body"):
        if root.find(name) is None:  # a frameset has no body
            SubElement(root, name)
    _attach_shadow_roots(root)
    return root, notes


def _without_depth(markup: str, notes: list[str]) -> str:
    """The markup without start tags that lie deeper than any page needs: for each start tag the parser looks through the open
    elements, so time would grow with the square of the depth."""
    if markup.count("<") < _SUSPECT_TAGS:
        return markup
    depth, kept, end = 0, [], 0
    for found in _TAG.finditer(markup):
        if found[2].lower() in _FLAT:
            continue
        if found[1]:
            depth = max(0, depth - 1)
        elif depth < _SUSPECT_TAGS:
            depth += 1
        else:
            close = markup.find(">", found.end())
            close = len(markup) - 1 if close < 0 else close
            if found.start() >= end:
                kept.append(markup[end : found.start()])
                end = close + 1
    if not kept:
        return markup
    notes.append(f"elements nested deeper than {_SUSPECT_TAGS} were left out; their text was kept")
    return "".join((*kept, markup[end:]))


def _copy(source: LexborNode, root: HtmlElement, notes: list[str]) -> None:
    """Copy what stands under ``source`` to under ``root``, without recursion."""
    count = 0
    # Siblings still to be copied: the first of them, where they go, and how deep that is.
    frames: list[tuple[LexborNode | None, HtmlElement, int]] = [(source.first_child, root, 1)]
    while frames:
        node, parent, depth = frames.pop()
        last = next(parent.iterchildren(reversed=True), None)  # len() counts them all
        texts: list[str] = []
        while node is not None:
            tag = node.tag
            if tag == "-text":
                texts.append(node.text_content or "")
            elif tag is not None and tag[0] not in "-!":
                count += 1
                if count > MAX_ELEMENTS:
                    notes.append(f"elements after the first {MAX_ELEMENTS} were dropped")
                    _append_text(parent, last, texts)
                    return
                _append_text(parent, last, texts)
                last = SubElement(parent, tag if _NAME.fullmatch(tag) else _NOT_IN_NAMES.sub("_", tag))
                _set_attributes(last, node)
                child = _first_child(node, tag)
                if child is not None:
                    is_deep = depth >= MAX_DEPTH
                    frames.append((node.next, parent, depth))
                    frames.append((child, parent if is_deep else last, depth if is_deep else depth + 1))
                    break
            node = node.next
        _append_text(parent, last, texts)


def _first_child(node: LexborNode, tag: str) -> LexborNode | None:
    if tag != "template":
        return node.first_child
    if "shadowrootmode" not in node.attributes:
        return None
    fragments = node.template_fragments()
    return fragments[0].first_child if fragments else None


def _append_text(parent: HtmlElement, last: HtmlElement | None, texts: list[str]) -> None:
    text = _NOT_IN_XML.sub("", "".join(texts))
    texts.clear()
    if not text:
        return
    if last is None:
        parent.text = (parent.text or "") + text
    else:
        last.tail = (last.tail or "") + text


def _set_attributes(element: HtmlElement, node: LexborNode) -> None:
    for name, value in node.attributes.items():
        if name == "xml:lang":
            name = "lang"
            if "lang" in element.attrib:
                continue
        if _NAME.fullmatch(name):
            element.set(name, _NOT_IN_XML.sub("", value or ""))


def _attach_shadow_roots(root: HtmlElement) -> None:
    """Put each declarative shadow root in the place of its host's children, which go into its slots, as browsers show it.

    Children for which there is no slot are kept after it: a script may be meant to place them.
    """
    for template in reversed(list(root.iter("template"))):  # the inner ones first
        host = template.getparent()
        if "shadowrootmode" not in template.attrib or host is None:
            continue
        slots: dict[str, HtmlElement] = {}
        for slot in template.iter("slot"):
            slots.setdefault(slot.get("name", ""), slot)
        template.tag = "div"
        del template.attrib["shadowrootmode"]
        text = (host.text or "") + (template.tail or "")
        host.text = template.tail = None
        host.insert(0, template)
        used: set[HtmlElement] = set()
        slot = slots.get("")
        if slot is None:
            _append_text(host, template, [text])
        else:
            slot.text = text if text.strip() else slot.text
        for child in list(host)[1:]:
            slot = slots.get(child.get("slot", ""))
            if slot is None:
                continue
            if slot not in used:
                used.add(slot)
                del slot[:]  # what it shows where nothing is given to it
                if slot.get("name", ""):
                    slot.text = None
            slot.append(child)
