"""Names of WordprocessingML, and the small readings of it that all of this folder needs."""

from __future__ import annotations

from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"

_OFF = ("0", "false", "off", "none")
# ISO 29500's strict namespaces and those that all programs but few write
_STRICT = "http://purl.oclc.org/ooxml/"
_TRANSITIONAL = {
    f"{_STRICT}wordprocessingml/main": W[1:-1],
    f"{_STRICT}officeDocument/math": M[1:-1],
    f"{_STRICT}officeDocument/relationships": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    f"{_STRICT}drawingml/wordprocessingDrawing": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
    f"{_STRICT}drawingml/main": "http://schemas.openxmlformats.org/drawingml/2006/main",
}


def value(element: etree._Element | None, name: str = "val") -> str | None:
    """An attribute ``w:…``; None where the element or the attribute is absent."""
    return element.get(f"{W}{name}") if element is not None else None


def is_on(element: etree._Element) -> bool:
    """Whether a property that is on or off is on; without a value it is."""
    return element.get(f"{W}val", "1").lower() not in _OFF


def integer(text: str | None, default: int) -> int:
    try:
        return int(text) if text is not None and len(text) < 12 else default
    except ValueError:
        return default


def text_run(text: str) -> etree._Element:
    run = etree.Element(f"{W}r")
    part = etree.SubElement(run, f"{W}t")
    part.text = text
    part.set(XML_SPACE, "preserve")
    return run


def unwrap(element: etree._Element) -> None:
    """Put an element's children in its place."""
    parent = element.getparent()
    if parent is None:
        return
    for child in list(element):
        element.addprevious(child)
    parent.remove(element)


def to_transitional(root: etree._Element) -> None:
    """Rename what a strict document names, so that one set of names is read."""
    for element in root.iter(etree.Element):
        element.tag = _renamed(element.tag)
        for name in [name for name in map(str, element.attrib) if name.startswith(f"{{{_STRICT}")]:
            element.set(_renamed(name), element.attrib.pop(name))


def _renamed(name: str) -> str:
    namespace, _, local = name[1:].partition("}") if name.startswith(f"{{{_STRICT}") else ("", "", "")
    return f"{{{_TRANSITIONAL[namespace]}}}{local}" if namespace in _TRANSITIONAL else name
