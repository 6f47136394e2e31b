"""Writes presentation MathML that brings no source of its own as one line of text: x^2, a/b, sqrt(x)."""

from __future__ import annotations

import re

from lxml.html import HtmlElement

_MAX_DEPTH = 40  # what lies deeper is written without structure
_SOURCE = re.compile(r"tex|asciimath", re.IGNORECASE)
_UNWRITTEN = frozenset(("annotation", "annotation-xml", "mphantom", "mprescripts", "none", "maligngroup", "malignmark"))
_RELATIONS = ("=", "<", ">", "≤", "≥", "≈", "≡", "∼", "→", "+", "-", "\u2212")
_COMPOSITE = re.compile(r"[^\w.\u2032']")


def formula_text(formula: HtmlElement) -> str:
    """A formula's source (TeX or AsciiMath) where the markup brings it, else its parts on one line."""
    source: str = formula.get("alttext", "")
    notes = (note.text or "" for note in formula.iter("{*}annotation") if _SOURCE.search(note.get("encoding") or "tex"))
    if source := source or next(notes, ""):
        return source
    return " ".join(_written(formula, 0).replace("\u2212", "-").split())


def _written(node: HtmlElement, depth: int) -> str:
    name = node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""
    if name in _UNWRITTEN:
        return ""
    if depth >= _MAX_DEPTH:
        return "".join(node.itertext())
    parts = [_written(child, depth + 1) + _bare(child.tail) for child in node]
    text = _bare(node.text)
    if not parts:
        return " " if name == "mspace" else text
    if text:  # which has no place beside elements
        return " ".join((text, *parts))
    match name, parts:
        case ("msup" | "mover", [base, above]):
            return f"{_base(base)}^{_grouped(above)}"
        case ("msub" | "munder", [base, below]):
            return f"{base}_{_grouped(below)}"
        case ("msubsup" | "munderover", [base, below, above]):
            return f"{base}_{_grouped(below)}^{_grouped(above)}"
        case "mfrac", [above, below]:
            if (node.get("linethickness") or "1").startswith("0"):
                return f"binom({above}, {below})"
            return f"{_grouped(above)}/{_grouped(below)}"
        case "msqrt", _:
            return f"sqrt({''.join(parts)})"
        case "mroot", [base, degree]:
            return f"root({degree}, {base})"
        case "mfenced", _:
            separator = (node.get("separators") or ",").strip()[:1]
            return f"{node.get('open', '(')}{f'{separator} '.join(parts)}{node.get('close', ')')}"
        case (("mtr" | "mlabeledtr"), _):
            is_aligned = any(part.lstrip().startswith(_RELATIONS) for part in parts[1:])  # equations under each other
            return (" " if is_aligned else ", ").join(part for part in parts if part.strip())
        case "mtable", _:
            return "; ".join(parts)
    return "".join(parts)


def _bare(text: str | None) -> str:
    return " ".join((text or "").split())


def _grouped(term: str) -> str:
    if len(term) == 1:
        return term
    return f"({term})" if _COMPOSITE.search(term.lstrip("-\u2212+")) and not _is_in_brackets(term) else term


def _base(term: str) -> str:
    """A base of several terms: only the last would be raised."""
    return f"({term})" if re.search(r"[+\-\u2212/^=]", term) and not _is_in_brackets(term) else term


def _is_in_brackets(term: str) -> bool:
    """Whether one pair of brackets stands around all of it."""
    if not (term.startswith("(") and term.endswith(")")):
        return False
    open_brackets = 0
    for char in term[:-1]:
        open_brackets += (char == "(") - (char == ")")
        if not open_brackets:
            return False
    return True
