"""Inline markup that changes what a text says, written in its plain text: what is struck out, raised or lowered.

``~~20~~ 35 euro`` is no longer a price of 20 euro, and ``10^6`` is not 106. Marks of footnotes (``<sup>`` with a link) are
left out; ordinals (1st), trade marks and the like stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from lxml.html import HtmlElement

from ingest.extract.html.elements import names_of, word_set

# Marks among the texts of a block; NUL can't stand in a DOM.
STRIKE, RAISED, LOWERED, NOTE = "\0~", "\0^", "\0_", "\0*"
END_OF_ITEM, END_OF_TERM = "\0;", "\0:"  # of a list or table that is written within one line
_CLOSING = "/"
_OPENED = (STRIKE, RAISED, LOWERED, NOTE)
_CLOSED = tuple(mark + _CLOSING for mark in _OPENED)

_BY_TAG = {"del": STRIKE, "s": STRIKE, "strike": STRIKE, "sup": RAISED, "sub": LOWERED}
_BY_ROLE = {"deletion": STRIKE, "superscript": RAISED, "subscript": LOWERED, "doc-noteref": NOTE}
_STRUCK_NAMES = word_set("line-through strikethrough strike-through strike text-strike text-decoration-line-through struck")
_RAISED_NAMES, _LOWERED_NAMES = word_set("superscript"), word_set("subscript")
_STRUCK_STYLE = re.compile(r"text-decoration(?:-line)?\s*:[^;]{0,60}line-through", re.IGNORECASE)
_RAISED_STYLE = re.compile(r"vertical-align\s*:\s*super(?![\w-])", re.IGNORECASE)
_LOWERED_STYLE = re.compile(r"vertical-align\s*:\s*sub(?![\w-])", re.IGNORECASE)

_NOTE_NAME = re.compile(
    r"(?:^|[\s_-])(?:foot-?notes?|end-?notes?|note-?ref|fn-?ref|fn|cite|reference|noteref)(?![^\s_-])", re.IGNORECASE
)
_NOTE_TEXT = re.compile(r"\[[^\[\]]{1,12}\](?:\s?,?\s?\[[^\[\]]{1,12}\])*|[*†‡§¶#‖]{1,4}")
_MAX_NOTE_CHARS, _MAX_NOTE_ELEMENTS = 40, 16

_SIGN = str.maketrans({"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\ufe63": "-", "\uff0d": "-"})
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|\d+[+-])")
_LETTER = re.compile(r"[+-]?[^\W\d_]")
_EXPRESSION = re.compile(r"[\w+\-*/×·.,()\[\]^= ⁄∞′']{2,40}")
_OPERATOR = re.compile(r"[+\-*/×·^=⁄]|\d[^\W\d_]|[^\W\d_]\d")
_WORD = re.compile(r"[^\W\d_]{3,}")
_ORDINAL = re.compile(r"[-.]?(?:st|nd|rd|th|[eè]re?s?|i?[eè]me?s?|[oaºª]s?|nde?s?|te[rnms]?|de[rnms]?)\.?", re.IGNORECASE)
_ORDINAL_LETTERS = frozenset("eoaº°ª")  # 2e, 1o, 1a
_TITLES = frozenset("nNMDSVC")  # n°, Mr, Dr, Ste: letters before a raised ending that is no exponent
_TITLE_ENDINGS = frozenset("oert")
_VARIABLES = frozenset("nkmijxyzpqtNTH")
_CLOSES = frozenset(")]}|′'’")
_CONTEXT_CHARS = 24
_AFTER_CURRENCY = re.compile(r"[$€£¥₹]\s?\d[\d.,' ]{0,14}\Z")
_BEFORE_CURRENCY = re.compile(r"\s?(?:[€$£¥₹]|EUR\b|USD\b|euro|kr\b|zł|Kč|Ft\b|CHF\b)", re.IGNORECASE)
_CENTS = re.compile(r"\d\d|--?|[–—]")
_EULER = re.compile(r"(?<![^\W\d_])e\Z")
_MAX_FACTORS = 3  # letters of an exponent that is a product: e^(iωt)
_ROUND = re.compile(r"(?<!\d)(?:2|10)\Z")  # bases of powers
_LOGARITHM = re.compile(r"(?<![^\W\d_])(?:log|lg)\Z", re.IGNORECASE)
_WHOLE_NUMBER_END = re.compile(r"\d[.,]?\Z")
_CELSIUS = re.compile(r"\s?[CFСК](?!\w)")


def mark_of(element: HtmlElement) -> str:
    """The mark that an element puts on its text; empty for most."""
    mark = _BY_TAG.get(element.tag, "")
    if mark == STRIKE or (not mark and not element.attrib):
        return mark
    mark = _BY_ROLE.get(element.get("role", ""), mark)
    if not mark:
        names = names_of(element)
        if not names.isdisjoint(_STRUCK_NAMES):
            mark = STRIKE
        elif not names.isdisjoint(_RAISED_NAMES):
            mark = RAISED
        elif not names.isdisjoint(_LOWERED_NAMES):
            mark = LOWERED
        elif style := element.get("style"):
            mark = _mark_of_style(style)
    return NOTE if mark == RAISED and _is_note_mark(element) else mark


def _mark_of_style(style: str) -> str:
    if _STRUCK_STYLE.search(style):
        return STRIKE
    if _RAISED_STYLE.search(style):
        return RAISED
    return LOWERED if _LOWERED_STYLE.search(style) else ""


def _is_note_mark(element: HtmlElement) -> bool:
    """Whether a raised text refers to a note: it holds a link within the page or stands in one, or is named or written so."""
    within = list(islice(element.iter(), _MAX_NOTE_ELEMENTS + 1))
    if len(within) > _MAX_NOTE_ELEMENTS:
        return False
    text = "".join(element.itertext()).strip()
    if len(text) > _MAX_NOTE_CHARS:
        return False
    if _NOTE_TEXT.fullmatch(text) or _is_named_note(element):
        return True
    links = [link for link in (*within, *islice(element.iterancestors(), 2)) if link.tag == "a"]
    return any("#" in link.get("href", "") or _is_named_note(link) for link in links)


def _is_named_note(element: HtmlElement) -> bool:
    names = f"{element.get('class', '')} {element.get('role', '')} {element.get('epub:type', '')} {element.get('id', '')}"
    return names != "   " and bool(_NOTE_NAME.search(names))


class InlineText:
    """The running text of a block while it is gathered.

    A mark that is open when the text is taken is closed there, and opened again for the text that follows.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._strikes = 0

    @property
    def is_struck(self) -> bool:
        return self._strikes > 0

    @property
    def is_blank(self) -> bool:
        return all(part.isspace() or part[0] == "\0" for part in self._parts)

    def add(self, text: str) -> None:
        if text:
            self._parts.append(text)

    def open(self, mark: str) -> None:
        self._strikes += mark == STRIKE
        self._parts.append(mark)

    def close(self, mark: str) -> None:
        self._strikes -= mark == STRIKE
        self._parts.append(mark + _CLOSING)

    def ends_with_break(self) -> bool:
        return bool(self._parts) and self._parts[-1] == "\n"

    def take(self) -> str:
        """The text gathered so far, with its marks written out; the next text begins."""
        if not self._parts:
            return ""
        text = render(self._parts)
        self._parts = [STRIKE] * self._strikes
        return text


