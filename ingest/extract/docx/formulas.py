"""Writes formulas (OMML, ECMA-376 part 1, 22.1) as linear text, so that an exponent stays one: ``10^6``, ``(a+b)/2``."""

from __future__ import annotations

import re

from lxml import etree

from ingest.extract.docx.ooxml import M

_SIMPLE = re.compile(r"[-+−]?[\w.,]+")


def formula_text(formula: etree._Element) -> str:
    """The text of an ``m:oMath``. Its depth is bounded by the XML parser's (256)."""
    return "".join(_text(child) for child in formula if isinstance(child.tag, str))


def _text(element: etree._Element) -> str:
    name = etree.QName(element).localname
    match name:
        case "t":
            return element.text or ""
        case "sSup":
            return f"{_base(element)}^{_term(element, 'sup')}"
        case "sSub":
            return f"{_base(element)}_{_term(element, 'sub')}"
        case "sSubSup":
            return f"{_base(element)}_{_term(element, 'sub')}^{_term(element, 'sup')}"
        case "f":
            return f"{_term(element, 'num')}/{_term(element, 'den')}"
        case "rad":
            degree = _part(element, "deg")
            return f"{f'root[{degree}]' if degree else '√'}({_part(element, 'e')})"
        case "d":
            parts = [formula_text(part) for part in element.findall(f"{M}e")]
            opening, separator, closing = (
                _character(element, n, d) for n, d in (("begChr", "("), ("sepChr", "|"), ("endChr", ")"))
            )
            return opening + separator.join(parts) + closing
        case "nary":
            limits = "".join(f"{mark}{_term(element, n)}" for mark, n in (("_", "sub"), ("^", "sup")) if _part(element, n))
            return f"{_character(element, 'chr', '∫')}{limits} {_part(element, 'e')}"
        case "func":
            return f"{_part(element, 'fName')} {_part(element, 'e')}"
        case "limLow" | "limUpp":
            return f"{_part(element, 'e')}_{_term(element, 'lim')}"
        case "mr":
            return ", ".join(formula_text(part) for part in element.findall(f"{M}e")) + "; "
        case "eqArr":
            return "; ".join(formula_text(part) for part in element.findall(f"{M}e"))
        case _ if name.endswith("Pr"):
            return ""
        case _:
            return formula_text(element)


def _part(element: etree._Element, name: str) -> str:
    part = element.find(f"{M}{name}")
    return formula_text(part).strip() if part is not None else ""


def _base(element: etree._Element) -> str:
    return _part(element, "e")


def _term(element: etree._Element, name: str) -> str:
    """A part that a mark binds to: in brackets where it is more than a word or number."""
    text = _part(element, name)
    return text if _SIMPLE.fullmatch(text) else f"({text})"


def _character(element: etree._Element, name: str, default: str) -> str:
    found = element.find(f"{M}{etree.QName(element).localname}Pr/{M}{name}")
    return found.get(f"{M}val", "") if found is not None else default
