"""Parses HTML as browsers do, into lxml elements.

lexbor (through selectolax) builds the tree by the HTML standard's own algorithm: an unclosed element ends where a browser
ends it. libxml2 knows the rules of HTML 4 alone, and on such pages takes the article for part of the page's header. The
tree is then copied into lxml elements, which the rest of extraction reads; the copy costs some 3 ms a page.

What a browser shows without running a script is in the tree: declarative shadow roots stand in the place of their hosts'
children, and the content of ``noscript`` is parsed. The content of other templates is not shown and left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from lxml import etree, html
from lxml.etree import SubElement
from lxml.html import HtmlElement
from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingest.extract.html.elements import word_set

MAX_ELEMENTS = 500_000
MAX_DEPTH = 400  # Chromium's is 512; what lies deeper is kept, without its nesting
_SUSPECT_TAGS = 5_000  # fewer can't nest so deep that the parser's own search for open elements takes long

# By the HTML standard's list of active formatting elements.
_FORMATTING = word_set("a b big code em font i nobr s small strike strong tt u")
_MAX_FORMATTING = 16

_NAME = re.compile(r"[a-zA-Z_][\w.-]*", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^\w.-]", re.ASCII)
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NO_CONTENT = word_set("style path iframe")  # nobody reads what these hold
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
# Elements that never hold others, or end without an end tag: they do not make a page deep.
_FLAT = word_set(
    "area base br col embed hr img input link meta param source track wbr p li dt dd option tr td th tbody thead tfoot colgroup"
)


@dataclass(frozen=True, slots=True)
class Document:
    """``root`` is the ``html`` element; ``notes`` say what a limit changed.

    ``elements`` holds the elements of the tree as it was read. Whoever works on the tree keeps this object: as long as an
    element is referred to, lxml doesn't make its Python object anew at each walk, which takes twice the time.
    """

    root: HtmlElement
    notes: list[str]
    elements: list[HtmlElement]


def parse_tree(markup: str) -> Document:
    """Parse a document.

    Never raises for what the markup says. Takes time linear in the markup, except for an element with very many attributes.
    """
    notes: list[str] = []
    markup = _without_surplus_tags(markup, notes)
    parsed = LexborHTMLParser(markup)
    root = html.html_parser.makeelement("html")
    elements: list[HtmlElement] = []
    if parsed.root is not None:
        for name, value in parsed.root.attributes.items():
            if _is_sound(name):
                root.set(name, _NOT_IN_XML.sub("", value or ""))
            elif name == "xml:lang" and value and "lang" not in parsed.root.attributes:
                root.set("lang", _NOT_IN_XML.sub("", value))
        elements = _copy(parsed.root, root, notes)
    for name in ("head", "body"):
        if root.find(name) is None:  # a frameset has no body
            SubElement(root, name)
    _attach_shadow_roots(root)
    return Document(root, notes, elements)


def _without_surplus_tags(markup: str, notes: list[str]) -> str:
    """The markup without tags for which a parser takes time, or makes elements, that grow with the square of their number.

    Start tags that lie deeper than any page needs: for each the open elements are looked through. Formatting elements that are
    left open: each paragraph opens all of them again. Options, whose text is not read: each goes through those before it.
    """
    if markup.count("<") < _SUSPECT_TAGS:
        return markup
    depth, kept, end, is_too_deep = 0, [], 0, False
    formatting = 0  # of elements that are open
    has_many_options = markup.count("<option") > _SUSPECT_TAGS
    for found in _TAG.finditer(markup):
        tag = found[2].lower()
        is_surplus = has_many_options and tag == "option"
        if tag in _FLAT:
            pass
        elif found[1]:
            depth = max(0, depth - 1)
            formatting = max(0, formatting - (tag in _FORMATTING))
        elif tag in _FORMATTING and formatting >= _MAX_FORMATTING:
            is_surplus = True
        elif depth < _SUSPECT_TAGS:
            depth += 1
            formatting += tag in _FORMATTING
        else:
            is_surplus = True
            is_too_deep = True
        if is_surplus and found.start() >= end:
            close = markup.find(">", found.end())
            kept.append(markup[end : found.start()])
            end = len(markup) if close < 0 else close + 1
    if not kept:
        return markup
    if is_too_deep:
        notes.append(f"elements nested deeper than {_SUSPECT_TAGS} were left out; their text was kept")
    return "".join((*kept, markup[end:]))


def _copy(source: LexborNode, root: HtmlElement, notes: list[str]) -> list[HtmlElement]:
    """Copy what stands under ``source`` to under ``root``, without recursion; the elements made, in document order."""
    made: list[HtmlElement] = []
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
                if len(made) >= MAX_ELEMENTS:
                    notes.append(f"elements after the first {MAX_ELEMENTS} were dropped")
                    _append_text(parent, last, texts)
                    return made
                if texts:
                    _append_text(parent, last, texts)
                last = _append(parent, tag, node)
                made.append(last)
                child = None if tag in _NO_CONTENT else _first_child(node, tag)
                if child is not None:
                    is_deep = depth >= MAX_DEPTH
                    frames.append((node.next, parent, depth))
                    frames.append((child, parent if is_deep else last, depth if is_deep else depth + 1))
                    break
            node = node.next
        if texts:
            _append_text(parent, last, texts)
    return made


def _first_child(node: LexborNode, tag: str) -> LexborNode | None:
    if tag != "template":
        return node.first_child
    if "shadowrootmode" not in node.attributes:
        return None
    fragments = node.template_fragments()
    return fragments[0].first_child if fragments else None


def _append(parent: HtmlElement, tag: str, node: LexborNode) -> HtmlElement:
    attributes = node.attributes
    if not attributes:
        return SubElement(parent, _name(tag))
    sound = {_name(name): value or "" for name, value in attributes.items() if _is_sound(name)}
    if "xml:lang" in attributes:
        sound.setdefault("lang", attributes["xml:lang"] or "")
    try:
        return SubElement(parent, _name(tag), sound)
    except ValueError:  # control characters, which lxml refuses
        return SubElement(parent, _name(tag), {name: _NOT_IN_XML.sub("", value) for name, value in sound.items()})


@lru_cache(maxsize=2_048)
def _name(name: str) -> str:
    """A name that XML allows: foreign ones, such as ``o:p``, are written with ``_``."""
    return name if _is_sound(name) else "_" + _NOT_IN_NAMES.sub("_", name)


@lru_cache(maxsize=2_048)
def _is_sound(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _append_text(parent: HtmlElement, last: HtmlElement | None, texts: list[str]) -> None:
    text = "".join(texts)
    texts.clear()
    try:
        _set_text(parent, last, text)
    except ValueError:
        _set_text(parent, last, _NOT_IN_XML.sub("", text))


def _set_text(parent: HtmlElement, last: HtmlElement | None, text: str) -> None:
    if last is None:
        parent.text = (parent.text or "") + text
    else:
        last.tail = (last.tail or "") + text


def _shadow_roots(root: HtmlElement) -> dict[HtmlElement, dict[str, HtmlElement]]:
    """The first shadow root of each host, in document order, with its own slots by name."""
    found: dict[HtmlElement, dict[str, HtmlElement]] = {}
    if next(root.iter("template"), None) is None:
        return found
    hosts: set[HtmlElement] = set()
    around: list[HtmlElement] = []
    for event, element in etree.iterwalk(root, events=("start", "end"), tag=("template", "slot")):
        if element.tag == "slot":
            if event == "start" and around:
                found.get(around[-1], {}).setdefault(element.get("name", ""), element)
        elif event == "end":
            around.pop()
        else:
            host = element.getparent()
            around.append(element)
            if "shadowrootmode" in element.attrib and host is not None and host not in hosts:
                hosts.add(host)
                found[element] = {}
    return found


def _attach_shadow_roots(root: HtmlElement) -> None:
    """Put each declarative shadow root in the place of its host's children, which go into its slots, as browsers show it.

    Children for which there is no slot are kept after it: a script may be meant to place them.
    """
    for template, slots in reversed(_shadow_roots(root).items()):  # the inner ones first
        host = template.getparent()
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
