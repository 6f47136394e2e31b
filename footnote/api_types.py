"""What the HTTP API answers, as types: plain dictionaries at run time, known field by field to a type checker. Times are RFC 3339
strings in UTC; ``start`` and ``end`` count the code points of a page's text."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

AnswerState = Literal["grounded", "quoted", "abstained"]
JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Standing = Literal["current", "moved", "changed", "gone"]
SearchMode = Literal["hybrid", "dense", "lexical"]
IngestMode = Literal["page", "sitemap", "crawl"]


class Citation(TypedDict):
    """``quote`` is exactly the page text's characters ``start`` to ``end``; ``url`` opens the page at it."""

    number: int
    page_id: str
    chunk_id: str
    url: str
    title: str
    heading_path: list[str]
    quote: str
    start: int
    end: int
    content_hash: str
    fetched_at: str


class Statement(TypedDict):
    text: str
    citations: list[int]


class NearestPage(TypedDict):
    page_id: str
    url: str
    title: str


class Answer(TypedDict):
    """``state``: grounded (the model's words, each sentence supported by a quote), quoted (quotes alone) or abstained."""

    state: AnswerState
    answer: str
    statements: list[Statement]
    citations: list[Citation]
    nearest: list[NearestPage]
    evidence_score: float
    confidence: float
    model: str | None
    notes: list[str]
    rewritten_question: str | None
    timings_ms: dict[str, float]


class Stage(TypedDict):
    rank: int
    score: float


class Hit(TypedDict):
    chunk_id: str
    page_id: str
    url: str
    title: str
    heading_path: list[str]
    text: str
    start: int
    end: int
    score: float
    content_hash: str
    fetched_at: str
    stages: NotRequired[dict[str, Stage]]


class JobAccepted(TypedDict):
    job_id: str
    url: str


class Collection(TypedDict):
    name: str
    pages: int
    created_at: str


class LeftOut(TypedDict):
    """A part of a page that was not kept. ``reason``: what it was taken for; ``text``: its first words; all when explained."""

    reason: str
    words: int
    link_words: int
    text: str
    at: int


class Coverage(TypedDict):
    """``prose_share``: without the words of links that were left out and of what selectors drop. ``left_out`` is None where the
    parts are not listed."""

    visible_words: int
    kept_words: int
    share: float
    prose_share: float
    left_out: list[LeftOut] | None


class Explanation(TypedDict):
    """How one page is read. ``keep`` and ``drop``: the CSS selectors that were in force."""

    url: str
    title: str
    language: str | None
    text: str
    coverage: Coverage | None
    keep: list[str]
    drop: list[str]
    notes: list[str]


class Page(TypedDict):
    id: str
    collection: str
    url: str
    title: str
    language: str | None
    content_hash: str
    fetched_at: str
    published_at: str | None
    modified_at: str | None
    notes: list[str]
    chunks: int
    characters: int
    coverage: Coverage | None


class ChunkSpan(TypedDict):
    id: str
    ordinal: int
    start: int
    end: int
    heading_path: list[str]


class Alias(TypedDict):
    url: str
    kind: str
    seen_at: str


class PageDetail(Page):
    text: str
    chunk_spans: list[ChunkSpan]
    aliases: list[Alias]


class PastCitation(TypedDict):
    """Of a citation, what is needed to ask what became of it."""

    page_id: str
    content_hash: str
    start: int
    end: int
    quote: str


class AgedCitation(TypedDict):
    state: Standing
    start: int | None
    end: int | None
    content_hash: str | None
    fetched_at: str | None


Job = dict[str, Any]  # many fields, for people more than for programs; see the service's own description at /openapi.json