def render(parts: Iterable[str]) -> str:
    """Texts and the marks among them as one text."""
    parts = [part for part in parts if part]
    return _Renderer(parts).text() if any(part[0] == "\0" for part in parts) else "".join(parts)


class _Renderer:
    """Writes marks once what stands before, within and after them is known."""

    def __init__(self, parts: list[str]) -> None:
        self._parts = parts
        self._frames: list[tuple[str, list[str]]] = [("", [])]  # the open marks, with what was written under each
        self._strikes = 0
        self._separator = ""  # between items, waiting for the next item's text

    def text(self) -> str:
        for i, part in enumerate(self._parts):
            if part[0] != "\0":
                self._write(part)
            elif part in (END_OF_ITEM, END_OF_TERM):
                self._separator = self._separator or part[1]
            elif part in _OPENED:
                self._open(part)
            elif part in _CLOSED:
                self._close(part[:2], i)
        while len(self._frames) > 1:
            self._close(self._frames[-1][0], len(self._parts))
        return "".join(self._frames[0][1])

    def _open(self, mark: str) -> None:
        if mark == STRIKE:
            self._strikes += 1
            if self._strikes > 1:
                return
        self._frames.append((mark, []))

    def _close(self, mark: str, at: int) -> None:
        if mark == STRIKE:
            self._strikes = max(0, self._strikes - 1)
            if self._strikes:
                return
        if self._frames[-1][0] != mark:
            return
        inner = "".join(self._frames.pop()[1])
        if mark == STRIKE:
            self._write_struck(inner)
        elif mark == RAISED:
            self._write_raised(inner, at)
        elif mark == LOWERED:
            self._write_lowered(inner, at)
        elif not self._before().strip() and self._is_followed(at):  # a note begins with its own mark
            self._write(inner)

    def _write(self, text: str) -> None:
        if not text:
            return
        out = self._frames[-1][1]
        if self._separator:
            if text.isspace():
                return
            while out and out[-1].isspace():
                out.pop()
            if out:
                out[-1] = out[-1].rstrip()
                is_ended = out[-1][-1] in ".;:,!?…。；：，！？"
                out.append(" " if is_ended else f"{self._separator} ")
            text = text.lstrip()
            self._separator = ""
        out.append(text)

    def _write_struck(self, inner: str) -> None:
        text = inner.strip()
        if not text:
            self._write(inner)
            return
        before, after = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
        out = self._frames[-1][1]
        if out and out[-1] == "~~" and not before:  # one struck text right after another
            out.pop()
        else:
            self._write(before)
            self._write("~~")
        self._write(text)
        out.append("~~")
        self._write(after)

    def _write_raised(self, inner: str, at: int) -> None:
        before = self._before()
        term = inner.strip().translate(_SIGN)
        after = self._after(at)
        if _is_fraction(term, after, self._parts, at):
            self._write(f" {term}" if before[-1:].isdigit() else inner)
        elif before.endswith("10 ") and _INTEGER.fullmatch(term):
            self._drop_space()
            self._write(f"^{term}")
        elif _CENTS.fullmatch(term) and _is_price(before, term, after):
            self._write(term if before[-1] in ".," else f".{term}")
        elif term in ("o", "0") and before[-1:].isdigit() and _CELSIUS.match(after):
            self._write("°")
        else:
            self._write(_raised(before, term) or inner)

    def _write_lowered(self, inner: str, at: int) -> None:
        """As it is, but where digits would become another number, or an expression another term."""
        before, after, term = self._before(), self._after(at), inner.strip().translate(_SIGN)
        is_apart = before[-1:].isdigit() or (after[:1].isdigit() and before[-1:].isalpha()) or _LOGARITHM.search(before)
        if _INTEGER.fullmatch(term) and is_apart:
            self._write(f"_{term} " if after[:1].isdigit() else f"_{term}")
        elif before[-1:].isalnum() and _EXPRESSION.fullmatch(term) and re.search(r"\w[+\-*/=]\w|^[+-]\w", term):
            self._write(f"_({term})")
        else:
            self._write(inner)

    def _before(self) -> str:
        """The end of what was written."""
        kept: list[str] = []
        chars = 0
        for _, frame in reversed(self._frames):
            for text in reversed(frame):
                kept.append(text[-_CONTEXT_CHARS:])
                chars += len(kept[-1])
                if chars >= _CONTEXT_CHARS:
                    break
            if chars >= _CONTEXT_CHARS:
                break
        return "".join(reversed(kept)).removesuffix("~~")[-_CONTEXT_CHARS:]

    def _after(self, at: int) -> str:
        """The beginning of the text that follows a part; empty where that is raised or lowered itself."""
        if at + 1 < len(self._parts) and self._parts[at + 1] in (RAISED, LOWERED, NOTE):
            return ""
        return next((part[:_CONTEXT_CHARS] for part in self._parts[at + 1 : at + 8] if part[0] != "\0"), "")

    def _is_followed(self, at: int) -> bool:
        return any(part[0] != "\0" and not part.isspace() for part in self._parts[at + 1 : at + 12])

    def _drop_space(self) -> None:
        out = self._frames[-1][1]
        if out:
            out[-1] = out[-1].rstrip()


