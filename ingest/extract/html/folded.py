"""Finds what a page folds away until its reader asks for it: answers under questions, collapsed sections, the panels of tabs."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.elements import DROPPED, found, is_shown_by_script, names_of

# What the libraries of tabs and accordions call the parts that they fold.
_FOLDED = re.compile(
    r"(?:^|[\s_-])(?:accordion|collaps\w*|expand\w*|fold\w*|toggle|panel|tabs?|tabpanel|tabbed|faq|answer|spoiler|details)"
    r"(?:$|[\s_-])",
    re.IGNORECASE,
)
# What they call the element around the titles and the parts that these fold.
_FOLDING = re.compile(r"(?:^|[\s_-])(?:accordions?|collapsib\w*|faqs?|spoilers?)(?:$|[\s_-])", re.IGNORECASE)
_OVERLAYS = re.compile(
    r"(?:^|[\s_-])(?:modal|popup|popover|tooltip|dropdown|lightbox|overlay|offcanvas|drawer|toast|menu)(?:$|[\s_-])",
    re.IGNORECASE,
)
_CONTROL_ROLES = ("button", "tab", "link")
_MAX_CONTROL_DEPTH = 4
_OVERLAY_ROLES = ("dialog", "alertdialog", "menu", "tooltip")
_TARGETS = ("data-target", "data-bs-target", "data-toggle-target")
_SWITCHES = ("aria-expanded", "data-toggle", "data-bs-toggle")
_MAX_BETWEEN = 20  # scripts and other unseen elements that may stand between a control and what it opens
_PANELS = ("tabbed-block", "tab-pane")  # of Material for MkDocs, and of Bootstrap
# Searched for by libxml2, as most elements are none of these.
_CONTROLS = etree.XPath(
    f".//*[@aria-controls or @popovertarget or starts-with(@href, '#') or {' or '.join(f'@{name}' for name in _TARGETS)}]"
)
_TABLISTS = etree.XPath(".//*[@role = 'tablist' or contains(concat(' ', @class, ' '), ' tabbed-labels ')]")


def opened_by_controls(body: HtmlElement) -> frozenset[str]:
    """The ids of elements that a control on the page shows."""
    ids: set[str] = set()
    for element in found(_CONTROLS, body):
        ids.update(element.get("aria-controls", "").split())
        if target := element.get("popovertarget"):
            ids.add(target)
        for name in _TARGETS:
            ids.update(part[1:] for part in element.get(name, "").split() if part.startswith("#"))
        href = element.get("href", "")
        is_switch = element.get("role") == "tab" or any(element.get(name) for name in _SWITCHES)
        if href.startswith("#") and is_switch:
            ids.add(href[1:])
    return frozenset(ids)


def is_opened(element: HtmlElement, opened: frozenset[str]) -> bool:
    """Whether a control shows an element, by its id."""
    return element.get("id") in opened


def is_folded(element: HtmlElement, opened: frozenset[str]) -> bool:
    """Whether a hidden element is one that a control opens, and not a menu, a window over the page, or the control's own icon."""
    if _stands_in_control(element):
        return False
    names = f"{element.get('class', '')} {element.get('id', '')}"
    if element.get("aria-modal") or element.get("role") in _OVERLAY_ROLES or _OVERLAYS.search(names):
        return False
    if element.get("role") == "tabpanel" or element.get("id") in opened or element.get("hidden") == "until-found":
        return True
    if _FOLDED.search(element.get("class", "")):
        return True
    near = islice(element.itersiblings(preceding=True), _MAX_BETWEEN)
    before = next((e for e in near if e.tag != DROPPED), None)
    if before is None:
        return False
    if is_shown_by_script(element) or any(e.get("aria-expanded") is not None for e in islice(before.iter(), 8)):
        return True
    holder = element.getparent()
    return holder is not None and bool(_FOLDING.search(holder.get("class", "")))


def _stands_in_control(element: HtmlElement) -> bool:
    return any(
        above.tag in ("button", "summary") or above.get("role") in _CONTROL_ROLES
        for above in islice(element.iterancestors(), _MAX_CONTROL_DEPTH)
    )


