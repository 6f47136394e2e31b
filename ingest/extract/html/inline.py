"""The text of elements within one line: without structure, or what stands for it where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.elements import (
    CELLS,
    is_block,
    is_set_apart,
    is_skipped,
    is_visually_hidden,
    names_of,
    word_set,
)
from ingest.extract.html.lists import checkbox, markers
from ingest.extract.html.marks import END_OF_ITEM, END_OF_TERM, NOTE, STRIKE, mark_of, render
from ingest.extract.html.mathml import formula_text

_FORMULA = re.compile(r"\b(?:math|tex|latex|mwe-math\S*|formula(?:inl|dsp)?)\b", re.IGNORECASE)
_SMILEYS = word_set("emoji emojione twemoji wp-smiley smiley emoticon")
_ITEM_ENDS = {"li": END_OF_ITEM, "tr": END_OF_ITEM, "dd": END_OF_ITEM, "dt": END_OF_TERM, "caption": END_OF_TERM}
_ATOMS = word_set("img math ruby input")
_UNSEEN = word_set("script style noscript template head title textarea select datalist left-out")
_CONTROLS = word_set("a button")
_MAX_ICON_ELEMENTS = 40
_FILE_NAME = re.compile(r"\.(?:png|svg|gif|jpe?g|webp|avif)$", re.IGNORECASE)
# Icon fonts draw these; their elements hold no text.
_YES_ICON = re.compile(
    r"(?:^|[\s_#/-])(?:check|checked|check-?mark|tick|yes|ok|true|done|included|supported)(?:-(?:circle|square|bold|lg|solid|fill|alt|o))*(?![\w-])",
    re.I,
)
_NO_ICON = re.compile(
    r"(?:^|[\s_#/-])(?:times|cross|x-?mark|x|close|no|remove|ban|false|excluded|unsupported|slash)(?:-(?:circle|square|bold|lg|solid|fill|alt|o))*(?![\w-])",
    re.I,
)


def flat_text(element: HtmlElement, *, is_struck: bool = False) -> str:
    """The text of an element on one line.

    Block borders and line breaks become spaces, items of lists and rows of tables are set apart by ``;``, terms and their
    definitions by ``:``. ``is_struck``: an element around it is struck out.
    """
    if not len(element) and not is_struck and not mark_of(element):
        return element.text or ""
    if is_struck:
        return render((STRIKE, *_flat_parts(element)))
    return render(_flat_parts(element))


def _flat_parts(root: HtmlElement) -> Iterator[str]:
    numbers: dict[HtmlElement, str] = {}  # the markers of items of ordered lists
    skipped: set[HtmlElement] = set()
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, node in walk:
        if event == "end":
            if node.tag in _ATOMS or node in skipped:
                yield node.tail or ""
                continue
            if mark := mark_of(node):
                yield mark + "/"
            if is_block(node):
                yield " "
            if node is not root:
                yield _ITEM_ENDS.get(node.tag, "")
                yield node.tail or ""
            continue
        if node.tag in _ATOMS:
            yield atom_text(node)
            walk.skip_subtree()
            continue
        if is_skipped(node) and node is not root:
            skipped.add(node)
            walk.skip_subtree()
            continue
        if node.tag == "br" or is_block(node) or is_set_apart(node):
            yield " "
        if node.tag == "ol" and node is not root:
            numbers.update(markers(node))
        if mark := mark_of(node):
            yield mark
        if node in numbers and node.tag == "li":
            yield f"{numbers[node]} "
        yield node.text or ""


def atom_text(element: HtmlElement) -> str:
    """The text of an element that is read as a whole: a picture, a formula, a word with its reading, a box to tick."""
    match element.tag:
        case "img":
            return _picture_text(element)
        case "math":
            return formula_text(element)
        case "ruby":
            return _ruby_text(element)
    return checkbox(element) if element.get("disabled") is not None else ""  # one to tick for the reader says nothing


def _picture_text(image: HtmlElement) -> str:
    """A formula's source, a smiley, or the description of a figure that has no caption."""
    alt: str = image.get("alt", "").replace("\n", " ")
    if image.get("aria-hidden") == "true" and _follows_formula(image):  # MediaWiki: a picture of what MathML says
        return ""
    if not alt or _FORMULA.search(image.get("class", "")) or not _SMILEYS.isdisjoint(names_of(image)):
        return alt
    figure = next(image.iterancestors("figure"), None)
    is_described = figure is not None and figure.find(".//figcaption") is None and len(alt.split()) > 2
    return alt if is_described else ""