def _raised(before: str, term: str) -> str:
    """A raised term after a base, or nothing where it says the same without a mark."""
    base = before[-1:]
    if not term or not base or not (base.isalnum() or base in _CLOSES or base in '.,;:!?"”»%°'):
        return ""
    if _NUMBER.fullmatch(term):
        return f"^{term}"
    if not (base.isalnum() or base in _CLOSES):
        return ""
    if _LETTER.fullmatch(term):
        return f"^{term}" if len(term) == 2 or _is_variable(before, term) else ""
    if term.isalpha() and len(term) <= _MAX_FACTORS and _EULER.search(before):
        return f"^({term})"
    if _ORDINAL.fullmatch(term) or not _EXPRESSION.fullmatch(term) or not _OPERATOR.search(term):
        return _apart(base, term)
    if _WORD.search(term) and not re.search(r"[+\-*/×·^=⁄(]", term):
        return ""
    return f"^{term}" if term.startswith("(") and term.endswith(")") else f"^({term})"


def _apart(base: str, term: str) -> str:
    """A raised word ("Premium" and "New") keeps its distance; a short sign such as TM does not need it."""
    return f" {term}" if base.islower() and len(term) > 2 and term[0].isupper() and term[1:].islower() else ""


def _is_variable(before: str, letter: str) -> bool:
    """Whether one raised letter is an exponent (x^n), not the end of an ordinal or a title (2e, Mr)."""
    word = re.search(r"[^\W\d_]*\Z", before)
    letters = word[0] if word else ""
    if before[-1:].isdigit():
        return letter not in _ORDINAL_LETTERS
    if len(letters) == 1:
        return not (letters in _TITLES and letter in _TITLE_ENDINGS)
    return not letters or letter in _VARIABLES


def _is_fraction(term: str, after: str, parts: list[str], at: int) -> bool:
    """Whether a raised number is over a lowered one: 1/2 set as a fraction."""
    if not term.isdigit() or after.strip() not in ("/", "\u2044"):
        return False
    return LOWERED in parts[at + 1 : at + 5]


def _is_price(before: str, cents: str, after: str) -> bool:
    """Whether raised digits are the cents of a price, by its currency."""
    if not _WHOLE_NUMBER_END.search(before):
        return False
    if _ROUND.search(before) and cents not in ("99", "95", "90", "00", "50"):
        return False
    return bool(_AFTER_CURRENCY.search(before) or _BEFORE_CURRENCY.match(after))
