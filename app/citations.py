"""Citations are facts: each is checked against the stored page at the moment of answering, or it isn't shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote as percent_encode

from app.evidence import Sentence
from corpus.errors import NotFound
from corpus.pages import Pages, StoredText

# Longer quotes are named by their first and last words: the browser must find both, so a slip in either shows.
WHOLE_FRAGMENT_CHARS = 160
EDGE_WORDS = 5


@dataclass(frozen=True, slots=True)
class Citation:
    """One footnote. ``page.text[start:end] == quote``, in code points, for the page whose hash is ``content_hash``."""

    number: int
    page_id: str
    chunk_id: str
    url: str
    title: str
    heading_path: tuple[str, ...]
    quote: str
    start: int
    end: int
    content_hash: str
    fetched_at: datetime


class Standing(StrEnum):
    """What became of a citation. ``current``: the page is as it was cited. ``moved``: it has changed, but the quote still stands
    on it. ``changed``: the quote is no longer there. ``gone``: the page is no longer there."""

    CURRENT = "current"
    MOVED = "moved"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class PastCitation:
    """A citation as it was once given."""

    page_id: str
    content_hash: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Aged:
    """What became of it. The span is the quote's now, None where it doesn't stand; hash and time are the page's now."""

    standing: Standing
    start: int | None
    end: int | None
    content_hash: str | None
    fetched_at: datetime | None


class CitationChecker:
    def __init__(self, *, pages: Pages) -> None:
        self._pages = pages

    async def holds(self, sentences: Sequence[Sentence]) -> list[bool]:
        """For each sentence: is the page still live, is it the version that was read, and does the quote stand there?"""
        texts: dict[str, tuple[str, str] | None] = {}
        for page_id in {sentence.chunk.page_id for sentence in sentences}:
            try:
                texts[page_id] = await self._pages.text(page_id)
            except NotFound:
                texts[page_id] = None
        return [quote_stands(sentence, texts[sentence.chunk.page_id]) for sentence in sentences]

    async def aged(self, citations: Sequence[PastCitation]) -> list[Aged]:
        """What became of each, all on one snapshot."""
        found: dict[PastCitation, Aged] = {}

        def judge(page_id: str, stored: StoredText | None) -> None:
            found.update((one, how_it_stands(one, stored)) for one in citations if one.page_id == page_id)

        await self._pages.read_texts(dict.fromkeys(one.page_id for one in citations), judge)
        return [found[one] for one in citations]

    async def live(self, page_ids: Sequence[str]) -> set[str]:
        """Which of these pages are there now."""
        found = set()
        for page_id in page_ids:
            with suppress(NotFound):
                found.add((await self._pages.get(page_id)).id)
        return found


def quote_stands(sentence: Sentence, stored: tuple[str, str] | None) -> bool:
    """``stored``: the live page's text and content hash, None if the page is gone."""
    if stored is None:
        return False
    text, content_hash = stored
    return (
        0 <= sentence.start < sentence.end
        and content_hash == sentence.chunk.content_hash
        and text[sentence.start : sentence.end] == sentence.text
    )


def how_it_stands(citation: PastCitation, stored: StoredText | None) -> Aged:
    """``stored``: the live page, None if it is gone. Of several places where the quote stands now, the nearest to the old one."""
    if stored is None:
        return Aged(Standing.GONE, None, None, None, None)
    start, length = citation.start, len(citation.quote)
    is_in_place = start + length == citation.end and stored.text[start : citation.end] == citation.quote
    if is_in_place and stored.content_hash == citation.content_hash:
        return Aged(Standing.CURRENT, start, citation.end, stored.content_hash, stored.fetched_at)
    before = stored.text.rfind(citation.quote, 0, start + length)
    after = stored.text.find(citation.quote, start)
    places = [place for place in (before, after) if place >= 0]
    if not places:
        return Aged(Standing.CHANGED, None, None, stored.content_hash, stored.fetched_at)
    nearest = min(places, key=lambda place: abs(place - start))
    return Aged(Standing.MOVED, nearest, nearest + length, stored.content_hash, stored.fetched_at)


def to_citation(number: int, sentence: Sentence) -> Citation:
    chunk = sentence.chunk
    return Citation(
        number=number,
        page_id=chunk.page_id,
        chunk_id=chunk.id,
        url=chunk.url + text_fragment(sentence.text),
        title=chunk.title,
        heading_path=chunk.heading_path,
        quote=sentence.text,
        start=sentence.start,
        end=sentence.end,
        content_hash=chunk.content_hash,
        fetched_at=chunk.fetched_at,
    )


def text_fragment(quote: str) -> str:
    """A URL fragment that opens the page at the quote (WICG Scroll to Text Fragment). Empty where none can be made.

    Our text marks tables and code the Markdown way, which the page itself doesn't show: table rows are named by their
    first and last cell, code by its first and last line.
    """
    lines = [line for line in quote.splitlines() if line.strip() and not line.lstrip().startswith("```")]
    if not lines:
        return ""
    if lines[0].startswith("|"):
        cells = [cell.strip().replace(r"\|", "|") for line in lines for cell in re.split(r"(?<!\\)\|", line) if cell.strip()]
        return _fragment(cells[0], cells[-1] if len(cells) > 1 else None) if cells else ""
    if len(lines) > 1:
        return _fragment(lines[0].strip(), lines[-1].strip())
    words = lines[0].split()
    if len(lines[0]) <= WHOLE_FRAGMENT_CHARS or len(words) < 2 * EDGE_WORDS:
        return _fragment(lines[0].strip(), None)
    return _fragment(" ".join(words[:EDGE_WORDS]), " ".join(words[-EDGE_WORDS:]))


def _fragment(start: str, end: str | None) -> str:
    # In a text directive "-", "," and "&" are syntax, so they are encoded too ("-" is left alone by quote()).
    parts = [percent_encode(part, safe="").replace("-", "%2D") for part in (start, end) if part]
    return "#:~:text=" + ",".join(parts)