def _follows_formula(image: HtmlElement) -> bool:
    before = image.getprevious()
    return before is not None and (before.tag == "math" or (len(before) > 0 and before[0].tag == "math"))


def _ruby_text(ruby: HtmlElement) -> str:
    """Base text with its reading in brackets: 漢字(かんじ)."""
    base: list[str] = []
    reading: list[str] = []
    depth = 0  # within a reading
    walk = etree.iterwalk(ruby, events=("start", "end"))
    for event, node in walk:
        if event == "start":
            if node.tag == "rp":
                walk.skip_subtree()
                continue
            depth += node.tag in ("rt", "rtc")
            text = node.text
        else:
            depth -= node.tag in ("rt", "rtc")
            text = node.tail if node is not ruby else None
        (reading if depth else base).append(text or "")
    read = "".join(reading).strip()
    return f"{''.join(base).strip()}({read})" if read else "".join(base)


def stand_in(element: HtmlElement, *, of_item: bool = False) -> str:
    """What pictures, labels and visually hidden text say in an element that has no other text.

    ``of_item``: of a list's item, where the label of a link or button names what it does, mostly sharing the page, and is
    no text; a picture in a link is.
    """
    found: list[str] = []
    controls = 0
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, node in walk:
        is_control = of_item and node.tag in _CONTROLS
        if event == "end":
            controls -= is_control
            if node is not element and not controls:
                found.append(node.tail or "")
            continue
        controls += is_control
        if node.tag in _UNSEEN or (of_item and node.tag == "button") or mark_of(node) == NOTE:
            walk.skip_subtree()
            continue
        label = _label(node, is_picture_only=controls > 0) if node is not element else ""
        if label:
            found.append(f" {label} ")
            walk.skip_subtree()
        elif not controls:
            found.append(node.text or "")
    text = " ".join(dict.fromkeys(" ".join(found).split("\n"))).strip()
    if text or of_item:
        return text
    return _own_label(element) or _icon_sign(element)


def _label(node: HtmlElement, *, is_picture_only: bool) -> str:
    if node.tag in ("img", "area"):
        alt: str = (node.get("alt") or node.get("aria-label") or node.get("title") or "").strip()
        return "" if _FILE_NAME.search(alt) else alt.replace("\n", " ")
    if node.tag == "input":
        return checkbox(node) or (node.get("alt", "") if node.get("type") == "image" else "")
    if node.tag == "math":
        return formula_text(node)
    if is_picture_only or is_visually_hidden(node):
        return ""
    label = _own_label(node)
    if node.tag == "svg" and not label:
        title = next(iter(node.iter("{*}title", "title")), None)
        return "".join(title.itertext()).strip() if title is not None else ""
    return label if node.tag == "svg" or (label and _is_icon(node)) else ""


def _is_icon(element: HtmlElement) -> bool:
    """Whether an element holds no text, and little else."""
    within = list(islice(element.iter(), _MAX_ICON_ELEMENTS + 1))
    return len(within) <= _MAX_ICON_ELEMENTS and not any(text.strip() for text in element.itertext())


def _own_label(element: HtmlElement) -> str:
    return (element.get("aria-label") or element.get("title") or "").strip().replace("\n", " ")


def _icon_sign(element: HtmlElement) -> str:
    """✓ or ✗, where the only picture is one of the usual icons for yes and no."""
    signs = set()
    for node in element.iterdescendants():
        if node.tag in CELLS or not isinstance(node.tag, str):
            continue
        names = " ".join(
            node.get(name, "") for name in ("class", "data-icon", "href", "{http://www.w3.org/1999/xlink}href", "xlink:href")
        )
        if names.isspace():
            continue
        if _YES_ICON.search(names):
            signs.add("✓")
        elif _NO_ICON.search(names):
            signs.add("✗")
    return signs.pop() if len(signs) == 1 else ""
