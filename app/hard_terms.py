"""Identifiers in a question: what a page must hold to the letter to answer it.

``CVE-2024-3094``, ``E2063``, ``RFC 9110``, ``v1.2.3``, ``max_wal_size``, ``os.path.join``, ``--max-depth``, ``<=>``, code in
backticks. Embeddings can't tell such a name from its neighbours, whose word pieces are nearly the same, though another one
is another thing altogether. So they are compared as text, as wholes: CVE-2025-6216 doesn't stand in CVE-2025-62168.

What only looks like one is left to the embedder, since pages spell it in other ways or leave it out: years, plain numbers,
ordinals and units (1960s, 10th, 5GB), ``Python 3.11``, names with a digit or two (IPv6, H2O, Win32), names in capitals and small
letters (YouTube), functions called like words (``open()``), and quoted words, which pages inflect and translate.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from corpus.analysis import UNSPACED
from corpus.model import Chunk, Hit

MAX_TERMS = 8
MAX_TERM_CHARS = 80

_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_OPERATOR_CHARS = r"!%&*+\-/<=>?@\\^|~:"
_OPERATOR = re.compile(rf"[{_OPERATOR_CHARS}]{{2,4}}")
_PUNCTUATION = re.compile(r"-+|/+|!+|\?(?:!+\??)?|!+\?+|:")  # that is no operator: dashes, emphasis, what begins a comment
_IN_MARKS = re.compile(r"`(?P<code>[^`\s](?:[^`\n]{0,78}[^`\s])?)`|[\"“„«](?P<quoted>[^\"“”„«»\n]{2,80})[\"”“»]")
_PROSE = re.compile(r"(?:[^\W\d_]|[\s'’,.;:!?…&()/-])+")
_WORD = re.compile(rf"[^\s,;{UNSPACED}\u3000-\u303f]+")
_PARTS = re.compile(r"[^/()<>|]+")
_OPENING, _CLOSING = "([{<\"'“‘«¿¡*", ")]}>\"'”’».,:!?…*"

_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
_OPTION_WORD = re.compile(r"(?:option|flag|switch|argument|parameter|schalter)s?[?.:]?", re.IGNORECASE)
_PATH = re.compile(r"(?:/[\w.+-]+){2,}/?")
_HEX = re.compile(r"0[xX][0-9A-Fa-f]{2,}")
_HASH = re.compile(r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,64}")
_SNAKE = re.compile(r"_*[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)+_*|__\w+__")
_CAMEL = re.compile(r"[a-z]{2,}\d*(?:[A-Z][a-z0-9]+)+[A-Z]*")
_EXCEPTION = re.compile(r"[A-Z][A-Za-z0-9]+(?:Error|Exception|Warning)")
_VERSION = re.compile(r"[vV]?(\d+(?:\.\d+){2,})|[vV](\d+\.\d+)")
_DATE = re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}")
_JOINT = re.compile(r"::|->|\.|#")
_QUALIFIED = re.compile(rf"[A-Za-z_]\w*(?:(?:{_JOINT.pattern})[A-Za-z_]\w*)+")
_HOST_LIKE = re.compile(r"\.(?:com|org|net|dev|edu|gov|[a-z]{2})$", re.IGNORECASE)  # booking.com, Node.js

_CODED = re.compile(r"[A-Za-z0-9]+(?:[-_.:][A-Za-z0-9]+)*")
_NUMBERED = re.compile(r"[A-Z]{2,}(?:-\d+)+")  # CWE-79, UTF-8
_RUNS = re.compile(r"[A-Za-z]+|\d+")
_QUANTITY = re.compile(r"\d[\d.,]*[A-Za-z]{0,4}(?:-[A-Za-z]+)*")  # 1960s, 20th-century, 100-metre, 802.11ac
_OF_A_YEAR = re.compile(r"(?:[A-Za-z][a-z]{2,}|FY|CY)-?(?:1[5-9]|20)\d\d")  # mid-1945, Windows2000, FY2020
# Words that make an identifier of a number or of a short code after them: RFC 9110, error 1045, Fehler E18.
_SERIES = re.compile(
    r"RFC|PEP|ISO|IEC|IEEE|ITU|ECMA|DIN|ANSI|FIPS|NIST|BCP|STD|JEP|JSR|CWE|CVE|KB|ORA|HTTP|SQLSTATE", re.IGNORECASE
)
_SERIAL_NUMBER = re.compile(r"\d+(?:[.:-]\d+)*")
_CODE_WORD = re.compile(
    r"errors?|errno|codes?|exit|status|fault|alarm|warning|dtc|issue|bug|ticket|fehler(?:code|nummer)?|erreur|c[oó]digo|codice|errore"
    r"|fout(?:code)?|felkod|fejl|virhe|błąd|kod|ошибка|код",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"codes?|number|n[or]\.?|num|id|status|message", re.IGNORECASE)
_CODE = re.compile(r"#?(?:\d{2,}|[A-Za-z]{1,5}-?\d+)(?:[-.]\d+)*[A-Za-z]?|#\d+")


@dataclass(frozen=True, slots=True)
class HardTerm:
    """An identifier as the question writes it, from ``start`` to ``end`` there. ``siblings`` matches those of the same series,
    None where it is of none."""

    text: str
    start: int
    pattern: re.Pattern[str]
    siblings: re.Pattern[str] | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def stands_in(self, text: str) -> bool:
        return self.pattern.search(text) is not None

    def has_sibling_in(self, text: str) -> bool:
        """Whether the text names another one of the series."""
        return self.siblings is not None and any(not self.stands_in(found[0]) for found in self.siblings.finditer(text))


class Requirement:
    """What a question demands to the letter, and how much of it passages hold. False if it demands nothing."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.terms = hard_terms(question)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def held_by(self, text: str, *, under: Sequence[str] = ()) -> int:
        """How many of the terms stand in a text or in what it stands ``under``, the nearest first: a term that it explains,
        headings. What names a sibling is about that one, whatever stands above it: under "CVE-2024-3094", what is said of
        CVE-2024-3095 isn't about the former."""
        levels = [_comparable(level) for level in (text, *under)]
        return sum(_is_about(term, levels) for term in self.terms)

    def strays_in(self, text: str) -> bool:
        """Whether a text names siblings of the terms and none of them."""
        text = _comparable(text)
        return not self.held_by(text) and any(term.has_sibling_in(text) for term in self.terms)

    def missing_from(self, chunks: Iterable[Chunk]) -> list[str]:
        """The terms that stand in none of the chunks, nor in the title and headings over them."""
        if not self.terms:
            return []
        texts = [_comparable("\n".join((chunk.text, *above(chunk)))) for chunk in chunks]
        return [term.text for term in self.terms if not any(term.stands_in(text) for text in texts)]

    def preferring(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits whose chunks hold more of the terms first. Scores stay in [0, 1] and in order: each becomes the mean of itself
        and the share that the chunk holds of what the best one does."""
        held = [self.held_by(hit.chunk.text, under=above(hit.chunk)) for hit in hits] if self.terms else []
        most = max(held, default=0)
        if not most:
            return list(hits)
        scored = [replace(hit, score=(count / most + hit.score) / 2) for hit, count in zip(hits, held, strict=True)]
        return sorted(scored, key=lambda hit: -hit.score)


def above(chunk: Chunk) -> tuple[str, ...]:
    """The headings that a chunk stands under, the nearest first, and its page's title."""
    return (*reversed(chunk.heading_path), chunk.title)


def _is_about(term: HardTerm, levels: Iterable[str]) -> bool:
    for level in levels:
        if term.stands_in(level):
            return True
        if term.has_sibling_in(level):
            return False
    return False


def hard_terms(question: str) -> tuple[HardTerm, ...]:
    """The identifiers of a question, each once: those in marks, then the others, ``MAX_TERMS`` of them at most."""
    found: dict[str, HardTerm] = {}
    for term in _found(_folded(question)):
        if len(term.text) <= MAX_TERM_CHARS:
            found.setdefault(term.pattern.pattern, term)
        if len(found) == MAX_TERMS:
            break
    return tuple(found.values())


def _folded(text: str) -> str:
    """With one character for hyphens of all kinds and for letters of all widths; each stays in its place."""
    if text.isascii():
        return text
    return "".join(one if len(same := unicodedata.normalize("NFKC", one)) != 1 else same for one in text.translate(_HYPHENS))


def _comparable(text: str) -> str:
    """A page's text as it is searched: folded, and without the backslashes that a table's cells hold before bars."""
    return _folded(text).replace(r"\|", "|")


def _found(question: str) -> Iterator[HardTerm]:
    marked: list[tuple[int, int]] = []
    for match in _IN_MARKS.finditer(question):
        kind = "code" if match["code"] else "quoted"
        if kind == "code" or not _PROSE.fullmatch(match[kind]):
            marked.append(match.span())
            text = match[kind].strip()
            start = match.start(kind) + match[kind].index(text)
            yield from list(_of_word(text, start, is_alone=True) if len(text.split()) == 1 else ()) or [_literal(text, start)]
    words = [match for match in _WORD.finditer(question) if not any(start <= match.start() < end for start, end in marked)]
    is_alone = len(words) == 1 and words[0][0] == question.strip()
    for i, word in enumerate(words):
        before = [other[0] for other in words[max(0, i - 2) : i]]
        after = words[i + 1][0] if i + 1 < len(words) else None
        yield from _of_word(word[0], word.start(), before, after, is_alone=is_alone)


def _of_word(
    word: str, start: int, before: Sequence[str] = (), after: str | None = None, *, is_alone: bool
) -> Iterator[HardTerm]:
    """The identifiers of what stands between spaces, with the words beside it. ``is_alone``: nothing else is asked."""
    if operator := _operator(word, is_last=after is None and not is_alone):
        yield _bounded(operator, start, chars=_OPERATOR_CHARS)
        return
    text = word.lstrip(_OPENING)
    start += len(word) - len(text)
    text = text.rstrip(_CLOSING)
    if not text.isascii() or "://" in text or "@" in text:
        return
    if option := _OPTION.match(text):
        is_named = is_alone or any(map(_OPTION_WORD.fullmatch, (*before[-1:], after or "")))
        if len(option[0]) == 2 or text.startswith("--") or is_named:  # else what a hyphen stands before in prose
            yield _option(option[0].rstrip("-_"), start)
    elif _PATH.fullmatch(text):
        yield _bounded(text, start, chars="A-Za-z0-9_/")
    else:
        before = [other.strip("(:#") for other in before]
        for part in _PARTS.finditer(text):
            name, place = part[0].rstrip(_CLOSING), start + part.start()
            if len(name) <= MAX_TERM_CHARS and (term := _name(name, place) or _code(name, place, before, is_alone=is_alone)):
                yield term
            if text[part.end() : part.end() + 1] in ("(", "<"):  # what follows are arguments
                return


def _operator(word: str, *, is_last: bool) -> str | None:
    """The operator that a word is, without the full stop or question mark that ends the question."""
    if is_last and word[-1] in "?.":
        word = word[:-1]
        if not set(word) - {"?", "!", "."}:  # "Why ???"
            return None
    return word if _OPERATOR.fullmatch(word) and not _PUNCTUATION.fullmatch(word) else None


def _name(text: str, start: int) -> HardTerm | None:
    """A version, or a name as programs have them."""
    if match := _VERSION.fullmatch(text):
        number = re.escape(match[1] or match[2])
        pattern = re.compile(rf"(?<![A-Za-z0-9])(?<!\d\.)[vV]?{number}(?![A-Za-z0-9])")  # 1.2.3.4 is a 1.2.3
        return None if _DATE.fullmatch(text) else HardTerm(text, start, pattern)
    if any(kind.fullmatch(text) for kind in (_HEX, _HASH, _SNAKE, _CAMEL, _EXCEPTION)):
        return _bounded(text, start, pattern=re.escape(text).replace("_", "[_-]"))
    if not _QUALIFIED.fullmatch(text) or _HOST_LIKE.search(text):
        return None
    names = _JOINT.split(text)
    is_slip = text.count(".") == 1 and (min(map(len, names)) < 2 or (names[0].islower() and names[1][:1].isupper()))
    return None if is_slip else _qualified(text, names, start)  # "a.m", or no space after a full stop


def _qualified(text: str, names: Sequence[str], start: int) -> HardTerm:
    """A name within others: where it is explained, those that it is within are often left out. Its last two names will do, or a
    call of the last one."""
    joint = f"(?:{_JOINT.pattern})"
    ways = [joint.join(map(re.escape, names[i:])) for i in range(len(names) - 1)]
    ways.append(re.escape(names[-1]) + ("" if "_" in names[-1].strip("_") else r"(?=\s?\()"))
    return _bounded(text, start, pattern=f"(?:{'|'.join(ways)})")


def _code(text: str, start: int, before: Sequence[str], *, is_alone: bool) -> HardTerm | None:
    """A code of letters and digits."""
    digits = sum(map(str.isdigit, text))
    last = before[-1] if before else ""
    if not digits:
        return None
    if _SERIES.fullmatch(last) and _SERIAL_NUMBER.fullmatch(text):
        return _serial(f"{last} {text}", start - len(last) - 1)
    is_told = _CODE_WORD.fullmatch(last) or (_BETWEEN.fullmatch(last) and len(before) > 1 and _CODE_WORD.fullmatch(before[-2]))
    if is_told and _CODE.fullmatch(text):
        return _serial(text.lstrip("#"), start + text.startswith("#"))
    if not _CODED.fullmatch(text) or not any(map(str.isalpha, text)) or _QUANTITY.fullmatch(text) or _OF_A_YEAR.fullmatch(text):
        return None
    is_code = digits >= 3 or _NUMBERED.fullmatch(text) or (is_alone and text[0].isalpha())
    return _serial(text, start) if is_code else None


def _serial(text: str, start: int) -> HardTerm:
    """A code, however its parts are joined: RFC 9110, RFC-9110 and rfc9110 are one. What goes on with more digits is another."""
    runs = _RUNS.findall(text)
    begins = r"(?<![A-Za-z0-9_])" if text[0].isalpha() else r"(?<![A-Za-z0-9_])(?<!\d[.,-])"
    ends = r"(?![A-Za-z0-9_])(?!-[A-Za-z]?\d)(?!\.\d)"
    exact = re.compile(begins + _joined(runs) + ends, re.IGNORECASE)
    if not any(map(str.isalpha, runs)):
        return HardTerm(text, start, exact)
    alike = _joined([r"\d+" if run.isdigit() else run for run in runs])
    return HardTerm(text, start, exact, re.compile(rf"{begins}{alike}(?![A-Za-z0-9_])", re.IGNORECASE))


def _joined(runs: Sequence[str]) -> str:
    """A pattern of letters and digits with what may stand between them: something between two numbers."""
    joined = runs[0]
    for before, run in itertools.pairwise(runs):
        joined += (r"[-_. ]?" if before.isalpha() or run.isalpha() else r"[-_.:/ ]") + run
    return joined


def _option(name: str, start: int) -> HardTerm:
    pattern = rf"(?<![\w-]){re.escape(name)}(?![A-Za-z0-9_])(?!-[A-Za-z0-9])"
    return HardTerm(name, start, re.compile(pattern, 0 if len(name) == 2 else re.IGNORECASE))  # -x and -X are two options


def _literal(text: str, start: int) -> HardTerm:
    words = r"\s+".join(map(re.escape, text.split()))
    begins = r"(?<![A-Za-z0-9_])" if text[0].isalnum() else ""
    ends = r"(?![A-Za-z0-9_])" if text[-1].isalnum() else ""
    return HardTerm(text, start, re.compile(begins + words + ends, re.IGNORECASE))


def _bounded(text: str, start: int, *, pattern: str | None = None, chars: str = "A-Za-z0-9_") -> HardTerm:
    """``pattern`` (the text itself, unless given) between other characters than ``chars``."""
    bounded = rf"(?<![{chars}]){pattern or re.escape(text)}(?![{chars}])"
    return HardTerm(text, start, re.compile(bounded, re.IGNORECASE))
