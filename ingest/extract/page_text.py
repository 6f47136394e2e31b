"""Writes a page's Markdown-like text and records its blocks on the way, so that every span is right by construction."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from corpus.model import Block, BlockKind

# What a reader can't see must not reach a model or a citation: control characters, soft hyphens, zero-width characters,
# bidirectional controls, variation selectors and tag characters (the last two can smuggle whole messages).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
# Arabic and Indic scripts spell with zero-width (non-)joiners; anywhere else they only hide or split words.
_STRAY_JOINER = re.compile("(?<![\u0600-\u109f])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u109f])")
_SPACES = re.compile(r"\s+")
# Typeset text holds these for pairs of letters that no one types when searching.
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# Unicode's stream-safe format allows 30 combining marks in a row (UAX 15). Normalisation sorts each run of them, in time that
# grows with the square of its length: 80,000 take a minute.
_MAX_MARKS = 30
_LONG_RUN = re.compile(rf"[^\w\s\x00-\x7f]{{{_MAX_MARKS + 1},}}")  # of what is no letter: marks are among it


def clean(text: str) -> str:
    """Strip invisible characters, write ligatures as letters, unify line ends and normalise to NFC; white space is kept.

    Takes time linear in the text. Of more than 30 combining marks in a row the rest go.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _INVISIBLE.sub("", text)
    if text.isascii():
        return text
    text = _STRAY_JOINER.sub("", text).translate(_LIGATURES)
    text = _without_surplus_marks(text)  # before anything else: to ask whether it is normalised may take as long
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def has_surplus_marks(text: str) -> bool:
    """Whether so many combining marks stand in a row that :func:`clean` would take some away."""
    return not text.isascii() and _without_surplus_marks(text) != text


def comparable(text: str) -> str:
    """A form in which two texts that read alike are alike, however their pages spell them: for comparing words, not for showing.

    Cleaned, without joiners, in compatibility form (NFKC) and folded to one case.
    """
    text = clean(text)
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text.replace("\u200c", "").replace("\u200d", "")).casefold()


def one_line(text: str) -> str:
    """Clean, with each run of white space (no-break spaces too) as a single space."""
    return _SPACES.sub(" ", clean(text)).strip()


def lines(text: str) -> str:
    """Clean, with white space collapsed but line breaks kept; blank lines go."""
    collapsed = (_SPACES.sub(" ", line).strip() for line in clean(text).split("\n"))
    return "\n".join(line for line in collapsed if line)


def _without_surplus_marks(text: str) -> str:
    return _LONG_RUN.sub(lambda run: "".join(_first_marks(run[0])), text)


def _first_marks(run: str) -> Iterator[str]:
    marks = 0
    for char in run:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= _MAX_MARKS:
            yield char


class PageTextBuilder:
    """Accumulates blocks. Beyond ``max_chars`` it takes no more and says so in :attr:`is_full`."""

    def __init__(self, *, max_chars: int) -> None:
        self._max_chars = max_chars
        self._parts: list[str] = []
        self._length = 0
        self.blocks: list[Block] = []
        self.is_full = False

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def length(self) -> int:
        """How many characters have been written."""
        return self._length

    def heading(self, rank: int, text: str) -> None:
        if line := one_line(text):
            self._add(BlockKind.HEADING, f"{'#' * rank} {line}", rank)

    def paragraph(self, text: str) -> None:
        """``text`` may hold line breaks that mean something (verse, addresses)."""
        if body := lines(text):
            self._add(BlockKind.PARAGRAPH, body)

    def quote(self, text: str) -> None:
        if line := one_line(text):
            self._add(BlockKind.QUOTE, f"> {line}")

    def list_item(self, marker: str, text: str, *, depth: int) -> None:
        if line := one_line(text):
            self._add(BlockKind.LIST_ITEM, f"{marker} {line}", depth)

    def code(self, text: str, *, language: str = "") -> None:
        """``text`` verbatim between fences, the first of which names the ``language``; only blank lines around it go."""
        body = re.sub(r"\A([^\S\n]*\n)+", "", clean(text)).rstrip()
        if body:
            longest = max((len(run) for run in re.findall("`{3,}", body)), default=2)
            fence = "`" * (longest + 1)
            self._add(BlockKind.CODE, f"{fence}{language}\n{body}\n{fence}")

    def table(self, rows: list[list[str]], *, has_header: bool) -> None:
        """Rows of cells; without a header there is no separator row, and every row is data."""
        written = [f"| {' | '.join(one_line(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
        if has_header:
            written.insert(1, f"|{' --- |' * len(rows[0])}")
        self._add(BlockKind.TABLE, "\n".join(written))

    def _add(self, kind: BlockKind, text: str, level: int = 0) -> None:
        separator = self._separator(kind, level)
        if self._length + len(separator) + len(text) > self._max_chars:
            self.is_full = True
        if self.is_full:
            return
        start = self._length + len(separator)
        self._parts += (separator, text)
        self._length = start + len(text)
        self.blocks.append(Block(kind, start, self._length, level))

    def _separator(self, kind: BlockKind, level: int) -> str:
        indent = "  " * level if kind is BlockKind.LIST_ITEM else ""
        if not self.blocks:
            return indent
        tight = kind is BlockKind.LIST_ITEM and self.blocks[-1].kind is BlockKind.LIST_ITEM
        return ("\n" if tight else "\n\n") + indent
