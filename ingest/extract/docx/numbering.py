"""Counts numbered paragraphs as Word does, so that "see section 2.1" finds its target (ECMA-376 part 1, 17.9)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml import etree

from ingest.extract.docx.ooxml import W, integer, is_on, value

_PLACE = re.compile(r"%([1-9])")
_LEVELS = 9
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"))
_ROMAN_ONES = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii")
HTML_TYPES = {"decimal": "1", "lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I"}


@dataclass(frozen=True, slots=True)
class Level:
    """``text`` has ``%1`` for the number of the first level, and so on. ``restart``: after which level it begins anew."""

    kind: str = "decimal"
    text: str = ""
    start: int = 1
    restart: int | None = None
    is_legal: bool = False  # all numbers in digits


@dataclass(frozen=True, slots=True)
class Label:
    """What stands before a numbered paragraph. ``is_plain``: nothing but its own number and punctuation."""

    text: str
    kind: str
    number: int
    is_plain: bool


@dataclass(slots=True)
class _List:
    abstract_id: str
    levels: dict[int, Level]
    overrides: dict[int, int]
    style_link: str | None = None


@dataclass(slots=True)
class Numbering:
    """The lists of a document and how far each has counted."""

    root: etree._Element | None
    _lists: dict[str, _List] = field(default_factory=dict)
    _counts: dict[str, list[int | None]] = field(default_factory=dict)
    _begun: set[tuple[str, int]] = field(default_factory=set)
    _by_style: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.root is None:
            return
        abstract: dict[str, dict[int, Level]] = {}
        links: dict[str, str | None] = {}
        targets: dict[str, str] = {}
        styles: dict[str, dict[str, int]] = {}
        for element in self.root.iterfind(f"{W}abstractNum"):
            identifier = element.get(f"{W}abstractNumId", "")
            levels = {integer(lvl.get(f"{W}ilvl"), 0): lvl for lvl in element.iterfind(f"{W}lvl")}
            abstract[identifier] = {number: _level(lvl) for number, lvl in levels.items()}
            styles[identifier] = {style: n for n, lvl in levels.items() if (style := value(lvl.find(f"{W}pStyle")))}
            links[identifier] = value(element.find(f"{W}numStyleLink"))
            if target := value(element.find(f"{W}styleLink")):
                targets[target] = identifier
        for element in self.root.iterfind(f"{W}num"):
            identifier = element.get(f"{W}numId", "")
            abstract_id = value(element.find(f"{W}abstractNumId")) or ""
            abstract_id = targets.get(links.get(abstract_id) or "", abstract_id)
            levels_of = dict(abstract.get(abstract_id, {}))
            overrides: dict[int, int] = {}
            for override in element.iterfind(f"{W}lvlOverride"):
                number = integer(override.get(f"{W}ilvl"), 0)
                if (own := override.find(f"{W}lvl")) is not None:
                    levels_of[number] = _level(own)
                if (begin := value(override.find(f"{W}startOverride"))) is not None:
                    overrides[number] = integer(begin, 1)
            self._lists[identifier] = _List(abstract_id, levels_of, overrides)
            for style, number in styles.get(abstract_id, {}).items():
                self._by_style.setdefault(style, (identifier, number))

    def of_style(self, style: str | None) -> tuple[str | None, int | None]:
        """The list and level that name a paragraph style as theirs."""
        return self._by_style.get(style or "", (None, None))

    def level_of_style(self, number_id: str | None, style: str | None) -> int | None:
        found = self._by_style.get(style or "")
        return found[1] if found and number_id is not None else None

    def count(self, number_id: str, level: int) -> Label | None:
        """Count one paragraph more, and give what stands before it; None where the list isn't defined."""
        listed = self._lists.get(number_id)
        level = max(0, min(level, _LEVELS - 1))
        if listed is None or level not in listed.levels:
            return None
        counts = self._counts.setdefault(listed.abstract_id, [None] * _LEVELS)
        if level in listed.overrides and (number_id, level) not in self._begun:
            counts[level] = listed.overrides[level]
        else:
            current = counts[level]
            counts[level] = listed.levels[level].start if current is None else current + 1
        self._begun.add((number_id, level))
        for deeper in range(level + 1, _LEVELS):
            restart = listed.levels[deeper].restart if deeper in listed.levels else None
            if restart is None or level < restart:
                counts[deeper] = None
        for outer in range(level):
            if counts[outer] is None:
                counts[outer] = listed.levels[outer].start if outer in listed.levels else 1
        return _label(listed.levels, counts, level)


def _level(element: etree._Element) -> Level:
    restart = value(element.find(f"{W}lvlRestart"))
    legal = element.find(f"{W}isLgl")
    return Level(
        kind=value(element.find(f"{W}numFmt")) or "decimal",
        text=value(element.find(f"{W}lvlText")) or "",
        start=integer(value(element.find(f"{W}start")), 0),
        restart=integer(restart, 0) if restart is not None else None,
        is_legal=legal is not None and is_on(legal),
    )


def _label(levels: dict[int, Level], counts: list[int | None], level: int) -> Label:
    own = levels[level]

    def number(found: re.Match[str]) -> str:
        place = int(found[1]) - 1
        kind = levels[place].kind if place in levels else "decimal"
        return written(counts[place] or 0, "decimal" if own.is_legal else kind)

    places = _PLACE.findall(own.text)
    rest = _PLACE.sub("", own.text)
    is_plain = places == [str(level + 1)] and not any(char.isalnum() for char in rest)
    return Label(_PLACE.sub(number, own.text).strip(), own.kind, counts[level] or 0, is_plain)


def written(number: int, kind: str) -> str:
    """A number in letters, Roman numerals or digits."""
    match kind:
        case "lowerLetter" | "upperLetter" if number > 0:
            text = chr(ord("a") + (number - 1) % 26) * min(1 + (number - 1) // 26, 40)
        case "lowerRoman" | "upperRoman" if 0 < number < 4_000:
            text = ""
            for worth, letters in _ROMAN:
                text += letters * (number // worth)
                number %= worth
            text += _ROMAN_ONES[number]
        case "decimalZero":
            return f"{number:02d}"
        case "ordinal":
            ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
            return f"{number}{ending}"
        case "none":
            return ""
        case _:
            return str(number)
    return text.upper() if kind.startswith("upper") else text
