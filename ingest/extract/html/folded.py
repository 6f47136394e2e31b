"""Finds what a page folds away until its reader asks for it: answers under questions, collapsed sections, the panels of tabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.elements import found, names_of

# What the libraries of tabs and accordions call the parts that they fold.
_FOLDED = re.compile(
    r"(?:^|[\s_-])(?:accordion|collaps\w*|expand\w*|fold\w*|toggle|panel|tabs?|tabpanel|tabbed|faq|answer|spoiler|details)"
    r"(?:$|[\s_-])",
    re.IGNORECASE,
)
_OVERLAYS = re.compile(
    r"(?:^|[\s_-])(?:modal|popup|popover|tooltip|dropdown|lightbox|overlay|offcanvas|drawer|toast|menu)(?:$|[\s_-])",
    re.IGNORECASE,
)
_OVERLAY_ROLES = ("dialog", "alertdialog", "menu", "tooltip")
_TARGETS = ("data-target", "data-bs-target", "data-toggle-target")
_SWITCHES = ("aria-expanded", "data-toggle", "data-bs-toggle")
_PANELS = ("tabbed-block", "tab-pane")  # of Material for MkDocs, and of Bootstrap
# Searched for by libxml2, as most elements are none of these.
_CONTROLS = etree.XPath(f".//*[@aria-controls or starts-with(@href, '#') or {' or '.join(f'@{name}' for name in _TARGETS)}]")
_TABLISTS = etree.XPath(".//*[@role = 'tablist' or contains(concat(' ', @class, ' '), ' tabbed-labels ')]")


def opened_by_controls(body: HtmlElement) -> frozenset[str]:
    """The ids of elements that a control on the page shows."""
    ids: set[str] = set()
    for element in found(_CONTROLS, body):
        ids.update(element.get("aria-controls", "").split())
        for name in _TARGETS:
            ids.update(part[1:] for part in element.get(name, "").split() if part.startswith("#"))
        href = element.get("href", "")
        is_switch = element.get("role") == "tab" or any(element.get(name) for name in _SWITCHES)
        if href.startswith("#") and is_switch:
            ids.add(href[1:])
    return frozenset(ids)


def is_folded(element: HtmlElement, opened: frozenset[str]) -> bool:
    """Whether a hidden element is one that a control opens, and not a menu or a window over the page."""
    names = f"{element.get('class', '')} {element.get('id', '')}"
    if element.get("aria-modal") or element.get("role") in _OVERLAY_ROLES or _OVERLAYS.search(names):
        return False
    if element.get("role") == "tabpanel" or element.get("id") in opened or element.get("hidden") == "until-found":
        return True
    if _FOLDED.search(element.get("class", "")):
        return True
    before = element.getprevious()
    return before is not None and any(e.get("aria-expanded") is not None for e in islice(before.iter(), 8))


def label_panels(body: HtmlElement) -> None:
    """Write each tab's label over its panel: the tabs stand elsewhere, in a row, which says nothing once the panels are text."""
    for tablist in found(_TABLISTS, body):
        tabs = [e for e in tablist.iter() if e.get("role") == "tab"] or list(tablist.iter("label", "button", "a"))
        panels = _panels_of(tablist, tabs)
        if not tabs or len(panels) != len(tabs):
            continue
        for tab, panel in zip(tabs, panels, strict=True):
            label = " ".join("".join(tab.itertext()).split())
            if label and not " ".join("".join(panel.itertext()).split()).startswith(label):
                paragraph = panel.makeelement("p")
                paragraph.text = label
                paragraph.tail, panel.text = panel.text, None
                panel.insert(0, paragraph)
        if tablist.getparent() is not None:
            tablist.drop_tree()


def _panels_of(tablist: HtmlElement, tabs: Sequence[HtmlElement]) -> list[HtmlElement]:
    """The panels in the order of their tabs: those that the tabs name, else those that follow."""
    parent = tablist.getparent()
    if parent is None:
        return []
    root = tablist.getroottree()
    ids = [tab.get("aria-controls") or tab.get("href", "#")[1:] or "" for tab in tabs]
    if all(ids):
        by_id = {e.get("id"): e for e in root.getroot().iter() if e.get("id") in set(ids)}
        if len(by_id) == len(set(ids)) == len(ids):
            return [by_id[name] for name in ids]
    for near in (parent, parent.getparent()):
        if near is None:
            break
        panels = [e for e in near.iterdescendants() if e.get("role") == "tabpanel" or not names_of(e).isdisjoint(_PANELS)]
        if panels:
            return panels
    return []
