"""The nouns of the domain, as plain immutable values.

A *page* is what a URL shows. Its stored *text* is Markdown-like plain text; a *block* is a structural unit of it
(a heading, a paragraph, one list item, a table, a code block); a *chunk* is the unit of retrieval: a contiguous
character span of the page text. Spans are half-open ``[start, end)`` and count Unicode code points, so that
``text[start:end]`` is always exactly what a citation quotes. A *generation* is one version of a page.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class BlockKind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"
    QUOTE = "quote"


@dataclass(frozen=True, slots=True)
class Block:
    """A structural unit of a page's text.

    Blocks are ordered, don't overlap, and are separated in the text by white space alone. ``level`` is the rank of a
    heading (1–6) or the nesting depth of a list item (0 = outermost); 0 elsewhere. A list item's span includes its
    marker; a code block's span includes its fences; a heading's its ``#`` signs.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class PageText:
    """What extraction makes of a page: the text that is stored, cited and chunked."""

    title: str
    text: str
    blocks: tuple[Block, ...]
    language: str | None = None

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) over title and text: equal hashes mean that nothing needs re-embedding."""
        return content_hash(self.title, self.text)


BY_SELECTOR = "dropped by selector"  # the reason of a part that the site's own selectors drop


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of a page that a reader sees and that is not kept.

    ``reason`` is a short name such as ``navigation``; ``words`` counts those in it, ``link_words`` those of them that stand in
    links; ``text`` holds its first words, or all of them where that was asked for; ``at`` is the offset in the page's text
    at which it stood.
    """

    reason: str
    words: int
    link_words: int
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the words that a reader of the page sees is kept in its text, and what is not."""

    visible_words: int
    kept_words: int
    left_out: tuple[LeftOut, ...] = ()

    @property
    def share(self) -> float:
        """Words kept, of all that are visible; 1 for a page that shows none."""
        return self.kept_words / self.visible_words if self.visible_words else 1.0

    @property
    def prose_words(self) -> int:
        """The visible words that are not meant to go, as those of links that were left out are (menus), and what the site's own
        selectors drop."""
        meant = sum(part.words if part.reason == BY_SELECTOR else part.link_words for part in self.left_out)
        return max(0, self.visible_words - meant)

    @property
    def prose_share(self) -> float:
        """As :attr:`share`, of the words that are not meant to go: only this one warns."""
        return min(1.0, self.kept_words / self.prose_words) if self.prose_words else 1.0


@dataclass(frozen=True, slots=True)
class ContentSelectors:
    """A site's own word on what its content is: CSS selectors (level 3) of what to keep, and of what to drop."""

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """One chunk as the chunker cuts it.

    ``embed_text`` is what the embedder sees: the heading path as context, then the span's text. It never exceeds the
    embedder's token limit; ``token_count`` is its length in the embedder's own tokens, special tokens included.
    """

    ordinal: int
    start: int
    end: int
    heading_path: tuple[str, ...]
    embed_text: str
    token_count: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk with all that a hit or a citation shows of it."""

    id: str
    page_id: str
    generation: int
    ordinal: int
    start: int
    end: int
    text: str
    heading_path: tuple[str, ...]
    url: str
    title: str
    language: str | None
    content_hash: str
    fetched_at: datetime


class SearchMode(StrEnum):
    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class StageScore:
    """Where one retrieval stage put a chunk: 1-based rank and the stage's own score."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found by a search. ``stages`` maps a stage's name (dense, lexical, fusion, rerank) to its judgement."""

    chunk: Chunk
    score: float
    stages: dict[str, StageScore] = field(default_factory=dict)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


OPEN_STATES = tuple(state for state in JobState if not state.is_final)


class IngestMode(StrEnum):
    PAGE = "page"
    SITEMAP = "sitemap"
    CRAWL = "crawl"


class UrlState(StrEnum):
    """The life of one URL within one job. Every URL that a job saw ends in one of the states after PENDING."""

    PENDING = "pending"
    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


class UrlKind(StrEnum):
    """What a URL of a job stands for."""

    PAGE = "page"
    SITEMAP = "sitemap"


def content_hash(title: str, text: str) -> str:
    return hashlib.sha256(f"{title}\n\n{text}".encode()).hexdigest()


def page_id(collection_id: int, url: str) -> str:
    """The page's id: stable for a collection and a normalised URL. 32 hex digits."""
    return hashlib.sha256(f"{collection_id}\n{url}".encode()).hexdigest()[:32]


def chunk_id(page: str, generation: int, ordinal: int, *, index_no: int = 1) -> str:
    """The chunk's primary key in every store: a re-run of the same write overwrites itself. 32 hex digits. ``index_no``: which
    index it is for, as another embedder cuts the same page elsewhere (``corpus/reindexing.py``)."""
    place = f"{page}\n{generation}\n{ordinal}" + (f"\n{index_no}" if index_no > 1 else "")
    return hashlib.sha256(place.encode()).hexdigest()[:32]
