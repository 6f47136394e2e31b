"""How much of a page's visible text was kept, as it is stored with each visit of a URL and each version of a page.

Extraction knows it in full (:class:`corpus.model.Coverage`). What is stored is bounded, for a crawl of 10,000 pages writes it
10,000 times: the largest parts that were left out, with their first words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from hashlib import sha256
from typing import Any, Self

from sqlalchemy import ColumnElement, and_

from corpus.model import ContentSelectors, Coverage, LeftOut

MAX_PARTS = 20
MAX_PART_CHARS = 120
POOR_SHARE = 0.6  # of the words that are not meant to go: with less, something other than chrome was left out,
POOR_WORDS = 50  # if it is more than this. A stub between two menus loses a large share and nothing that matters.


@dataclass(frozen=True, slots=True)
class StoredCoverage:
    """``prose_words``: the visible words, without those that are meant to go: of links that were left out, and of what the
    site's selectors drop. ``left_out``: the largest parts, in the page's order; None where they are stored elsewhere: with the
    page, for a visit that found its text unchanged."""

    visible_words: int
    kept_words: int
    prose_words: int
    left_out: tuple[LeftOut, ...] | None

    @classmethod
    def of(cls, coverage: Coverage) -> Self:
        largest = sorted(coverage.left_out, key=lambda part: part.words, reverse=True)[:MAX_PARTS]
        shown = [replace(part, text=_first_words(part.text)) for part in sorted(largest, key=lambda part: part.at)]
        return cls(coverage.visible_words, coverage.kept_words, coverage.prose_words, tuple(shown))

    @classmethod
    def of_row(cls, row: Any) -> Self | None:
        """From the columns of a visit or a version of a page; None where there was nothing to leave out, or it isn't known."""
        if row.visible_words is None or row.kept_words is None:
            return None
        stored = getattr(row, "left_out", None)
        parts = None if stored is None else tuple(LeftOut(*part) for part in stored)
        return cls(row.visible_words, row.kept_words, row.prose_words or 0, parts)

    @property
    def share(self) -> float:
        """Words kept, of all that are visible; 1 for a page that shows none."""
        return min(1.0, self.kept_words / self.visible_words) if self.visible_words else 1.0

    @property
    def prose_share(self) -> float:
        """As :attr:`share`, of the words that are not meant to go."""
        return min(1.0, self.kept_words / self.prose_words) if self.prose_words else 1.0

    @property
    def is_poor(self) -> bool:
        """Whether so much is missing that people should look."""
        return self.prose_share < POOR_SHARE and self.prose_words - self.kept_words >= POOR_WORDS

    @property
    def note(self) -> str:
        """What a page of which too little was kept says of itself."""
        return f"only {self.kept_words:,} of {self.prose_words:,} words were kept, menus not counted"

    def without_parts(self) -> Self:
        return replace(self, left_out=None)


def columns(coverage: StoredCoverage | None) -> dict[str, Any]:
    """What is written of it with a version of a page, by column."""
    return {**figures(coverage), "left_out": None if coverage is None else parts_of(coverage)}


def figures(coverage: StoredCoverage | None) -> dict[str, Any]:
    """What is written of it with a visit, by column; :func:`parts_of` it stands apart."""
    return {name: getattr(coverage, name, None) for name in FIGURES}


def parts_of(coverage: StoredCoverage) -> list[Any] | None:
    return None if coverage.left_out is None else [list(astuple(part)) for part in coverage.left_out]


FIGURES = ("visible_words", "kept_words", "prose_words")
COLUMNS = (*FIGURES, "left_out")


def poor(table: Any) -> ColumnElement[bool]:
    """:attr:`StoredCoverage.is_poor` for the database. Not for those where it isn't known."""
    few = table.kept_words < POOR_SHARE * table.prose_words
    return and_(table.kept_words.is_not(None), few, table.prose_words - table.kept_words >= POOR_WORDS)


def poor_note(count: int, urls: Sequence[str]) -> str:
    """What a job says of its pages of which too little was kept: one line, however many they are. ``urls``: the first few."""
    more = ", …" if count > len(urls) else ""
    pages = "1 page" if count == 1 else f"{count:,} pages"
    return (
        f"Of {pages} less than {POOR_SHARE:.0%} of the text was kept: {', '.join(urls)}{more}. "
        "What was left out, and why, shows: footnote pages log URL"
    )


def selectors_hash(selectors: ContentSelectors) -> str | None:
    """32 hex digits that tell sets of selectors apart; None where there are none. Their order counts for nothing."""
    if not selectors.keep and not selectors.drop:
        return None
    return sha256(json.dumps([sorted(set(selectors.keep)), sorted(set(selectors.drop))]).encode()).hexdigest()[:32]


def _first_words(text: str) -> str:
    """In one line, cut between two words where there are any."""
    line = " ".join(text[: 4 * MAX_PART_CHARS].split())
    if len(line) <= MAX_PART_CHARS:
        return line
    cut = line[: MAX_PART_CHARS - 1]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut[MAX_PART_CHARS // 2 :] else cut}…"
