"""The marks of list items: numbers, letters, boxes to tick."""

from __future__ import annotations

import re

from lxml.html import HtmlElement

from ingest.extract.html.elements import integer, names_of, word_set

_TYPES = {"1": "decimal", "a": "lower-alpha", "A": "upper-alpha", "i": "lower-roman", "I": "upper-roman"}
_STYLE = re.compile(
    r"list-style(?:-type)?\s*:[^;]{0,40}?(?<![\w-])"
    r"(decimal(?:-leading-zero)?|(?:lower|upper)-(?:alpha|latin|roman|greek)|none)(?![\w-])",
    re.IGNORECASE,
)
_ALPHABETS = {
    "lower-alpha": "abcdefghijklmnopqrstuvwxyz",
    "lower-latin": "abcdefghijklmnopqrstuvwxyz",
    "lower-greek": "αβγδεζηθικλμνξοπρστυφχψω",
}
# Docutils, Sphinx and Asciidoctor say the type in a class.
_CLASSES = {
    "arabic": "decimal",
    "decimal": "decimal",
    "loweralpha": "lower-alpha",
    "upperalpha": "upper-alpha",
    "lowerroman": "lower-roman",
    "upperroman": "upper-roman",
    "lowergreek": "lower-greek",
}
_ROMAN_VALUES = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
_ROMAN_SIGNS = ("m", "cm", "d", "cd", "c", "xc", "l", "xl", "x", "ix", "v", "iv", "i")
_BOX_TYPES = ("checkbox", "radio")
_TASK_LIST = re.compile(r"task|to-?do|check-?list", re.IGNORECASE)
_TOGGLE = re.compile(r"toggle|menu|nav|collaps|accordion|expand|dropdown|tab(?!le)", re.IGNORECASE)
_TICKED, _OPEN = "[x] ", "[ ] "
_TICKED_NAMES = word_set("checked is-checked completed done checkbox-on fa-check-square fa-check-square-o fa-square-check")
_OPEN_NAMES = word_set("unchecked is-unchecked checkbox-off fa-square fa-square-o")
_BOX_NAMES = word_set("fa-check-square fa-check-square-o fa-square-check fa-square fa-square-o checkbox-on checkbox-off")


def markers(list_element: HtmlElement) -> dict[HtmlElement, str]:
    """The marker of each item of a list: ``-``, ``3.``, ``c.``, ``iii.``."""
    items = [child for child in list_element if child.tag == "li" or child.get("role") == "listitem"]
    kind = _numbering(list_element)
    if not kind:
        return dict.fromkeys(items, "-")
    step = -1 if list_element.get("reversed") is not None else 1
    number = integer(list_element.get("start"), default=len(items) if step < 0 else 1)
    found = {}
    for item in items:
        number = integer(item.get("value"), default=number)
        found[item] = _marker(number, _declared(item) or kind)
        number += step
    return found


def _numbering(list_element: HtmlElement) -> str:
    declared = _declared(list_element)
    if declared or list_element.tag != "ol":
        return declared
    return next((_CLASSES[name] for name in names_of(list_element) if name in _CLASSES), "decimal")


def _declared(element: HtmlElement) -> str:
    style = element.get("style")
    if style and (found := _STYLE.search(style)):
        return found[1].lower()
    return _TYPES.get(element.get("type", "").strip(), "")


def _marker(number: int, kind: str) -> str:
    is_upper = kind.startswith("upper-")
    if kind == "none":
        return "-"
    if kind == "decimal-leading-zero":
        return f"{number:02}."
    letters = ""
    if kind.endswith("-roman"):
        letters = _roman(number)
    elif alphabet := _ALPHABETS.get(kind.replace("upper", "lower")):
        letters = _letters(number, alphabet)
    if not letters:
        return f"{number}."
    return f"{letters.upper() if is_upper else letters}."


def _letters(number: int, alphabet: str) -> str:
    """a to z, then aa, ab; nothing for numbers below one."""
    letters = ""
    while number > 0:
        number, place = divmod(number - 1, len(alphabet))
        letters = alphabet[place] + letters
    return letters


def _roman(number: int) -> str:
    if not 0 < number < 4000:
        return ""
    letters = ""
    for value, sign in zip(_ROMAN_VALUES, _ROMAN_SIGNS, strict=True):
        count, number = divmod(number, value)
        letters += sign * count
    return letters


def checkbox(element: HtmlElement) -> str:
    """``[x]`` or ``[ ]`` for a box to tick, whether an input, by its role, or an icon; nothing for any other element."""
    if element.tag == "input":
        if element.get("type", "").strip().lower() not in _BOX_TYPES or _is_toggle(element):
            return ""
        return _TICKED if element.get("checked") is not None or element.get("aria-checked") == "true" else _OPEN
    if element.get("role") in _BOX_TYPES:
        return _TICKED if element.get("aria-checked") == "true" else _OPEN
    if (
        element.tag in ("i", "span", "div", "svg")
        and not len(element)
        and not (names := names_of(element)).isdisjoint(_BOX_NAMES)
    ):
        return _TICKED if not names.isdisjoint(_TICKED_NAMES) else _OPEN
    return ""


def _is_toggle(box: HtmlElement) -> bool:
    """Whether a box only folds what follows it, by style sheets: menus without scripts are made so."""
    if box.get("disabled") is not None:
        return False
    if _TOGGLE.search(f"{box.get('class', '')} {box.get('id', '')}"):
        return True
    label = box.getnext()
    folded = label.getnext() if label is not None and label.tag == "label" and label.get("for") else None
    return folded is not None and folded.tag in ("ul", "ol", "div", "nav")


def task_state(item: HtmlElement) -> str:
    """``[x]`` or ``[ ]`` for an item of a list of tasks that says its state itself, without a box in it."""
    state = item.get("data-checked") or item.get("data-list") or ""
    if state in ("true", "checked"):
        return _TICKED
    if state in ("false", "unchecked"):
        return _OPEN
    if item.get("data-inline-task-id") is not None:  # Confluence
        return _TICKED if "checked" in names_of(item) else _OPEN
    names = names_of(item)
    above = item.getparent()
    if above is None or (names.isdisjoint(_TICKED_NAMES) and names.isdisjoint(_OPEN_NAMES)):
        return ""
    if not _TASK_LIST.search(f"{above.get('class', '')} {item.get('class', '')}"):
        return ""
    return _OPEN if not names.isdisjoint(_OPEN_NAMES) else _TICKED
