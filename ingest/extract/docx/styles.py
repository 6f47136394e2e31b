"""What a paragraph or run is by its styles: struck out, raised, hidden, numbered, a heading (ECMA-376 part 1, 17.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml import etree

from ingest.extract.docx.ooxml import W, integer, is_on, value

_HEADING_NAME = re.compile(r"heading ([1-9])", re.IGNORECASE)
BODY_LEVEL = 9  # the outline level of what is no heading


@dataclass(frozen=True, slots=True)
class Style:
    """Properties with those of the styles that it is based on. None: the styles don't say."""

    outline_level: int | None = None
    number_id: str | None = None
    number_level: int | None = None
    is_struck: bool | None = None
    is_hidden: bool | None = None
    is_bold: bool | None = None
    alignment: str | None = None  # superscript, subscript or baseline
    names_first_row: bool = False  # of a table: the first row looks unlike the others


@dataclass(slots=True)
class Styles:
    """The styles of a document, by id."""

    root: etree._Element | None
    _elements: dict[str, etree._Element] = field(default_factory=dict)
    _resolved: dict[str, Style] = field(default_factory=dict)
    default_paragraph: str = ""

    def __post_init__(self) -> None:
        for style in self.root.iterfind(f"{W}style") if self.root is not None else ():
            if identifier := style.get(f"{W}styleId"):
                self._elements.setdefault(identifier, style)
                if style.get(f"{W}type") == "paragraph" and style.get(f"{W}default", "0") in ("1", "true", "on"):
                    self.default_paragraph = self.default_paragraph or identifier

    def named(self, identifier: str | None) -> Style:
        """A style by its id; one without properties where there is none."""
        if not identifier or identifier not in self._elements:
            return Style()
        if identifier not in self._resolved:
            chain: list[str] = []
            current: str | None = identifier
            while current and current in self._elements and current not in chain and len(chain) < 30:
                chain.append(current)
                current = value(self._elements[current].find(f"{W}basedOn"))
            style = Style()
            for link in reversed(chain):
                style = _over(style, self._elements[link])
            self._resolved[identifier] = style
        return self._resolved[identifier]


def _over(base: Style, element: etree._Element) -> Style:
    """A style on top of the one that it is based on."""
    paragraph, run = element.find(f"{W}pPr"), element.find(f"{W}rPr")
    heading = _HEADING_NAME.fullmatch(value(element.find(f"{W}name")) or "")
    own_level = value(paragraph.find(f"{W}outlineLvl")) if paragraph is not None else None
    level = integer(own_level, BODY_LEVEL) if own_level else int(heading[1]) - 1 if heading else base.outline_level
    numbering = paragraph.find(f"{W}numPr") if paragraph is not None else None
    number_id, number_level = numbering_of(numbering) if numbering is not None else (None, None)
    return Style(
        outline_level=level,
        number_id=number_id if number_id is not None else base.number_id,
        number_level=number_level if number_level is not None else base.number_level,
        is_struck=_first(is_struck(run), base.is_struck),
        is_hidden=_first(switch(run, "vanish"), base.is_hidden),
        is_bold=_first(switch(run, "b"), base.is_bold),
        alignment=alignment_of(run) or base.alignment,
        names_first_row=base.names_first_row or element.find(f"{W}tblStylePr[@{W}type='firstRow']") is not None,
    )


def numbering_of(numbering: etree._Element) -> tuple[str | None, int | None]:
    """The list and the level of a ``w:numPr``."""
    level = value(numbering.find(f"{W}ilvl"))
    return value(numbering.find(f"{W}numId")), integer(level, 0) if level is not None else None


def switch(properties: etree._Element | None, name: str) -> bool | None:
    """A property that is on or off; None where it isn't given."""
    found = properties.find(f"{W}{name}") if properties is not None else None
    return is_on(found) if found is not None else None


def is_struck(properties: etree._Element | None) -> bool | None:
    """Struck out once or twice."""
    given = [state for name in ("strike", "dstrike") if (state := switch(properties, name)) is not None]
    return any(given) if given else None


def alignment_of(properties: etree._Element | None) -> str | None:
    """Superscript, subscript or baseline; text that is raised or lowered by two points and more counts as the first two."""
    if properties is None:
        return None
    if found := value(properties.find(f"{W}vertAlign")):
        return found
    shift = integer(value(properties.find(f"{W}position")), 0)  # in half-points
    return "superscript" if shift >= 4 else "subscript" if shift <= -4 else None


def _first(own: bool | None, inherited: bool | None) -> bool | None:
    return own if own is not None else inherited