def label_panels(body: HtmlElement) -> None:
    """Write each tab's label over its panel: the tabs stand elsewhere, in a row, which says nothing once the panels are text.

    A ``tablist`` around its own panels, as Bootstrap's accordions have it, is no such row: it is the content, and stays.
    """
    tablists = found(_TABLISTS, body)
    if not tablists:
        return
    tabs_of_page = _Tabs(body)
    for tablist in tablists:
        if tabs_of_page.is_in_last(tablist):
            if tabs_of_page.holds_panel(tablist, ()):  # Elementor's call themselves so on three levels
                tablist.attrib.pop("role", None)
            continue
        tabs = [e for e in tablist.iter() if e.get("role") == "tab"] or list(tablist.iter("label", "button", "a"))
        panels = tabs_of_page.panels_of(tablist, tabs)
        if tabs_of_page.holds_panel(tablist, panels):
            tablist.attrib.pop("role", None)
        elif tabs and len(panels) == len(tabs):
            for tab, panel in zip(tabs, panels, strict=True):
                _label(panel, " ".join("".join(tab.itertext()).split()))
            if tablist.getparent() is not None:
                tablist.drop_tree()


def _label(panel: HtmlElement, label: str) -> None:
    if not label or _begins_with(panel, label):
        return
    paragraph = panel.makeelement("p")
    paragraph.text = label
    paragraph.tail, panel.text = panel.text, None
    panel.insert(0, paragraph)


def _begins_with(element: HtmlElement, text: str) -> bool:
    """Whether an element's text begins with another, white space aside; reads no more of it than that takes."""
    wanted = "".join(text.split())
    read = ""
    for piece in element.itertext():
        read += "".join(piece.split())
        if len(read) >= len(wanted):
            break
    return read.startswith(wanted)


class _Tabs:
    """The panels and ids of a body, found in one walk: a page may have thousands of rows of tabs."""

    def __init__(self, body: HtmlElement) -> None:
        self._panels: list[HtmlElement] = []
        self._panel_places: list[int] = []
        self._by_id: dict[str, HtmlElement] = {}
        self._ranges: dict[HtmlElement, tuple[int, int]] = {}  # of places in document order, an element's own among them
        self._last_end = 0
        begun: list[int] = []
        place = 0
        for event, element in etree.iterwalk(body, events=("start", "end")):
            if event == "end":
                self._ranges[element] = begun.pop(), place
                continue
            begun.append(place)
            if element.get("role") == "tabpanel" or not names_of(element).isdisjoint(_PANELS):
                self._panels.append(element)
                self._panel_places.append(place)
            if name := element.get("id"):
                self._by_id.setdefault(name, element)
            place += 1

    def is_in_last(self, tablist: HtmlElement) -> bool:
        """Whether a row of tabs stands within the last one that was asked for, which has all tabs in it."""
        start, end = self._ranges[tablist]
        if start < self._last_end:
            return True
        self._last_end = end
        return False

    def panels_of(self, tablist: HtmlElement, tabs: Sequence[HtmlElement]) -> list[HtmlElement]:
        """The panels in the order of their tabs: those that the tabs name, else the ones near; none if more or fewer."""
        named = [self._by_id.get(tab.get("aria-controls") or tab.get("href", "#")[1:]) for tab in tabs]
        panels = list(dict.fromkeys(panel for panel in named if panel is not None))
        if len(panels) == len(tabs):
            return panels
        for near in islice(tablist.iterancestors(), 2):
            first, last = self._panels_in(near)
            if first < last:
                return self._panels[first:last] if last - first == len(tabs) else []
        return []

    def holds_panel(self, tablist: HtmlElement, panels: Sequence[HtmlElement]) -> bool:
        """Whether one of these, or any other panel, stands in a ``tablist``."""
        start, end = self._ranges[tablist]
        first, last = self._panels_in(tablist)
        return first < last or any(start < self._ranges[panel][0] < end for panel in panels)

    def _panels_in(self, element: HtmlElement) -> tuple[int, int]:
        start, end = self._ranges.get(element, (0, len(self._ranges)))  # of what is around the body
        return bisect_right(self._panel_places, start), bisect_left(self._panel_places, end)
